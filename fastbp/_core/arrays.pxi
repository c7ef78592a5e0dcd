# One dense layer, and one update, on row-major arrays of the caller's: what Python (kernels.pxi) and C (embed.pxi) call.
# Operands go into panels and results out of them at every call, which `step` and `predict` on a network do without.

cdef struct Shape:
    Py_ssize_t n_samples, n_in, n_out
    int activation, n_threads


cdef real* panels_of(Py_ssize_t n) noexcept nogil:
    """n reals, zero; NULL if there is no memory."""
    cdef real* data = <real*>aligned_malloc(max(n, <Py_ssize_t>LINE) * sizeof(real))
    if data != NULL:
        memset(data, 0, max(n, <Py_ssize_t>LINE) * sizeof(real))
    return data


cdef inline Rows contiguous(const real* data, Py_ssize_t n) noexcept nogil:
    """Rows of n reals, one after the other."""
    return Rows(<const char*>data, n * sizeof(real), FASTBP_F64)


cdef void pack_weights(const Layer* layer, const real* W, const real* b) noexcept nogil:
    """W, and b unless it is NULL, into the panels of a plain layer."""
    cdef Rows rows = contiguous(W, layer.n_out)
    pack_rows(&rows, NULL, 0, layer.n_in, layer.n_out, layer.w, weights_panel(layer))
    if b != NULL:
        rows = contiguous(b, layer.n_out)
        pack_rows(&rows, NULL, 0, 1, layer.n_out, vector_of(layer, 0), weights_panel(layer))


cdef int forward_arrays(const Shape* shape, const Rows* X, const real* W, const real* b, real* z, real* a) noexcept nogil:
    """z = X W + b and a = f(z); without b where it is NULL, z only where it is not. 0, or NO_MEMORY."""
    cdef Py_ssize_t n = shape.n_samples, panel = (n | 1) * LINE
    cdef Py_ssize_t x_size = n_panels(shape.n_in) * panel, size = n_panels(shape.n_out) * panel
    cdef Layer layer = plain_layer(shape.n_in, shape.n_out, shape.activation)
    cdef Pass how = Pass(INFERENCE, 0, panel)
    cdef real* x = panels_of(x_size + 2 * size + n_panels(shape.n_out) * weights_panel(&layer))
    if x == NULL:
        return NO_MEMORY
    layer.z, layer.a, layer.w = x + x_size, x + x_size + size, x + x_size + 2 * size
    layer.u, layer.out = layer.z, layer.a
    pack_rows(X, NULL, 0, n, shape.n_in, x, panel)
    pack_weights(&layer, W, b)
    dense_forward_panels(&layer, x, &how, n, shape.n_threads)
    if z != NULL:
        unpack_rows(layer.z, panel, n, shape.n_out, z, shape.n_out)
    unpack_rows(layer.a, panel, n, shape.n_out, a, shape.n_out)
    aligned_release(x)
    return 0


cdef int backward_arrays(const Shape* shape, const Rows* X, const real* W, const real* z, const real* a, const real* da,
                         real* dX, real* dW, real* db) noexcept nogil:
    """dz = da * f'(z); dX = dz W^T, dW = X^T dz, db = sum of dz over the samples. 0, or NO_MEMORY."""
    cdef Py_ssize_t n = shape.n_samples, n_in = shape.n_in, n_out = shape.n_out, panel = (n | 1) * LINE
    cdef Py_ssize_t x_size = n_panels(n_in) * panel, size = n_panels(n_out) * panel, w_size
    cdef Layer layer = plain_layer(n_in, n_out, shape.activation), below = plain_layer(0, n_in, IDENTITY)
    cdef Pass how = Pass(INFERENCE, 0, panel)
    cdef Rows rows
    cdef real* x
    w_size = n_panels(n_out) * weights_panel(&layer)
    x = panels_of(2 * x_size + 3 * size + 2 * w_size + n_panels(n_in) * transposed_panel(&layer))
    if x == NULL:
        return NO_MEMORY
    below.z = below.a = x
    below.dz, layer.z = x + x_size, x + 2 * x_size
    layer.a, layer.dz = layer.z + size, layer.z + 2 * size
    layer.w, layer.dy = layer.z + 3 * size, layer.dz
    layer.grad, layer.wt = layer.w + w_size, layer.w + 2 * w_size
    pack_rows(X, NULL, 0, n, n_in, x, panel)
    pack_weights(&layer, W, NULL)
    rows = contiguous(z, n_out)
    pack_rows(&rows, NULL, 0, n, n_out, layer.z, panel)
    rows = contiguous(a, n_out)
    pack_rows(&rows, NULL, 0, n, n_out, layer.a, panel)
    rows = contiguous(da, n_out)
    pack_rows(&rows, NULL, 0, n, n_out, layer.dz, panel)
    backward_span(shape.activation, layer.z, layer.a, layer.dz, size)
    transpose_weights(&layer)
    dense_backward_panels(&layer, &below, &how, n, shape.n_threads)
    unpack_rows(below.dz, panel, n, n_in, dX, n_in)
    unpack_rows(layer.grad, weights_panel(&layer), n_in, n_out, dW, n_out)
    unpack_rows(layer.grad + n_in * LINE, weights_panel(&layer), 1, n_out, db, n_out)
    aligned_release(x)
    return 0


cdef void update_array(const Update* u, real* w, const real* dw, real** slots, Py_ssize_t n) noexcept nogil:
    """An update of n numbers that stand anywhere, by way of a line of each."""
    cdef Line w_line, dw_line
    cdef Line[3] slot_lines
    cdef Py_ssize_t q, i, size
    cdef int s
    cdef arithmetic_t host = use_arithmetic(CORE_ARITHMETIC)
    for q in range(n_panels(n)):
        i = q * LINE
        size = min(<Py_ssize_t>LINE, n - i) * sizeof(real)
        w_line = dw_line = ZERO_LINE
        memcpy(w_line.x, w + i, size)
        memcpy(dw_line.x, dw + i, size)
        for s in range(n_slots(u.rule)):
            slot_lines[s] = ZERO_LINE
            memcpy(slot_lines[s].x, slots[s] + i, size)
        if u.l1 > 0: add_l1_span(u.l1, w_line.x, dw_line.x, LINE)
        update_span(u, w_line.x, dw_line.x, slot_lines[0].x, LINE, LINE)
        memcpy(w + i, w_line.x, size)
        for s in range(n_slots(u.rule)):
            memcpy(slots[s] + i, slot_lines[s].x, size)
    use_arithmetic(host)
