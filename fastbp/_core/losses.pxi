# Losses. Each owns its link, gets the raw outputs, and gives the loss of a sample and d(loss)/d(raw) together:
# the cross entropies finite for any finite raw, exact where the naive form overflows.
# To add one: the enum, its lines in `elementwise_loss` and `elementwise_gradient` (or its own block function), and in
# `loss_block` and `link_row`; its class in losses.py; its twin in reference.py.

cpdef enum Loss:
    SQUARED_ERROR
    ABSOLUTE_ERROR
    HUBER
    LOG_COSH
    QUANTILE
    POISSON
    BINARY_CROSS_ENTROPY
    SOFTMAX_CROSS_ENTROPY
    HINGE
    CUSTOM

# A user's own loss, for n samples at once, row-major: per-sample losses and d(loss)/d(raw). Not 0: stop, an error.
ctypedef int (*custom_loss)(void* context, Py_ssize_t n, Py_ssize_t n_out, Py_ssize_t n_y, const real* raw, const real* y,
                            double* losses, real* draw) noexcept nogil

cdef struct LossSpec:
    int code
    double parameter                # delta of huber; label smoothing
    const real* levels              # of quantile: one an output, in whole lines
    custom_loss function
    void* context
    bint whole                      # the function wants the whole batch in one call, from the calling thread

cdef struct Targets:
    const long long* labels         # class of each sample, for softmax_cross_entropy
    Rows values                     # (n_samples, n_values), for the others; n_values is n_out but for a user's loss
    Py_ssize_t n_values
    const double* weights           # of each sample, or NULL: all 1


cdef inline vec binary_target(vec y, vec smoothing) noexcept nogil:
    return y + smoothing * (splat(<real>0.5) - y)


cdef inline vec log_cosh_of(vec size) noexcept nogil:
    """log(cosh(size)), size >= 0, as size + log1p(exp(-2 size)) - log(2); below 1, where that would cancel, by
    cosh - 1 = m^2 / (2 (1 + m)), m = exp(-size) - 1."""
    cdef vec m = expm1_of(-size)
    cdef vec near = log1p_of(where_less(size, splat(1), splat(<real>0.5) * m * m / (splat(1) + m), splat(0)))
    cdef vec far = size + (log1p_of(vexp(splat(-2) * size)) - splat(<real>0.69314718055994530942))
    return where_less(size, splat(1), near, far)


cdef inline vec elementwise_loss(const int loss, vec z, vec y, vec p) noexcept nogil:
    """Loss of one output. p is the parameter, or the level of a quantile."""
    cdef vec e = z - y, size = vabs(e)
    if loss == ABSOLUTE_ERROR: return size
    if loss == HUBER: return where_less(p, size, p * (size - splat(<real>0.5) * p), splat(<real>0.5) * e * e)
    if loss == LOG_COSH: return log_cosh_of(size)
    if loss == QUANTILE: return where_less(splat(0), e, (splat(1) - p) * e, -(p * e))
    if loss == POISSON: return vexp(z) - y * z
    if loss == BINARY_CROSS_ENTROPY:            # -t log(s) - (1 - t) log(1 - s), s = sigmoid(z)
        return where_less(z, splat(0), splat(0), z) - z * binary_target(y, p) + log1p_of(vexp(-vabs(z)))
    if loss == HINGE:
        e = splat(1) - (y + y - splat(1)) * z
        return where_less(e, splat(0), splat(0), e)
    return splat(<real>0.5) * e * e

cdef inline vec elementwise_gradient(const int loss, vec z, vec y, vec p) noexcept nogil:
    """d(loss)/d(raw) of one output."""
    cdef vec e = z - y
    if loss == ABSOLUTE_ERROR: return vsign(e)
    if loss == HUBER: return where_less(p, vabs(e), vcopysign(p, e), e)
    if loss == LOG_COSH: return vtanh(e)
    if loss == QUANTILE: return where_less(splat(0), e, splat(1) - p, where_less(e, splat(0), -p, splat(0)))
    if loss == POISSON: return vexp(z) - y
    if loss == BINARY_CROSS_ENTROPY: return vsigmoid(z) - binary_target(y, p)
    if loss == HINGE:
        e = y + y - splat(1)
        return where_less(e * z, splat(1), -e, splat(0))
    return e


cdef inline vec elementwise_score(const int loss, vec z, vec y) noexcept nogil:
    """Square of the prediction's error; of a class: 1 where the more probable one is not the target's."""
    cdef vec e = (vexp(z) if loss == POISSON else z) - y
    if loss == BINARY_CROSS_ENTROPY or loss == HINGE:
        return vabs(where_less(splat(0), z, splat(1), splat(0)) - where_less(splat(<real>0.5), y, splat(1), splat(0)))
    return e * e


cdef inline vec keep(vec x, vec otherwise, int v, Py_ssize_t n) noexcept nogil:
    """x in the first n lanes of a line, `otherwise` in its pads; x is vector v of the line."""
    return where_less(load(LANE_NUMBERS.x + v * VL), splat(<real>n), x, otherwise)

