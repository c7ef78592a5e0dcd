# Losses. Each owns its link, gets the raw outputs, and gives the loss of a sample and d(mean loss)/d(raw) together:
# the cross entropies finite for any finite raw, exact where the naive form overflows.
# To add one: the enum, its functions and its lines in `loss_rows` and `link_row`; its row in losses.py; its twin in reference.py.

cpdef enum Loss:
    SQUARED_ERROR
    BINARY_CROSS_ENTROPY
    SOFTMAX_CROSS_ENTROPY

cdef struct Targets:
    const long long* labels         # class of each sample, for softmax_cross_entropy
    Rows values                     # (n_samples, n_out), for the others


cdef inline vec squared_error_loss(vec z, vec y) noexcept nogil:
    """(z - y)^2 / 2, identity link."""
    return splat(<real>0.5) * (z - y) * (z - y)

cdef inline vec squared_error_gradient(vec z, vec y) noexcept nogil:
    return z - y


cdef inline vec binary_cross_entropy_loss(vec z, vec y) noexcept nogil:
    """-y log(p) - (1 - y) log(1 - p), p = sigmoid(z); as max(z, 0) - z y + log(1 + exp(-|z|))."""
    return where_less(z, splat(0), splat(0), z) - z * y + log1p_of(vexp(-vabs(z)))

cdef inline vec binary_cross_entropy_gradient(vec z, vec y) noexcept nogil:
    return vsigmoid(z) - y

cdef inline vec binary_miss(vec z, vec y) noexcept nogil:
    """1 where the more probable class is not the target's, else 0."""
    return vabs(where_less(splat(0), z, splat(1), splat(0)) - where_less(splat(<real>0.5), y, splat(1), splat(0)))


cdef inline vec keep(vec x, vec otherwise, int v, Py_ssize_t n) noexcept nogil:
    """x in the first n lanes of a line, `otherwise` in its pads; x is vector v of the line."""
    return where_less(load(LANE_NUMBERS.x + v * VL), splat(<real>n), x, otherwise)

cdef inline double lane_sum(vec* lanes) noexcept nogil:
    """Sum of a line's lanes, halves onto halves: the same order on every ISA."""
    cdef Line line
    cdef double[16] x
    cdef int i, half = LINE // 2
    for i in range(VECTORS):
        store(line.x + i * VL, lanes[i])
    for i in range(LINE):
        x[i] = line.x[i]
    while half > 0:
        for i in range(half):
            x[i] += x[i + half]
        half //= 2
    return x[0]

cdef inline real lane_max(vec x) noexcept nogil:
    """Largest lane of a vector."""
    cdef Line line
    cdef int i, half = VL // 2
    store(line.x, x)
    while half > 0:
        for i in range(half):
            line.x[i] = max(line.x[i], line.x[i + half])
        half //= 2
    return line.x[0]


cdef double elementwise_row(const int loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out,
                            const char* y, bint y_is_double, real scale, bint* hit) noexcept nogil:
    """Loss of one sample under a loss that is a sum over outputs."""
    cdef vec total[16]
    cdef vec misses[16]
    cdef vec z, t, value, gradient
    cdef Line target
    cdef Py_ssize_t q, n, at
    cdef int v
    for v in range(VECTORS):
        total[v] = misses[v] = splat(0)
    for q in range(n_panels(n_out)):
        n = min(<Py_ssize_t>LINE, n_out - q * LINE)
        read_line(y + q * LINE * (8 if y_is_double else 4), y_is_double, <int>n, target.x)
        for v in range(VECTORS):
            at = q * panel + v * VL
            z, t = load(raw + at), load(target.x + v * VL)
            if loss == SQUARED_ERROR:
                value, gradient = squared_error_loss(z, t), squared_error_gradient(z, t)
            else:
                value, gradient = binary_cross_entropy_loss(z, t), binary_cross_entropy_gradient(z, t)
                misses[v] = misses[v] + keep(binary_miss(z, t), splat(0), v, n)
            total[v] = total[v] + keep(value, splat(0), v, n)
            store(draw + at, keep(gradient * splat(scale), splat(0), v, n))
    hit[0] = loss != SQUARED_ERROR and lane_sum(misses) == 0
    return lane_sum(total)


cdef double softmax_row(const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, long long label, real scale,
                        bint* hit) noexcept nogil:
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
    draw[(label // LINE) * panel + label % LINE] -= scale
    hit[0] = own == m and first_index(raw, panel, m) == label
    return log(s) - (<double>own - <double>m)


cdef inline Py_ssize_t first_index(const real* raw, Py_ssize_t panel, real value) noexcept nogil:
    """argmax: the first output that equals the largest; there is one."""
    cdef Py_ssize_t i = 0
    while raw[(i // LINE) * panel + i % LINE] != value:
        i += 1
    return i


cdef void loss_rows(int loss, const real* raw, real* draw, Py_ssize_t panel, Py_ssize_t n_out, const Targets* y,
                    const long long* order, Py_ssize_t first, Py_ssize_t last, real scale, double* losses,
                    unsigned char* hits) noexcept nogil:
    """Losses and hits of samples first..last, and draw = scale * d(loss)/d(raw). Targets are those that `order` names."""
    cdef Py_ssize_t r, sample
    cdef const char* row
    cdef bint hit = False
    for r in range(first, last):
        sample = order[r] if order != NULL else r
        if loss == SOFTMAX_CROSS_ENTROPY:
            losses[r] = softmax_row(raw + r * LINE, draw + r * LINE, panel, n_out, y.labels[sample], scale, &hit)
        else:
            row = y.values.data + sample * y.values.stride
            if loss == SQUARED_ERROR:
                losses[r] = elementwise_row(SQUARED_ERROR, raw + r * LINE, draw + r * LINE, panel, n_out, row,
                                            y.values.is_double, scale, &hit)
            else:
                losses[r] = elementwise_row(BINARY_CROSS_ENTROPY, raw + r * LINE, draw + r * LINE, panel, n_out, row,
                                            y.values.is_double, scale, &hit)
        hits[r] = hit


cdef void link_row(int loss, real* row, Py_ssize_t n) noexcept nogil:
    """The loss's inverse link on one row-major row, in place: what `predict_proba` gives."""
    cdef Line line
    cdef Py_ssize_t i, q, size
    cdef int v
    cdef real m = row[0]
    cdef double s = 0
    if loss == SQUARED_ERROR:
        return
    for i in range(n):
        m = max(m, row[i])
    for q in range(n_panels(n)):
        size = min(<Py_ssize_t>LINE, n - q * LINE)
        read_line(<const char*>(row + q * LINE), FASTBP_F64, <int>size, line.x)
        for v in range(VECTORS):
            if loss == SOFTMAX_CROSS_ENTROPY: store(line.x + v * VL, vexp(load(line.x + v * VL) - splat(m)))
            else: store(line.x + v * VL, vsigmoid(load(line.x + v * VL)))
        memcpy(row + q * LINE, line.x, size * sizeof(real))
    if loss == SOFTMAX_CROSS_ENTROPY:
        for i in range(n): s += row[i]
        for i in range(n): row[i] = <real>(row[i] / s)
