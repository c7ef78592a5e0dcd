# Losses of the rows of a batch, by the core's own formulas and by a user's function.

cdef void loss_rows(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, const Targets* y,
                    const long long* order, Py_ssize_t first, Py_ssize_t last, double scale, double* losses,
                    double* scores) noexcept nogil:
    """Weighted losses and scores of samples first..last, and draw = scale * weight * d(loss)/d(raw). Targets are those that
    `order` names."""
    cdef LossBlock block
    cdef Py_ssize_t at = first, r
    while at < last:
        block.n = min(<Py_ssize_t>LINE, last - at)
        for r in range(block.n):
            block.sample[r] = order[at + r] if order != NULL else at + r
            block.scale[r] = scale * weight_of(y, block.sample[r])
        loss_block(loss, raw + at * LINE, draw + at * LINE, panel, n_out, y, &block, losses + at, scores + at)
        if y.weights != NULL:
            for r in range(block.n):
                losses[at + r] *= y.weights[block.sample[r]]
        at += LINE


cdef inline double weight_of(const Targets* y, Py_ssize_t sample) noexcept nogil:
    return y.weights[sample] if y.weights != NULL else 1


cdef int custom_rows(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                     const Targets* y, const long long* order, Py_ssize_t first, Py_ssize_t last, double scale,
                     real* scratch, double* losses, double* scores) noexcept nogil:
    """The same by a user's function, which wants rows: `scratch` holds raw, y and draw of the batch, row-major."""
    cdef Py_ssize_t n = last - first, n_y = y.n_values, r, i, sample, row = 2 * n_out + n_y
    cdef real* raw_rows = scratch + first * row
    cdef real* y_rows = raw_rows + n * n_out
    cdef real* draw_rows = y_rows + n * n_y
    cdef double weight
    cdef arithmetic_t ours
    cdef int failed
    if n == 0:
        return 0
    unpack_rows(raw + first * LINE, panel, n, n_out, raw_rows, n_out)
    for r in range(n):
        sample = order[first + r] if order != NULL else first + r
        for i in range(n_panels(n_y)):
            read_row(&y.values, sample, i * LINE, min(<Py_ssize_t>LINE, n_y - i * LINE), y_rows + r * n_y + i * LINE)
    ours = use_arithmetic(C_ARITHMETIC)             # what a stranger's code expects; NumPy warns where subnormals are zero
    failed = loss.function(loss.context, n, n_out, n_y, raw_rows, y_rows, losses + first, draw_rows)
    use_arithmetic(ours)
    for r in range(n):
        sample = order[first + r] if order != NULL else first + r
        weight = weight_of(y, sample)
        losses[first + r] *= weight
        scores[first + r] = 0
        for i in range(n_out):
            draw[(i // LINE) * panel + (first + r) * LINE + i % LINE] = <real>(scale * weight) * draw_rows[r * n_out + i]
    return failed
