# Update rules on a span: w <- w - eta dL/dw and its variants. g is the gradient of the mean loss plus l2 w + l1 sign(w).
# `weight_decay` is decoupled (Loshchilov and Hutter 2019); none of the three reaches a bias or a gain.
# To add a rule: the enum, its branch in `update_vector` and its line in `n_slots` and `update_span`; its class in
# optimizers.py; its twin in reference.py.

cpdef enum Rule:
    SGD
    MOMENTUM
    NESTEROV
    ADAGRAD
    RMSPROP
    ADAM
    NADAM
    AMSGRAD
    LION
    RPROP

cdef struct Update:
    int rule
    double learning_rate, momentum, beta1, beta2, eps, upper, weight_decay, l2, l1
    double clip_value, clip_layer, clip_norm    # 0: off
    double average                              # -1: off; decay of the moving average; 1: the plain mean (Polyak)

cdef inline int n_slots(int rule) noexcept nogil:
    """Numbers that a rule keeps for each parameter."""
    if rule == SGD: return 0
    if rule == AMSGRAD: return 3
    if rule == RMSPROP or rule == ADAM or rule == NADAM or rule == RPROP: return 2
    return 1


cdef Update at_step(const Update* u, double learning_rate, long long t) noexcept nogil:
    """The settings of update t = 1, 2, ...: Adam's bias corrections, folded into two scalars (Kingma and Ba 2015,
    section 2), with the product learning_rate * weight_decay as it was; NAdam's two weights, of m in `momentum` and of g
    in `upper`; the decay of the average."""
    cdef Update v = u[0]
    cdef double first, second, scale = 1
    if u.rule == ADAM or u.rule == AMSGRAD or u.rule == NADAM:
        first, second = 1 - pow(u.beta1, t), sqrt(1 - pow(u.beta2, t))
        v.eps = u.eps * second
        scale = second / first
        if u.rule == NADAM:
            scale = second
            v.momentum, v.upper = u.beta1 / (1 - pow(u.beta1, t + 1)), (1 - u.beta1) / first
    v.learning_rate = learning_rate * scale
    v.weight_decay = u.weight_decay / scale
    if u.average >= 0:
        v.average = (t - 1.0) / t if u.average == 1 else min(u.average, (1.0 + t) / (10.0 + t))
    return v


cdef inline vec vsign(vec x) noexcept nogil:
    """-1, 0 or 1."""
    return where_less(splat(0), x, splat(1), where_less(x, splat(0), splat(-1), splat(0)))


cdef inline void update_vector(const int rule, const Update* u, real* w, const real* dw, real* slot,
                               Py_ssize_t distance) noexcept nogil:
    """One vector of weights; slot k stands at slot + k * distance. A velocity v holds the learning rate, as in Goodfellow
    et al. 2016, algorithm 8.2; the formulas and papers are in optimizers.py, in the words used here."""
    cdef vec x, g, m, v, s, p
    cdef vec eta = splat(<real>u.learning_rate), eps = splat(<real>u.eps)
    cdef vec beta1 = splat(<real>u.beta1), beta2 = splat(<real>u.beta2), momentum = splat(<real>u.momentum)
    x = load(w)
    g = load(dw) + splat(<real>u.l2) * x
    x = x - splat(<real>(u.learning_rate * u.weight_decay)) * x
    if rule == SGD:
        x = x - eta * g
    elif rule == MOMENTUM or rule == NESTEROV:
        v = momentum * load(slot) - eta * g
        store(slot, v)
        x = x + v if rule == MOMENTUM else x + (momentum * v - eta * g)
    elif rule == ADAGRAD:
        v = load(slot) + g * g
        store(slot, v)
        x = x - eta * (g / (vsqrt(v) + eps))
    elif rule == RMSPROP:
        v = beta2 * load(slot) + splat(<real>(1 - u.beta2)) * (g * g)
        m = momentum * load(slot + distance) - eta * (g / (vsqrt(v) + eps))
        store(slot, v)
        store(slot + distance, m)
        x = x + m
    elif rule == ADAM or rule == NADAM or rule == AMSGRAD:
        m = beta1 * load(slot) + splat(<real>(1 - u.beta1)) * g
        v = beta2 * load(slot + distance) + splat(<real>(1 - u.beta2)) * (g * g)
        store(slot, m)
        store(slot + distance, v)
        if rule == NADAM:
            m = momentum * m + splat(<real>u.upper) * g
        if rule == AMSGRAD:
            s = load(slot + 2 * distance)
            v = where_less(s, v, v, s)
            store(slot + 2 * distance, v)
        x = x - eta * (m / (vsqrt(v) + eps))
    elif rule == LION:
        m = load(slot)
        x = x - eta * vsign(beta1 * m + splat(<real>(1 - u.beta1)) * g)
        store(slot, beta2 * m + splat(<real>(1 - u.beta2)) * g)
    else:
        s = load(slot + distance)
        s = where_less(splat(0), s, s, eta)
        p = g * load(slot)
        s = where_less(splat(0), p, clamp(s * beta2, 0, <real>u.upper), where_less(p, splat(0), larger(s * beta1, eps), s))
        g = where_less(p, splat(0), splat(0), g)
        store(slot, g)
        store(slot + distance, s)
        x = x - vsign(g) * s
    store(w, x)


