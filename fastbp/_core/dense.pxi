# The products of a layer but dW (update.pxi): z = x W and da = dz W^T, for a region of z or da.

cdef void multiply_add_span(const real* x, const real* w, const real* b, real* out, Py_ssize_t n_rows) noexcept nogil:
    """out = x w + b over rows of a panel, w and b a line each."""
    cdef Py_ssize_t r
    cdef int v
    for r in range(n_rows):
        for v in range(VECTORS):
            store(out + r * LINE + v * VL, load(x + r * LINE + v * VL) * load(w + v * VL) + load(b + v * VL))


cdef void forward_region(const Layer* layer, const real* x, const Pass* how, const Region* mine) noexcept nogil:
    """x W in a region, and on to `out` if there is no norm."""
    cdef Epilogue epilogue = Epilogue(False, layer, x, how)
    cdef Product p
    cdef Py_ssize_t q, at, n = mine.last - mine.first
    if layer.kind == SCALE:
        for q in range(mine.left, mine.right):
            at = q * how.panel + mine.first * LINE
            multiply_add_span(x + at, layer.w + q * weights_panel(layer), vector_of(layer, 0) + q * weights_panel(layer),
                              layer.z + at, n)
            finish(&epilogue, q, mine.first, n)
        return
    p.k, p.a, p.a_panel = layer.n_in, x, how.panel
    p.b, p.b_panel = layer.w, weights_panel(layer)
    p.init, p.init_row, p.init_panel = vector_of(layer, 0), 0, p.b_panel
    if layer.norm != NO_NORM:
        p.init, p.init_panel = ZEROS, 0
    p.c, p.c_panel = (layer.z if layer.norm == NO_NORM else layer.u), how.panel
    product_rows(&p, mine, &epilogue)


cdef void backward_region(const Layer* layer, const Layer* below, const Pass* how, const Region* mine) noexcept nogil:
    """below.dz = (dz W^T) * f'(below.z) in a region: through this layer's weights and the activation under them."""
    cdef Epilogue epilogue = Epilogue(True, below, NULL, how)
    cdef Product p
    cdef Py_ssize_t q, at, n = mine.last - mine.first
    if layer.kind == SCALE:
        for q in range(mine.left, mine.right):
            at = q * how.panel + mine.first * LINE
            multiply_add_span(layer.dz + at, layer.w + q * weights_panel(layer), ZEROS, below.dz + at, n)
            finish(&epilogue, q, mine.first, n)
        return
    p.k, p.a, p.a_panel = layer.n_out, layer.dz, how.panel
    p.b, p.b_panel = layer.wt, transposed_panel(layer)
    p.init, p.init_row, p.init_panel = ZEROS, 0, 0
    if layer.dout != NULL:
        p.init, p.init_row, p.init_panel = layer.dout, LINE, how.panel
    p.c, p.c_panel = below.dz, how.panel
    product_rows(&p, mine, &epilogue)
