# Who makes which part of a product, when several threads share it: samples, or features.
#
# What another core has written comes line by line at some 20 ns each (two cores of a Xeon of 2023, written and read), the time
# of 2,000 multiply-adds, while a barrier takes 0.2 us: so what counts is how many lines travel. By samples a thread reads all of
# W, of which the others have just written most; by features it keeps to the weights that it updates itself, and z and dz are
# where dW wants them. The input of all samples comes from the others, but dW needs that anyway.

cdef enum:
    WORTH_BARRIERS = 32768          # bytes of W

cdef struct Region:
    Py_ssize_t first, last, left, right         # samples first..last of panels left..right


cdef inline Region samples_of(Py_ssize_t first, Py_ssize_t last, Py_ssize_t n) noexcept nogil:
    """Samples first..last of all n features."""
    return Region(first, last, 0, n_panels(n))


cdef inline bint by_features(const Layer* layer, Py_ssize_t n, int n_threads) noexcept nogil:
    """Whether the threads can share out the n features of a layer's product: no one may get a fifteenth more than its share."""
    cdef Py_ssize_t panels = n_panels(n), most = (panels + n_threads - 1) // n_threads
    return (n_threads > 1 and layer.kind == DENSE and layer.norm == NO_NORM and 15 * most * n_threads <= 16 * panels
            and layer.n_in * layer.n_out * <Py_ssize_t>sizeof(real) >= WORTH_BARRIERS)

cdef inline bint forward_by_features(const Layer* layer, int n_threads) noexcept nogil:
    """z."""
    return by_features(layer, layer.n_out, n_threads)

cdef inline bint backward_by_features(const Layer* layer, Py_ssize_t n_rows, int n_threads) noexcept nogil:
    """da: dz of all samples travels; W does not, nor da."""
    cdef Py_ssize_t panels_in = n_panels(layer.n_in), panels_out = n_panels(layer.n_out)
    return by_features(layer, layer.n_in, n_threads) and n_rows * panels_out <= layer.n_in * panels_out + n_rows * panels_in


cdef inline Region region_of(Py_ssize_t n_rows, Py_ssize_t n, bint split, int thread, int n_threads) noexcept nogil:
    """A thread's part of n features of n_rows samples; `split`: by features."""
    if split:
        return Region(0, n_rows, part(n_panels(n), n_threads, thread), part(n_panels(n), n_threads, thread + 1))
    return samples_of(part(n_rows, n_threads, thread), part(n_rows, n_threads, thread + 1), n)
