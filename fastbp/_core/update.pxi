# dW and what it does to the weights. A block is LINE inputs by NP_DW panels of outputs; the blocks of all layers are what
# the threads share out. Fused, a block's gradient lives and dies in L1; where the update must know the whole gradient
# first (its norm), or nobody updates at all, it is kept, and applied in a second round.

cdef enum:
    FUSED = 0
    KEEP = 1                        # dW into layer.grad
    APPLY = 2                       # from layer.grad into the weights

cdef struct Work:
    int stage
    const Update* rule
    Py_ssize_t n_rows               # samples of the batch
    Py_ssize_t panel
    double scale                    # of gradients in APPLY: what clipping by a norm left
    bint all_layers                 # those that are not trained too


cdef struct Rules:
    Update weights, vectors         # for W; for bias and gain


cdef Update rule_for(const Layer* layer, const Update* rule, bint weights) noexcept nogil:
    """The rule with the layer's own factors; no decay reaches a bias or a gain."""
    cdef Update own = rule[0]
    own.learning_rate *= layer.rate if weights else layer.bias_rate
    own.l1 *= layer.decay if weights else 0
    own.l2 *= layer.decay if weights else 0
    own.weight_decay *= layer.decay if weights else 0
    return own


cdef void update_layer(const Layer* layer, const real* x, const Work* work, int thread, int n_threads) noexcept nogil:
    """A thread's part of the layer's blocks; those of the first inputs bring the bias with them. The weights of the outputs
    that it computes; or a share of all, to the block."""
    cdef Py_ssize_t panels_in = n_panels(layer.n_in) if layer.kind == DENSE else 1, panels_out = n_panels(layer.n_out)
    cdef Py_ssize_t total = panels_in * panels_out, first = part(total, n_threads, thread), last = part(total, n_threads, thread + 1)
    cdef bint split = forward_by_features(layer, n_threads)
    cdef Region mine = region_of(work.n_rows, layer.n_out, split, thread, n_threads)
    cdef Py_ssize_t groups, g, q, q1, i, j, at
    cdef Rules rules
    if not (layer.trainable or work.all_layers):
        return
    if split:
        first, last = mine.left * panels_in, mine.right * panels_in
    rules.weights, rules.vectors = rule_for(layer, work.rule, True), rule_for(layer, work.rule, False)
    groups = (mine.right - mine.left + NP_DW - 1) // NP_DW
    for g in range(groups):
        q, q1 = mine.left + part(mine.right - mine.left, groups, g), mine.left + part(mine.right - mine.left, groups, g + 1)
        for i in range(panels_in):
            at = q * panels_in + i * (q1 - q)       # panels of work before this block
            if first <= at < last:
                if layer.kind == DENSE:
                    update_block(layer, x + i * work.panel, work, &rules.weights, i, q, q1)
                if i == 0:
                    for j in range(q, q1):
                        update_vectors(layer, x, work, &rules, j, total + j)


cdef void update_block(const Layer* layer, const real* x, const Work* work, const Update* rule, Py_ssize_t i, Py_ssize_t q,
                       Py_ssize_t q1) noexcept nogil:
    """Inputs of panel i, outputs of panels q..q1."""
    cdef Block scratch
    cdef Product p
    cdef Py_ssize_t rows = min(<Py_ssize_t>LINE, layer.n_in - i * LINE), at, j, number
    p.c, p.c_panel = scratch.x, LINE * LINE
    if work.stage != FUSED:
        p.c, p.c_panel = layer.grad + q * weights_panel(layer) + i * LINE * LINE, weights_panel(layer)
    if work.stage != APPLY:
        p.k, p.a, p.a_panel = work.n_rows, x, 0
        p.b, p.b_panel = layer.dz + q * work.panel, work.panel
        product_features(&p, rows, q1 - q)
    for j in range(q, q1):
        at, number = j * weights_panel(layer) + i * LINE * LINE, j * n_panels(layer.n_in) + i
        if layer.norms != NULL and work.stage != APPLY: layer.norms[number] = 0
        update_rows(layer, work, rule, at, p.c + (j - q) * p.c_panel, rows, number)
        if layer.wt != NULL and work.stage != KEEP:
            transpose_block(layer, i, j)


cdef void update_rows(const Layer* layer, const Work* work, const Update* rule, Py_ssize_t at, real* dw, Py_ssize_t rows,
                      Py_ssize_t number) noexcept nogil:
    """Rows of one panel, `at` in the layer's parameters and everything laid out like them."""
    cdef Py_ssize_t n = rows * LINE
    if work.stage != APPLY:
        if rule.clip_value > 0: clip_span(rule.clip_value, dw, n)
        if layer.norms != NULL: layer.norms[number] += squares(dw, n)
    if work.stage == KEEP:
        return
    if work.scale != 1: scale_span(work.scale, dw, n)
    if rule.l1 > 0: add_l1_span(rule.l1, layer.w + at, dw, n)
    update_span(rule, layer.w + at, dw, layer.slots + at, layer.distance, n)
    if rule.average >= 0: average_span(rule.average, layer.w + at, layer.average + at, n)


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


