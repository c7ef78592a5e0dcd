# Memory that we own, aligned, and arrays that Python lends.

from cpython.buffer cimport (Py_buffer, PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer)


cdef class Memory:
    """n reals, zero, aligned to a page; freed with the object."""
    cdef real* data
    cdef Py_ssize_t n

    def __cinit__(self, Py_ssize_t n):
        self.n = n
        self.data = <real*>aligned_malloc(max(n, LINE) * sizeof(real))
        if self.data == NULL:
            raise MemoryError(f"cannot allocate {n * sizeof(real):,} bytes")
        memset(self.data, 0, max(n, LINE) * sizeof(real))

    def __dealloc__(self):
        aligned_release(self.data)


cdef class Source:
    """Rows of a float32 or float64 array, read-only and with any distance between rows, held while this lives."""
    cdef Py_buffer buffer
    cdef Rows rows

    def __cinit__(self, array):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_STRIDES | PyBUF_FORMAT)
        cdef char kind = self.buffer.format[0] if self.buffer.format != NULL else c"?"
        if self.buffer.ndim != 2 or kind not in (c"f", c"d") or self.buffer.strides[1] != self.buffer.itemsize:
            raise ValueError("expected rows of contiguous float32 or float64")
        self.rows.data = <const char*>self.buffer.buf
        self.rows.stride = self.buffer.strides[0]
        self.rows.is_double = kind == c"d"

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef Rows rows_of(const real[:, ::1] array):
    """The same for an array of this core's own dtype."""
    cdef Rows rows
    rows.data = <const char*>&array[0, 0] if array.shape[0] and array.shape[1] else NULL
    rows.stride = array.shape[1] * sizeof(real)
    rows.is_double = FASTBP_F64
    return rows


cdef Rows row_of(const real[::1] array):
    cdef Rows rows
    rows.data, rows.stride, rows.is_double = <const char*>&array[0], 0, FASTBP_F64
    return rows


cdef Memory packed(array, Py_ssize_t height):
    """A (rows, n) array in panels of `height` lines."""
    cdef Source source = Source(array)
    cdef Py_ssize_t n = array.shape[1]
    cdef Memory panels = Memory(n_panels(n) * height * LINE)
    pack_rows(&source.rows, NULL, 0, array.shape[0], n, panels.data, height * LINE)
    return panels


cdef class Target:
    """Targets as the loss wants them: int64 labels, or rows of values."""
    cdef Targets targets
    cdef Source source
    cdef const long long[::1] labels

    def __cinit__(self, Loss loss, y):
        self.targets.labels = NULL
        if loss == SOFTMAX_CROSS_ENTROPY:
            self.labels = y
            if self.labels.shape[0]:
                self.targets.labels = &self.labels[0]
        else:
            self.source = Source(y)
            self.targets.values = self.source.rows


cdef Memory packed_weights(const real[:, ::1] W, const real[::1] b):
    """(n_in, n_out) weights and their bias in the panels of a layer."""
    cdef Py_ssize_t n_in = W.shape[0], n_out = W.shape[1], panel = (n_in + 1) * LINE
    cdef Memory panels = Memory(n_panels(n_out) * panel)
    cdef Rows weights = rows_of(W), bias = row_of(b)
    pack_rows(&weights, NULL, 0, n_in, n_out, panels.data, panel)
    pack_rows(&bias, NULL, 0, 1, n_out, panels.data + n_in * LINE, panel)
    return panels
