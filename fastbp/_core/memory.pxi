# Memory that we own, aligned, and arrays that Python lends.

from cpython.buffer cimport Py_buffer, PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetContext, PyCapsule_GetPointer


cdef class Memory:
    """n reals, zero unless it is scratch, aligned to a line at least; freed with the object."""
    cdef real* data
    cdef Py_ssize_t n

    def __cinit__(self, Py_ssize_t n, bint scratch=False):
        self.n = n
        self.data = <real*>aligned_malloc(max(n, LINE) * sizeof(real))
        if self.data == NULL:
            raise MemoryError(f"cannot allocate {n * sizeof(real):,} bytes")
        if not scratch:
            memset(self.data, 0, max(n, LINE) * sizeof(real))

    def __dealloc__(self):
        aligned_release(self.data)


cdef bint is_plain(const Py_buffer* buffer, Py_ssize_t n_columns) noexcept:
    """Rows that the core reads where they stand: native float32 or float64, aligned, each row contiguous."""
    if buffer.ndim != 2 or buffer.format == NULL or (n_columns >= 0 and buffer.shape[1] != n_columns):
        return False
    if not (buffer.format[0] == c"f" or buffer.format[0] == c"d") or buffer.format[1] != 0:
        return False
    return (buffer.strides[1] == buffer.itemsize and buffer.strides[0] % buffer.itemsize == 0
            and <size_t>buffer.buf % buffer.itemsize == 0)


cdef Memory copied(Memory source, Memory target):
    if source is None:
        return None
    if target is None:
        target = Memory(source.n)
    memcpy(target.data, source.data, source.n * sizeof(real))
    return target


