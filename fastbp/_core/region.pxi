# Who makes which part of a product, when several threads share it: samples, or features.
#
# By samples a thread reads all of W, of which the others have just written most; by features it keeps to the weights that it
# updates itself, and what comes from the others is their samples of the input. What another core has written comes at some 10 ns
# a line (Xeon of 2023), the time of 2,000 multiply-adds: so what is smaller travels, if it saves more than two barriers cost.

cdef enum:
    WORTH_BARRIERS = 131072         # bytes of W: half of them from another core take 10 us, two barriers 3

cdef struct Region:
    Py_ssize_t first, last, left, right         # samples first..last of panels left..right


cdef inline Region samples_of(Py_ssize_t first, Py_ssize_t last, Py_ssize_t n) noexcept nogil:
    """Samples first..last of all n features."""
    return Region(first, last, 0, n_panels(n))


cdef inline bint by_features(const Layer* layer, Py_ssize_t n, int n_threads) noexcept nogil:
    """Whether the threads share out the n features of a layer's product, not the samples: if W is worth it, and no thread gets
    a fifteenth more than its share."""
    cdef Py_ssize_t panels = n_panels(n), most = (panels + n_threads - 1) // n_threads
    return (n_threads > 1 and layer.kind == DENSE and layer.norm == NO_NORM and 15 * most * n_threads <= 16 * panels
            and layer.n_in * layer.n_out * <Py_ssize_t>sizeof(real) >= WORTH_BARRIERS)

cdef inline bint forward_by_features(const Layer* layer, int n_threads) noexcept nogil:
    """z: dW needs all samples of the input anyway."""
    return by_features(layer, layer.n_out, n_threads)

cdef inline bint backward_by_features(const Layer* layer, Py_ssize_t n_rows, int n_threads) noexcept nogil:
    """da: dz of all samples is what travels."""
    return layer.n_in >= n_rows and by_features(layer, layer.n_in, n_threads)


cdef inline Region region_of(Py_ssize_t n_rows, Py_ssize_t n, bint split, int thread, int n_threads) noexcept nogil:
    """A thread's part of n features of n_rows samples; `split`: by features."""
    if split:
        return Region(0, n_rows, part(n_panels(n), n_threads, thread), part(n_panels(n), n_threads, thread + 1))
    return samples_of(part(n_rows, n_threads, thread), part(n_rows, n_threads, thread + 1), n)