cdef inline vec larger(vec x, vec y) noexcept nogil:
    return where_less(x, y, y, x)


cdef inline void map_update(const int rule, const Update* u, real* w, const real* dw, real* slot, Py_ssize_t distance,
                            Py_ssize_t n) noexcept nogil:
    cdef Update own = u[0]          # which no store to w can change: its splats are made once
    cdef Py_ssize_t i
    for i in range(n // VL):
        update_vector(rule, &own, w + i * VL, dw + i * VL, slot + i * VL, distance)


cdef void update_span(const Update* u, real* w, const real* dw, real* slot, Py_ssize_t distance, Py_ssize_t n) noexcept nogil:
    """n a multiple of LINE. A rule does not look at slots that it does not have."""
    if u.rule == SGD: map_update(SGD, u, w, dw, slot, distance, n)
    elif u.rule == MOMENTUM: map_update(MOMENTUM, u, w, dw, slot, distance, n)
    elif u.rule == NESTEROV: map_update(NESTEROV, u, w, dw, slot, distance, n)
    elif u.rule == ADAGRAD: map_update(ADAGRAD, u, w, dw, slot, distance, n)
    elif u.rule == RMSPROP: map_update(RMSPROP, u, w, dw, slot, distance, n)
    elif u.rule == ADAM: map_update(ADAM, u, w, dw, slot, distance, n)
    elif u.rule == NADAM: map_update(NADAM, u, w, dw, slot, distance, n)
    elif u.rule == AMSGRAD: map_update(AMSGRAD, u, w, dw, slot, distance, n)
    elif u.rule == LION: map_update(LION, u, w, dw, slot, distance, n)
    else: map_update(RPROP, u, w, dw, slot, distance, n)


# What may be done to a gradient before the rule, and to weights after it: passes of their own over a block in L1, so that
# whoever does not ask for them does not pay.

cdef void clip_span(double c, real* dw, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(dw + i * VL, clamp(load(dw + i * VL), <real>-c, <real>c))

cdef void scale_span(double c, real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(x + i * VL, load(x + i * VL) * splat(<real>c))

cdef void add_l1_span(double l1, const real* w, real* dw, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(dw + i * VL, load(dw + i * VL) + splat(<real>l1) * vsign(load(w + i * VL)))

cdef void average_span(double decay, const real* w, real* average, Py_ssize_t n) noexcept nogil:
    """average <- decay average + (1 - decay) w."""
    cdef Py_ssize_t i
    cdef vec x
    for i in range(n // VL):
        x = load(average + i * VL)
        store(average + i * VL, x + splat(<real>(1 - decay)) * (load(w + i * VL) - x))

cdef double squares(const real* x, Py_ssize_t n) noexcept nogil:
    """Sum of squares: lanes of single precision within a span, which is a block at most, then in double."""
    cdef vec total[16]
    cdef Py_ssize_t i
    cdef int v
    for v in range(VECTORS):
        total[v] = splat(0)
    for i in range(n // LINE):
        for v in range(VECTORS):
            total[v] = total[v] + load(x + i * LINE + v * VL) * load(x + i * LINE + v * VL)
    return lane_sum(total)
