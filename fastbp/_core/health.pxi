# Gradient health: what the layers look like at every `every`-th step, in numbers that a verdict can be read from. Each
# layer is looked at by one thread, in the order of its numbers, so that the figures do not depend on the threads.

cdef struct LayerHealth:
    double w, dz, saturated         # at the watched step: sums of squares, and the share of entries
    double total_dz, total_dw, total_ratio, total_saturated
    real* steepest                  # largest |f'| of each unit so far: 0 is a dead unit

cdef struct Health:
    Py_ssize_t every
    long long n_watched
    LayerHealth* layers


cdef double weights_squared(const Layer* layer) noexcept nogil:
    """|W|^2, summed in double, lane by lane first."""
    cdef const real* line
    cdef double[16] lanes
    cdef double total = 0
    cdef Py_ssize_t q, r
    cdef int i
    memset(lanes, 0, 16 * sizeof(double))
    for q in range(n_panels(layer.n_out)):
        for r in range(weight_rows(layer)):
            line = layer.w + q * weights_panel(layer) + r * LINE
            for i in range(LINE):
                lanes[i] += <double>line[i] * <double>line[i]
    for i in range(LINE):
        total += lanes[i]
    return total


cdef void inspect_layer(const Layer* layer, LayerHealth* health, Py_ssize_t panel, Py_ssize_t n_rows) noexcept nogil:
    """d(loss)/dz, and the slopes of the activation: |f'| of every entry, its largest of every unit."""
    cdef Line slopes
    cdef vec count, slope, flat = splat(<real>(0.01 * steepest(layer.activation)))
    cdef vec counts[16]
    cdef Py_ssize_t q, r, at
    cdef int v
    health.dz = 0
    for v in range(VECTORS):
        counts[v] = splat(0)
    for q in range(n_panels(layer.n_out)):
        for r in range(n_rows):
            at = q * panel + r * LINE
            for v in range(VECTORS):
                store(slopes.x + v * VL, splat(1))
            backward_span(layer.activation, layer.z + at, layer.a + at, slopes.x, LINE)
            for v in range(VECTORS):
                slope = vabs(load(slopes.x + v * VL))
                store(health.steepest + q * LINE + v * VL, larger(load(health.steepest + q * LINE + v * VL), slope))
                count = where_less(flat, slope, splat(0), splat(1))
                counts[v] = counts[v] + keep(count, splat(0), v, layer.n_out - q * LINE)
        health.dz += squares(layer.dy + q * panel, n_rows * LINE)
    health.saturated = 0
    if steepest(layer.activation) > 0:
        health.saturated = lane_sum(counts) / (<double>n_rows * layer.n_out)


cdef void tally_layer(const Layer* layer, LayerHealth* health) noexcept nogil:
    """Adds the watched step, when dW is known."""
    cdef double dw = sqrt(norm_squared(layer, False)), w = sqrt(health.w)
    health.total_dz += sqrt(health.dz)
    health.total_dw += dw
    health.total_ratio += dw / w if w > 0 else 0
    health.total_saturated += health.saturated


cdef double dead_share(const Layer* layer, const LayerHealth* health) noexcept nogil:
    cdef Py_ssize_t i, n = 0
    for i in range(layer.n_out):
        n += health.steepest[i] == 0
    return <double>n / layer.n_out