cdef inline vec unless_nan(vec y, vec x) noexcept nogil:
    """x, and 0 where y is NaN: a target that is not there."""
    return where_less(vabs(y), splat(INFINITY), x, splat(0))


cdef struct LossBlock:
    # The rows that are taken together, LINE at most: what a sample's outputs sum to then lies in one line of a transposed block.
    Py_ssize_t n                    # samples of the block
    Py_ssize_t sample[16]           # whose targets
    double scale[16]                # of each one's gradient


cdef inline void elementwise_block(const int loss, const LossSpec* spec, const real* raw, real* draw, Py_ssize_t panel,
                                   Py_ssize_t n_out, const Targets* y, const LossBlock* block, double* losses,
                                   double* scores) noexcept nogil:
    """A loss that is a sum over outputs."""
    cdef Block totals, marks
    cdef double[16] sums
    cdef Py_ssize_t r
    for r in range(block.n):
        elementwise_row(loss, spec, raw + r * LINE, draw + r * LINE, panel, n_out,
                        y.values.data + block.sample[r] * y.values.stride, y.values.is_double, block.scale[r],
                        totals.x + r * LINE, marks.x + r * LINE)
    lane_sums(totals.x, sums)
    memcpy(losses, sums, block.n * sizeof(double))
    lane_sums(marks.x, sums)
    for r in range(block.n):
        scores[r] = sums[r] == 0 if loss == BINARY_CROSS_ENTROPY or loss == HINGE else sums[r]


cdef inline void elementwise_row(const int loss, const LossSpec* spec, const real* raw, real* draw, Py_ssize_t panel,
                                 Py_ssize_t n_out, const char* y, bint y_is_double, double scale, real* total,
                                 real* score) noexcept nogil:
    """The gradient of one sample; a line of sums of its loss, and of its score."""
    cdef vec totals[16]
    cdef vec scores[16]
    cdef vec z, t, value, gradient, own, p = splat(<real>spec.parameter)
    cdef Line target
    cdef Py_ssize_t q, n, at
    cdef int v
    for v in range(VECTORS):
        totals[v] = scores[v] = splat(0)
    for q in range(n_panels(n_out)):
        n = min(<Py_ssize_t>LINE, n_out - q * LINE)
        read_line(y + q * LINE * (8 if y_is_double else 4), y_is_double, <int>n, target.x)
        for v in range(VECTORS):
            at = q * panel + v * VL
            z, t = load(raw + at), load(target.x + v * VL)
            if loss == QUANTILE: p = load(spec.levels + q * LINE + v * VL)
            value, gradient = elementwise_loss(loss, z, t, p), elementwise_gradient(loss, z, t, p)
            own = elementwise_score(loss, z, t)
            if loss != BINARY_CROSS_ENTROPY and loss != HINGE:
                value, gradient, own = unless_nan(t, value), unless_nan(t, gradient), unless_nan(t, own)
            totals[v] = totals[v] + keep(value, splat(0), v, n)
            scores[v] = scores[v] + keep(own, splat(0), v, n)
            store(draw + at, keep(gradient * splat(<real>scale), splat(0), v, n))
    for v in range(VECTORS):
        store(total + v * VL, totals[v])
        store(score + v * VL, scores[v])


