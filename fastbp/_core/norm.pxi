# Normalisation of x W: u = (x W - mean) / sqrt(variance + EPS), then z = gain u + b.
# Layer norm: over the features of a sample (Ba, Kiros and Hinton 2016). Batch norm: over the batch, feature by feature;
# inference takes running means of both (Ioffe and Szegedy 2015). Sums run in the order of features or of samples.

cdef double EPS = 1e-5
cdef double MOMENTUM_OF_STATISTICS = 0.9


cdef void start_norm(const Layer* layer) noexcept nogil:
    """Gain 1, running mean 0, running variance 1."""
    cdef Py_ssize_t i, at
    for i in range(layer.n_out if layer.norm != NO_NORM else 0):
        at = (i // LINE) * weights_panel(layer) + i % LINE
        vector_of(layer, 1)[at] = 1
        if layer.norm == BATCH_NORM: vector_of(layer, 3)[at] = 1


cdef void layer_norm_forward(const Layer* layer, Py_ssize_t panel, Py_ssize_t r) noexcept nogil:
    cdef vec total[16]
    cdef vec d
    cdef Py_ssize_t q, at, w, panels = n_panels(layer.n_out)
    cdef int v
    cdef real mean, inverse
    for v in range(VECTORS):
        total[v] = splat(0)
    for q in range(panels):                                     # pads of x W are zero
        for v in range(VECTORS):
            total[v] = total[v] + load(layer.u + q * panel + r * LINE + v * VL)
    mean = <real>(lane_sum(total) / layer.n_out)
    for v in range(VECTORS):
        total[v] = splat(0)
    for q in range(panels):
        for v in range(VECTORS):
            d = load(layer.u + q * panel + r * LINE + v * VL) - splat(mean)
            total[v] = total[v] + keep(d * d, splat(0), v, layer.n_out - q * LINE)
    inverse = <real>(1 / sqrt(lane_sum(total) / layer.n_out + EPS))
    if layer.spread != NULL:
        layer.spread[r] = inverse
    for q in range(panels):
        w = q * weights_panel(layer)
        for v in range(VECTORS):
            at = q * panel + r * LINE + v * VL
            d = (load(layer.u + at) - splat(mean)) * splat(inverse)
            store(layer.u + at, d)
            store(layer.z + at, load(vector_of(layer, 1) + w + v * VL) * d + load(vector_of(layer, 0) + w + v * VL))


cdef void layer_norm_backward(const Layer* layer, Py_ssize_t panel, Py_ssize_t r) noexcept nogil:
    """du = (g - mean(g) - u mean(g u)) / deviation, g = gain dy."""
    cdef vec total[16]
    cdef vec projected[16]
    cdef vec g, u
    cdef Py_ssize_t q, at, panels = n_panels(layer.n_out)
    cdef int v
    cdef real mean, slope
    for v in range(VECTORS):
        total[v] = projected[v] = splat(0)
    for q in range(panels):                                     # pads of gain are zero
        for v in range(VECTORS):
            at = q * panel + r * LINE + v * VL
            g = load(vector_of(layer, 1) + q * weights_panel(layer) + v * VL) * load(layer.dy + at)
            total[v] = total[v] + g
            projected[v] = projected[v] + g * load(layer.u + at)
            store(layer.dz + at, g)
    mean, slope = <real>(lane_sum(total) / layer.n_out), <real>(lane_sum(projected) / layer.n_out)
    for q in range(panels):
        for v in range(VECTORS):
            at = q * panel + r * LINE + v * VL
            u = load(layer.u + at)
            g = splat(layer.spread[r]) * (load(layer.dz + at) - splat(mean) - u * splat(slope))
            store(layer.dz + at, keep(g, splat(0), v, layer.n_out - q * LINE))


cdef void batch_statistics(const Layer* layer, Py_ssize_t panel, Py_ssize_t q, Py_ssize_t n) noexcept nogil:
    """Mean and variance of panel q over n samples."""
    cdef vec mean, total, d
    cdef Py_ssize_t r
    cdef int v
    for v in range(VECTORS):
        total = splat(0)
        for r in range(n):
            total = total + load(layer.u + q * panel + r * LINE + v * VL)
        mean = total * splat(<real>(1.0 / n))
        total = splat(0)
        for r in range(n):
            d = load(layer.u + q * panel + r * LINE + v * VL) - mean
            total = total + d * d
        store(layer.statistics + 2 * q * LINE + v * VL, mean)
        store(layer.statistics + (2 * q + 1) * LINE + v * VL, total * splat(<real>(1.0 / n)))


cdef void batch_norm_forward(const Layer* layer, const Pass* how, Py_ssize_t q, Py_ssize_t first,
                             Py_ssize_t last) noexcept nogil:
    """Panel q of samples first..last, by the batch's statistics or, in inference, by the running ones."""
    cdef const real* mean = vector_of(layer, 2) + q * weights_panel(layer)
    cdef const real* variance = mean + LINE
    cdef const real* gain = mean - LINE
    cdef vec inverse, u
    cdef Py_ssize_t r, at
    cdef int v
    if how.mode != INFERENCE:
        mean, variance = layer.statistics + 2 * q * LINE, layer.statistics + (2 * q + 1) * LINE
    for v in range(VECTORS):
        inverse = splat(1) / vsqrt(load(variance + v * VL) + splat(<real>EPS))
        if layer.spread != NULL:
            store(layer.spread + q * LINE + v * VL, inverse)
        for r in range(first, last):
            at = q * how.panel + r * LINE + v * VL
            u = (load(layer.u + at) - load(mean + v * VL)) * inverse
            store(layer.u + at, u)
            store(layer.z + at, load(gain + v * VL) * u + load(gain - LINE + v * VL))


cdef void batch_norm_backward(const Layer* layer, const Pass* how, Py_ssize_t q, Py_ssize_t n) noexcept nogil:
    """du = gain (dy - mean(dy) - u mean(dy u)) / deviation; with running statistics, which are constants,
    gain dy / deviation."""
    cdef const real* gain = vector_of(layer, 1) + q * weights_panel(layer)
    cdef vec total, projected, dy, factor, share = splat(<real>(1.0 / n))
    cdef Py_ssize_t r, at
    cdef int v
    for v in range(VECTORS):
        total = projected = splat(0)
        if how.mode != INFERENCE:
            for r in range(n):
                at = q * how.panel + r * LINE + v * VL
                dy = load(layer.dy + at)
                total = total + dy
                projected = projected + dy * load(layer.u + at)
        total = total * share
        projected = projected * share
        factor = load(gain + v * VL) * load(layer.spread + q * LINE + v * VL)
        for r in range(n):
            at = q * how.panel + r * LINE + v * VL
            store(layer.dz + at, factor * (load(layer.dy + at) - total - load(layer.u + at) * projected))


cdef void update_statistics(const Layer* layer, Py_ssize_t q, Py_ssize_t n) noexcept nogil:
    """Running mean and variance of panel q; the variance of the whole population is estimated by n / (n - 1) that of a
    batch."""
    cdef real* running = vector_of(layer, 2) + q * weights_panel(layer)
    cdef const real* batch = layer.statistics + 2 * q * LINE
    cdef double unbiased = <double>n / max(n - 1, <Py_ssize_t>1)
    cdef int i
    for i in range(LINE):
        running[i] = <real>(MOMENTUM_OF_STATISTICS * running[i] + (1 - MOMENTUM_OF_STATISTICS) * batch[i])
        running[LINE + i] = <real>(MOMENTUM_OF_STATISTICS * running[LINE + i]
                                   + (1 - MOMENTUM_OF_STATISTICS) * unbiased * batch[LINE + i])


cdef void layer_norm_rows(const Layer* layer, const real* x, const Pass* how, Py_ssize_t first,
                          Py_ssize_t last) noexcept nogil:
    """From x W to out, for samples first..last."""
    cdef Py_ssize_t r, q
    for r in range(first, last):
        layer_norm_forward(layer, how.panel, r)
    for q in range(n_panels(layer.n_out)):
        finish_forward(layer, x, how, q, first, last - first)
