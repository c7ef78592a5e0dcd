# Losses. Each owns its link, gets the raw outputs, and gives the loss of a sample and d(loss)/d(raw) together:
# the cross entropies finite for any finite raw, exact where the naive form overflows.
# To add one: the enum, its lines in `elementwise_loss` and `elementwise_gradient` (or its own row function), and in
# `loss_row` and `link_row`; its class in losses.py; its twin in reference.py.

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


cdef inline double elementwise_row(const int loss, const LossSpec* spec, const real* raw, real* draw, Py_ssize_t panel,
                                   Py_ssize_t n_out, const char* y, bint y_is_double, double scale,
                                   double* score) noexcept nogil:
    """Loss of one sample under a loss that is a sum over outputs."""
    cdef vec total[16]
    cdef vec scores[16]
    cdef vec z, t, value, gradient, own, p = splat(<real>spec.parameter)
    cdef Line target
    cdef Py_ssize_t q, n, at
    cdef int v
    for v in range(VECTORS):
        total[v] = scores[v] = splat(0)
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
            total[v] = total[v] + keep(value, splat(0), v, n)
            scores[v] = scores[v] + keep(own, splat(0), v, n)
            store(draw + at, keep(gradient * splat(<real>scale), splat(0), v, n))
    score[0] = lane_sum(scores)
    if loss == BINARY_CROSS_ENTROPY or loss == HINGE:
        score[0] = score[0] == 0
    return lane_sum(total)


cdef double softmax_row(const LossSpec* spec, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                        long long label, double scale, double* score) noexcept nogil:
    """-log softmax(raw)[label] = log sum exp(raw - m) - (raw[label] - m), m the largest raw; d/draw = softmax - onehot."""
    cdef vec total[16]
    cdef vec largest = splat(-INFINITY), e
    cdef Py_ssize_t q, at, panels = n_panels(n_out)
    cdef int v
    cdef real m
    cdef double s
    cdef real own = raw[(label // LINE) * panel + label % LINE]
    for q in range(panels):
        for v in range(VECTORS):
            e = keep(load(raw + q * panel + v * VL), splat(-INFINITY), v, n_out - q * LINE)
            largest = where_less(largest, e, e, largest)
    m = lane_max(largest)
    for v in range(VECTORS):
        total[v] = splat(0)
    for q in range(panels):
        for v in range(VECTORS):
            at = q * panel + v * VL
            e = keep(vexp(load(raw + at) - splat(m)), splat(0), v, n_out - q * LINE)
            total[v] = total[v] + e
            store(draw + at, e)
    s = lane_sum(total)
    for q in range(panels):
        for v in range(VECTORS):
            at = q * panel + v * VL
            store(draw + at, load(draw + at) * splat(<real>(scale / s)))
    draw[(label // LINE) * panel + label % LINE] -= <real>scale
    score[0] = own == m and first_index(raw, panel, m) == label
    s = log(s) - (<double>own - <double>m)
    if spec.parameter > 0:
        s += smooth_row(spec.parameter, raw, draw, panel, n_out, label, own, scale)
    return s


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


cdef double loss_row(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                     const Targets* y, Py_ssize_t sample, double scale, double* score) noexcept nogil:
    cdef const char* row = y.values.data + sample * y.values.stride
    cdef bint d = y.values.is_double
    if loss.code == SOFTMAX_CROSS_ENTROPY: return softmax_row(loss, raw, draw, panel, n_out, y.labels[sample], scale, score)
    if loss.code == ABSOLUTE_ERROR: return elementwise_row(ABSOLUTE_ERROR, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == HUBER: return elementwise_row(HUBER, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == LOG_COSH: return elementwise_row(LOG_COSH, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == QUANTILE: return elementwise_row(QUANTILE, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == POISSON: return elementwise_row(POISSON, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == BINARY_CROSS_ENTROPY:
        return elementwise_row(BINARY_CROSS_ENTROPY, loss, raw, draw, panel, n_out, row, d, scale, score)
    if loss.code == HINGE: return elementwise_row(HINGE, loss, raw, draw, panel, n_out, row, d, scale, score)
    return elementwise_row(SQUARED_ERROR, loss, raw, draw, panel, n_out, row, d, scale, score)


cdef void loss_rows(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, const Targets* y,
                    const long long* order, Py_ssize_t first, Py_ssize_t last, double scale, double* losses,
                    double* scores) noexcept nogil:
    """Weighted losses and scores of samples first..last, and draw = scale * weight * d(loss)/d(raw). Targets are those that
    `order` names."""
    cdef Py_ssize_t r, sample
    cdef double weight = 1
    for r in range(first, last):
        sample = order[r] if order != NULL else r
        if y.weights != NULL: weight = y.weights[sample]
        losses[r] = weight * loss_row(loss, raw + r * LINE, draw + r * LINE, panel, n_out, y, sample, scale * weight,
                                      &scores[r])


cdef int custom_rows(const LossSpec* loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                     const Targets* y, const long long* order, Py_ssize_t first, Py_ssize_t last, double scale,
                     real* scratch, double* losses, double* scores) noexcept nogil:
    """The same by a user's function, which wants rows: `scratch` holds raw, y and draw of the batch, row-major."""
    cdef Py_ssize_t n = last - first, n_y = y.n_values, r, i, sample, row = 2 * n_out + n_y
    cdef real* raw_rows = scratch + first * row
    cdef real* y_rows = raw_rows + n * n_out
    cdef real* draw_rows = y_rows + n * n_y
    cdef double weight = 1
    cdef int failed
    if n == 0:
        return 0
    unpack_rows(raw + first * LINE, panel, n, n_out, raw_rows, n_out)
    for r in range(n):
        sample = order[first + r] if order != NULL else first + r
        for i in range(n_panels(n_y)):
            read_row(&y.values, sample, i * LINE, min(<Py_ssize_t>LINE, n_y - i * LINE), y_rows + r * n_y + i * LINE)
    failed = loss.function(loss.context, n, n_out, n_y, raw_rows, y_rows, losses + first, draw_rows)
    for r in range(n):
        sample = order[first + r] if order != NULL else first + r
        if y.weights != NULL: weight = y.weights[sample]
        losses[first + r] *= weight
        scores[first + r] = 0
        for i in range(n_out):
            draw[(i // LINE) * panel + (first + r) * LINE + i % LINE] = <real>(scale * weight) * draw_rows[r * n_out + i]
    return failed


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