cdef void softmax_block(const LossSpec* spec, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                        const Targets* y, const LossBlock* block, double* losses, double* scores) noexcept nogil:
    """-log softmax(raw)[label] = log sum exp(raw - m) - (raw[label] - m), m the largest raw; d/draw = softmax - onehot."""
    cdef Block lines
    cdef Line largest, logs
    cdef double[16] sums
    cdef Py_ssize_t r, label
    cdef real m, own
    for r in range(block.n):
        largest_line(raw + r * LINE, panel, n_out, lines.x + r * LINE)
    lane_maxima(lines.x, largest.x)
    for r in range(block.n):
        exp_line(raw + r * LINE, largest.x[r], draw + r * LINE, panel, n_out, lines.x + r * LINE)
    lane_sums(lines.x, sums)
    log_line(sums, logs.x)
    for r in range(block.n):
        m, label = largest.x[r], y.labels[block.sample[r]]
        own = raw[(label // LINE) * panel + r * LINE + label % LINE]
        scale_row(block.scale[r] / sums[r], draw + r * LINE, panel, n_out)
        draw[(label // LINE) * panel + r * LINE + label % LINE] -= <real>block.scale[r]
        scores[r] = own == m and first_index(raw + r * LINE, panel, m) == label
        losses[r] = logs.x[r] - (<double>own - <double>m)
        if spec.parameter > 0:
            losses[r] += smooth_row(spec.parameter, raw + r * LINE, draw + r * LINE, panel, n_out, label, own, block.scale[r])


cdef inline void largest_line(const real* raw, Py_ssize_t panel, Py_ssize_t n_out, real* largest) noexcept nogil:
    """The largest of a row's panels in each lane."""
    cdef vec x, y
    cdef Py_ssize_t q
    cdef int v
    for v in range(VECTORS):
        x = splat(-INFINITY)
        for q in range(n_panels(n_out)):
            y = keep(load(raw + q * panel + v * VL), splat(-INFINITY), v, n_out - q * LINE)
            x = where_less(x, y, y, x)
        store(largest + v * VL, x)


cdef inline void exp_line(const real* raw, real m, real* e, Py_ssize_t panel, Py_ssize_t n_out, real* total) noexcept nogil:
    """e = exp(raw - m) of a row, and its sum over the panels."""
    cdef vec x, sum_of
    cdef Py_ssize_t q
    cdef int v
    for v in range(VECTORS):
        sum_of = splat(0)
        for q in range(n_panels(n_out)):
            x = keep(vexp(load(raw + q * panel + v * VL) - splat(m)), splat(0), v, n_out - q * LINE)
            sum_of = sum_of + x
            store(e + q * panel + v * VL, x)
        store(total + v * VL, sum_of)


cdef inline void log_line(const double* s, real* logs) noexcept nogil:
    """log(s) of a line, s >= 1: by s - 1, so that the small loss of a sample that is all but certain keeps what s has of it."""
    cdef Line rest
    cdef vec u
    cdef int r, v
    for r in range(LINE):
        rest.x[r] = <real>(s[r] - 1)
    for v in range(VECTORS):
        u = load(rest.x + v * VL)
        store(logs + v * VL, where_less(u, splat(1), log1p_of(u), vlog(splat(1) + u)))


cdef inline void scale_row(double scale, real* row, Py_ssize_t panel, Py_ssize_t n_out) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(n_panels(n_out)):
        scale_span(scale, row + q * panel, LINE)


cdef double smooth_row(double smoothing, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, long long label,
                       real own, double scale) noexcept nogil:
    """From one hot target to 1 - s of it and s / n_out everywhere (Szegedy et al. 2016): what the loss grows by."""
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n_out):
        total += <double>own - <double>raw[(i // LINE) * panel + i % LINE]
        draw[(i // LINE) * panel + i % LINE] -= <real>(scale * smoothing / n_out)
    draw[(label // LINE) * panel + label % LINE] += <real>(scale * smoothing)
    return smoothing * total / n_out


cdef inline Py_ssize_t first_index(const real* raw, Py_ssize_t panel, real value) noexcept nogil:
    """argmax: the first output that equals the largest; there is one."""
    cdef Py_ssize_t i = 0
    while raw[(i // LINE) * panel + i % LINE] != value:
        i += 1
    return i


cdef void loss_block(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, const Targets* y,
                     const LossBlock* block, double* losses, double* scores) noexcept nogil:
    if loss.code == SOFTMAX_CROSS_ENTROPY: softmax_block(loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == ABSOLUTE_ERROR:
        elementwise_block(ABSOLUTE_ERROR, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == HUBER: elementwise_block(HUBER, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == LOG_COSH: elementwise_block(LOG_COSH, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == QUANTILE: elementwise_block(QUANTILE, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == POISSON: elementwise_block(POISSON, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == BINARY_CROSS_ENTROPY:
        elementwise_block(BINARY_CROSS_ENTROPY, loss, raw, draw, panel, n_out, y, block, losses, scores)
    elif loss.code == HINGE: elementwise_block(HINGE, loss, raw, draw, panel, n_out, y, block, losses, scores)
    else: elementwise_block(SQUARED_ERROR, loss, raw, draw, panel, n_out, y, block, losses, scores)


cdef void link_row(int loss, real* row, Py_ssize_t n) noexcept nogil:
    """The loss's inverse link on one row-major row, in place: what `predict_proba` gives, and `predict` of poisson."""
    cdef Line line
    cdef Py_ssize_t i, q, size
    cdef int v
    cdef vec x
    cdef real m = row[0] if loss == SOFTMAX_CROSS_ENTROPY else 0
    cdef double s = 0
    if loss != SOFTMAX_CROSS_ENTROPY and loss != BINARY_CROSS_ENTROPY and loss != POISSON:
        return
    if loss == SOFTMAX_CROSS_ENTROPY:
        for i in range(n):
            m = max(m, row[i])
    for q in range(n_panels(n)):
        size = min(<Py_ssize_t>LINE, n - q * LINE)
        read_line(<const char*>(row + q * LINE), FASTBP_F64, <int>size, line.x)
        for v in range(VECTORS):
            x = load(line.x + v * VL)
            store(line.x + v * VL, vsigmoid(x) if loss == BINARY_CROSS_ENTROPY else vexp(x - splat(m)))
        memcpy(row + q * LINE, line.x, size * sizeof(real))
    if loss == SOFTMAX_CROSS_ENTROPY:
        for i in range(n): s += row[i]
        for i in range(n): row[i] = <real>(row[i] / s)
