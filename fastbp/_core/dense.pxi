# A dense layer: forward, backward, and the update fused into dW. Everything is in panels (types.pxi).

cdef struct Layer:
    Py_ssize_t n_in, n_out
    int activation
    real* w             # (panels out, height, LINE): weights, then the bias row
    real* wt            # (panels in, n_out | 1, LINE), or NULL for the first layer, which needs no dX
    real* slot          # what the rule keeps, like w; slot2 is a second one
    real* slot2
    real* z             # (panels out, height, LINE); z is a where the derivative does not need it
    real* a
    real* dz


cdef inline Py_ssize_t weights_panel(const Layer* layer) noexcept nogil:
    return height_of(layer.n_in) * LINE

cdef inline Py_ssize_t transposed_panel(const Layer* layer) noexcept nogil:
    return (layer.n_out | 1) * LINE


cdef void forward_rows(const Layer* layer, const real* x, Py_ssize_t panel, Py_ssize_t first,
                       Py_ssize_t last) noexcept nogil:
    """a = f(x W + b) for samples first..last; x, z and a have panels of `panel` reals."""
    cdef Epilogue epilogue
    cdef Product p
    epilogue.backward, epilogue.activation, epilogue.z, epilogue.a = False, layer.activation, layer.z, layer.a
    p.k, p.a, p.a_panel = layer.n_in, x, panel
    p.b, p.b_panel = layer.w, weights_panel(layer)
    p.c, p.c_panel = layer.z, panel
    product_rows(&p, layer.w + layer.n_in * LINE, p.b_panel, first, last, n_panels(layer.n_out), &epilogue)


cdef void backward_rows(const Layer* layer, const Layer* below, Py_ssize_t panel, Py_ssize_t first,
                        Py_ssize_t last) noexcept nogil:
    """below.dz = (dz W^T) * f'(below.z): through this layer's weights and the activation under them."""
    cdef Epilogue epilogue
    cdef Product p
    epilogue.backward, epilogue.activation, epilogue.z, epilogue.a = True, below.activation, below.z, below.a
    p.k, p.a, p.a_panel = layer.n_out, layer.dz, panel
    p.b, p.b_panel = layer.wt, transposed_panel(layer)
    p.c, p.c_panel = below.dz, panel
    product_rows(&p, ZEROS, 0, first, last, n_panels(layer.n_in), &epilogue)


cdef void update_weights(const Layer* layer, const real* x, Py_ssize_t panel, Py_ssize_t batch_size, const Update* rule,
                         Py_ssize_t part_of, Py_ssize_t n_parts) noexcept nogil:
    """dW = x^T dz and the update, for one part of the layer's blocks: LINE inputs by NP_DW panels of outputs each."""
    cdef Py_ssize_t panels_in = n_panels(layer.n_in), panels_out = n_panels(layer.n_out)
    cdef Py_ssize_t groups = (panels_out + NP_DW - 1) // NP_DW, work = panels_in * panels_out
    cdef Py_ssize_t first = part(work, n_parts, part_of), last = part(work, n_parts, part_of + 1)
    cdef Py_ssize_t g, q, q1, i, at
    for g in range(groups):
        q, q1 = part(panels_out, groups, g), part(panels_out, groups, g + 1)
        for i in range(panels_in):
            at = q * panels_in + i * (q1 - q)       # panels of work before this block
            if first <= at < last:
                update_block(layer, x + i * panel, panel, batch_size, rule, i, q, q1)
                if i == 0:
                    update_bias(layer, panel, batch_size, rule, q, q1)


cdef void update_block(const Layer* layer, const real* x, Py_ssize_t panel, Py_ssize_t batch_size, const Update* rule,
                       Py_ssize_t i, Py_ssize_t q, Py_ssize_t q1) noexcept nogil:
    """Inputs of panel i, outputs of panels q..q1: gradient in a scratch block in L1, then the update, then wt."""
    cdef Block dw
    cdef Product p
    cdef Py_ssize_t rows = min(<Py_ssize_t>LINE, layer.n_in - i * LINE), at, j
    p.k, p.a, p.a_panel = batch_size, x, 0
    p.b, p.b_panel = layer.dz + q * panel, panel
    p.c, p.c_panel = dw.x, LINE * LINE
    product_features(&p, rows, q1 - q)
    for j in range(q, q1):
        at = j * weights_panel(layer) + i * LINE * LINE
        update_span(rule, layer.w + at, dw.x + (j - q) * LINE * LINE, layer.slot + at, layer.slot2 + at,
                    rows * LINE)
        if layer.wt != NULL and rule.rule != GRADIENT:
            transpose_block(layer, i, j)


cdef void transpose_block(const Layer* layer, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """wt of inputs of panel i and outputs of panel j; inputs that do not exist get weight zero."""
    cdef const real* source = layer.w + j * weights_panel(layer) + i * LINE * LINE
    cdef Py_ssize_t rows = min(<Py_ssize_t>LINE, layer.n_in - i * LINE), columns = min(<Py_ssize_t>LINE, layer.n_out - j * LINE)
    cdef Block padded, turned
    if rows < LINE:
        memset(&padded, 0, LINE * LINE * sizeof(real))
        memcpy(&padded, source, rows * LINE * sizeof(real))
        source = padded.x
    if columns == LINE:
        transpose_line(source, layer.wt + i * transposed_panel(layer) + j * LINE * LINE)
    else:
        transpose_line(source, turned.x)
        memcpy(layer.wt + i * transposed_panel(layer) + j * LINE * LINE, &turned, columns * LINE * sizeof(real))


cdef void update_bias(const Layer* layer, Py_ssize_t panel, Py_ssize_t batch_size, const Update* rule, Py_ssize_t q,
                      Py_ssize_t q1) noexcept nogil:
    """db = sum of dz over the samples, in their order. No decay reaches a bias."""
    cdef Update plain = rule[0]
    cdef Line db
    cdef Py_ssize_t j, r, v, at
    cdef vec total
    plain.weight_decay = 0
    plain.l2 = 0
    for j in range(q, q1):
        for v in range(VECTORS):
            total = splat(0)
            for r in range(batch_size):
                total = total + load(layer.dz + j * panel + r * LINE + v * VL)
            store(db.x + v * VL, total)
        at = j * weights_panel(layer) + layer.n_in * LINE
        update_span(&plain, layer.w + at, db.x, layer.slot + at, layer.slot2 + at, LINE)


cdef void transpose_weights(const Layer* layer) noexcept nogil:
    """wt from w, whole."""
    cdef Py_ssize_t i, j
    for j in range(n_panels(layer.n_out)):
        for i in range(n_panels(layer.n_in)):
            transpose_block(layer, i, j)