cdef bint all_finite(const real* x, Py_ssize_t n) noexcept nogil:
    """0 x is 0 but for infinities and NaN; a sum of zeros is 0. n is a multiple of LINE."""
    cdef vec total = splat(0)
    cdef Line line
    cdef Py_ssize_t i
    cdef int v
    for i in range(n // VL):
        total = total + load(x + i * VL) * splat(0)
    store(line.x, total)
    for v in range(VL):
        if line.x[v] != 0:
            return False
    return True


cdef bint finite(const real* panels, Py_ssize_t panel, Py_ssize_t n_rows, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t r, i
    for i in range(n):
        for r in range(n_rows):
            if not isfinite(<double>panels[(i // LINE) * panel + r * LINE + i % LINE]):
                return False
    return True


cdef bint lent(array, Py_buffer* buffer):
    """Whether Python lends the array's memory; not every dtype has a buffer."""
    try:
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES | PyBUF_FORMAT)
        return True
    except (TypeError, ValueError, BufferError):
        return False


cdef bint apart(const Py_buffer* x, const Py_buffer* y) noexcept:
    """Whether no byte between the first and the last of one lies between those of the other."""
    cdef const char* low[2]
    cdef const char* high[2]
    cdef const Py_buffer* each
    cdef int i
    for i in range(2):
        each = x if i == 0 else y
        low[i] = high[i] = <const char*>each.buf
        if each.strides[0] < 0: low[i] += (each.shape[0] - 1) * each.strides[0]
        else: high[i] += (each.shape[0] - 1) * each.strides[0]
        high[i] += each.shape[1] * each.itemsize
    return high[0] <= low[1] or high[1] <= low[0]


cdef class Source:
    """Rows of a float32 or float64 array, read-only and with any distance between rows, held while this lives."""
    cdef Py_buffer buffer
    cdef Rows rows

    def __cinit__(self, array):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_STRIDES | PyBUF_FORMAT)
        if not is_plain(&self.buffer, -1):
            raise ValueError("expected rows of contiguous float32 or float64")
        self.rows = Rows(<const char*>self.buffer.buf, self.buffer.strides[0], self.buffer.format[0] == c"d")

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef Rows rows_of(const real[:, ::1] array):
    """Rows of an array of this core's own dtype."""
    cdef Rows rows
    rows.data = <const char*>&array[0, 0] if array.shape[0] and array.shape[1] else NULL
    rows.stride = array.shape[1] * sizeof(real)
    rows.is_double = FASTBP_F64
    return rows


cdef Memory packed(array, Py_ssize_t height):
    """A (rows, n) array in panels of `height` lines."""
    cdef Source source = Source(array)
    cdef Py_ssize_t n = array.shape[1]
    cdef Memory panels = Memory(n_panels(n) * height * LINE)
    pack_rows(&source.rows, NULL, 0, array.shape[0], n, panels.data, height * LINE)
    return panels


cdef class Criterion:
    """A loss as Python gives it: {"code", "parameter", "levels", "function"}; what the spec points at is held here."""
    cdef LossSpec spec
    cdef Memory levels
    cdef object function
    cdef object error               # what the user's own function raised

    def __cinit__(self, loss, Py_ssize_t n_out):
        cdef Py_ssize_t i
        self.spec.code, self.spec.parameter = loss["code"], loss["parameter"]
        if self.spec.code == QUANTILE:
            self.levels = Memory(n_panels(n_out) * LINE)
            for i in range(n_out):
                self.levels.data[i] = loss["levels"][i]
            self.spec.levels = self.levels.data
        elif self.spec.code == CUSTOM:
            self.function = loss["function"]
            if PyCapsule_CheckExact(self.function):
                name = b"fastbp.loss.float64" if FASTBP_F64 else b"fastbp.loss.float32"
                self.spec.function = <custom_loss>PyCapsule_GetPointer(self.function, name)
                self.spec.context = PyCapsule_GetContext(self.function)
            else:
                self.spec.function, self.spec.context, self.spec.whole = call_python_loss, <void*>self, True

    cdef void reraise(self) except *:
        """The error of a user's function, after it said that there was one."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        raise ValueError("the loss function in C reported an error")


cdef int call_python_loss(void* context, Py_ssize_t n, Py_ssize_t n_out, Py_ssize_t n_y, const real* raw, const real* y,
                          double* losses, real* draw) noexcept nogil:
    """A Python loss of the whole batch, (raw, y) -> (mean loss, d(mean loss)/d(raw)), as a function on samples."""
    with gil:
        try:
            call_loss((<Criterion>context).function, n, n_out, n_y, raw, y, losses, draw)
            return 0
        except BaseException as error:
            (<Criterion>context).error = error
            return -1


cdef void call_loss(function, Py_ssize_t n, Py_ssize_t n_out, Py_ssize_t n_y, const real* raw, const real* y, double* losses,
                    real* draw) except *:
    cdef Py_ssize_t i
    cdef const real[:, ::1] gradient
    cdef double loss
    cdef object array
    result = function(numpy.array(<const real[:n, :n_out]>raw), numpy.array(<const real[:n, :n_y]>y))
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"a loss function must return a pair (loss, draw), not {type(result).__name__}")
    loss = result[0]
    array = numpy.asarray(result[1], dtype="float64" if FASTBP_F64 else "float32", order="C")
    if array.shape != (n, n_out):
        raise ValueError(f"a loss function must return draw of shape {(n, n_out)}, not {array.shape}")
    gradient = array
    for i in range(n):
        losses[i] = loss
    for i in range(n * n_out):
        draw[i] = n * (&gradient[0, 0])[i]          # the core divides by the number of samples


cdef class Target:
    """Targets as the loss wants them: int64 labels, or rows of values; and the samples' weights, unless they are None."""
    cdef Targets targets
    cdef Source source
    cdef const long long[::1] labels
    cdef const double[::1] weights

    def __cinit__(self, Criterion loss, y, weights):
        memset(&self.targets, 0, sizeof(Targets))
        if loss.spec.code == SOFTMAX_CROSS_ENTROPY:
            self.labels = y
            if self.labels.shape[0]:
                self.targets.labels = &self.labels[0]
        else:
            self.source = Source(y)
            self.targets.values, self.targets.n_values = self.source.rows, y.shape[1]
        if weights is not None:
            self.weights = weights
            if self.weights.shape[0]:
                self.targets.weights = &self.weights[0]