cdef void update_vectors(const Layer* layer, const real* x, const Work* work, const Rules* rules, Py_ssize_t j,
                         Py_ssize_t number) noexcept nogil:
    """Of panel j: db = sum of dy over the samples, in their order; dgain = sum of dy u; a SCALE's dW = sum of dz x; and the
    running statistics of batch norm."""
    cdef Line sums
    cdef Py_ssize_t at = j * weights_panel(layer), bias = at + weight_rows(layer) * LINE
    if layer.norms != NULL and work.stage != APPLY:
        layer.norms[number] = 0
        if layer.kind == SCALE: layer.norms[j] = 0
    if layer.kind == SCALE:
        sum_products(layer.dz + j * work.panel, x + j * work.panel, layer, work, at, sums.x)
        update_rows(layer, work, &rules.weights, at, layer.grad + at if work.stage != FUSED else sums.x, 1, j)
    sum_products(layer.dy + j * work.panel, NULL, layer, work, bias, sums.x)
    update_rows(layer, work, &rules.vectors, bias, layer.grad + bias if work.stage != FUSED else sums.x, 1, number)
    if layer.norm != NO_NORM:
        sum_products(layer.dy + j * work.panel, layer.u + j * work.panel, layer, work, bias + LINE, sums.x)
        update_rows(layer, work, &rules.vectors, bias + LINE, layer.grad + bias + LINE if work.stage != FUSED else sums.x, 1, number)
    if layer.norm == BATCH_NORM and work.stage != KEEP:
        update_statistics(layer, j, work.n_rows)
        if work.rule.average >= 0:
            average_span(work.rule.average, layer.w + bias + 2 * LINE, layer.average + bias + 2 * LINE, 2 * LINE)


cdef void sum_products(const real* dy, const real* x, const Layer* layer, const Work* work, Py_ssize_t at,
                       real* sums) noexcept nogil:
    """Sum over the samples of dy x, or of dy if x is NULL: into layer.grad where it is kept, else into `sums`."""
    cdef real* out = sums if work.stage == FUSED else layer.grad + at
    cdef Py_ssize_t r
    cdef int v
    cdef vec total
    if work.stage == APPLY:
        return
    for v in range(VECTORS):
        total = splat(0)
        if x == NULL:
            for r in range(work.n_rows): total = total + load(dy + r * LINE + v * VL)
        else:
            for r in range(work.n_rows): total = load(dy + r * LINE + v * VL) * load(x + r * LINE + v * VL) + total
        store(out + v * VL, total)


cdef inline Py_ssize_t n_blocks_of(const Layer* layer) noexcept nogil:
    """Sums of squares that a layer's gradient has: one a block at most, and one a panel for its vectors."""
    return n_panels(layer.n_out) * ((n_panels(layer.n_in) if layer.kind == DENSE else 1) + 1)

cdef double norm_squared(const Layer* layer, bint vectors=True) noexcept nogil:
    """Of the gradient of one layer, with or without its bias and gain: blocks in their order, for any threads the same."""
    cdef Py_ssize_t i, n = n_blocks_of(layer)
    cdef double total = 0
    if not vectors:
        n -= n_panels(layer.n_out)
    for i in range(n):
        total += layer.norms[i]
    return total


cdef void limit_norms(const Layer* layer, Py_ssize_t q) noexcept nogil:
    """Max-norm (Srivastava et al. 2014): incoming weights of each unit of panel q, scaled down to a norm of max_norm."""
    cdef real* w = layer.w + q * weights_panel(layer)
    cdef vec total, limit = splat(<real>(layer.max_norm * layer.max_norm)), factor
    cdef Py_ssize_t r, i
    cdef int v
    for v in range(VECTORS):
        total = splat(0)
        for r in range(weight_rows(layer)):
            total = total + load(w + r * LINE + v * VL) * load(w + r * LINE + v * VL)
        factor = where_less(limit, total, splat(<real>layer.max_norm) / vsqrt(total), splat(1))
        for r in range(weight_rows(layer)):
            store(w + r * LINE + v * VL, load(w + r * LINE + v * VL) * factor)
    if layer.wt != NULL:
        for i in range(n_panels(layer.n_in)):
            transpose_block(layer, i, q)


cdef void transpose_weights(const Layer* layer) noexcept nogil:
    """wt from w, whole."""
    cdef Py_ssize_t i, j
    for j in range(n_panels(layer.n_out)):
        for i in range(n_panels(layer.n_in)):
            transpose_block(layer, i, j)
