# Update rules on a span: w <- w - eta dL/dw and its variants. g is the gradient of the mean loss plus l2 w.
# `weight_decay` is decoupled (Loshchilov and Hutter 2019); neither it nor l2 reaches a bias, which comes with both zero.
# To add a rule: the enum, its branch in `update_vector` and its line in `n_slots` and `update_span`; its class in
# optimizers.py; its twin in reference.py.

cpdef enum Rule:
    GRADIENT        # no update: the gradient is left in the slot
    SGD
    MOMENTUM
    NESTEROV
    ADAM

cdef struct Update:
    int rule
    double learning_rate, momentum, beta1, beta2, eps, weight_decay, l2

cdef inline int n_slots(int rule) noexcept nogil:
    """Numbers that a rule keeps for each parameter."""
    return 2 if rule == ADAM else 0 if rule == SGD else 1


cdef Update at_step(const Update* u, long long t) noexcept nogil:
    """The settings of update t = 1, 2, ...: Adam's bias corrections, folded into two scalars (Kingma and Ba 2015,
    section 2). The product learning_rate * weight_decay stays."""
    cdef Update v = u[0]
    cdef double first, second
    if u.rule == ADAM:
        first, second = 1 - pow(u.beta1, t), sqrt(1 - pow(u.beta2, t))
        v.learning_rate = u.learning_rate * second / first
        v.eps = u.eps * second
        v.weight_decay = u.weight_decay * first / second
    return v


cdef inline void update_vector(const int rule, const Update* u, real* w, const real* dw, real* slot,
                               real* slot2) noexcept nogil:
    """One vector of weights. A velocity v holds the learning rate, as in Goodfellow et al. 2016, algorithm 8.2:

        v <- momentum v - eta g        w <- w + v        Nesterov: w <- w + momentum v - eta g

    Adam: m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,  w <- w - eta m / (sqrt(v) + eps), with eta and
    eps of `at_step`.
    """
    cdef vec x, g, m, v
    cdef vec eta = splat(<real>u.learning_rate)
    if rule == GRADIENT:
        store(slot, load(dw))
        return
    x = load(w)
    g = load(dw) + splat(<real>u.l2) * x
    x = x - splat(<real>(u.learning_rate * u.weight_decay)) * x
    if rule == SGD:
        x = x - eta * g
    elif rule == ADAM:
        m = splat(<real>u.beta1) * load(slot) + splat(<real>(1 - u.beta1)) * g
        v = splat(<real>u.beta2) * load(slot2) + splat(<real>(1 - u.beta2)) * (g * g)
        store(slot, m)
        store(slot2, v)
        x = x - eta * (m / (vsqrt(v) + splat(<real>u.eps)))
    else:
        v = splat(<real>u.momentum) * load(slot) - eta * g
        store(slot, v)
        if rule == MOMENTUM:
            x = x + v
        else:
            x = x + (splat(<real>u.momentum) * v - eta * g)
    store(w, x)


cdef inline void map_update(const int rule, const Update* u, real* w, const real* dw, real* slot, real* slot2,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        update_vector(rule, u, w + i * VL, dw + i * VL, slot + i * VL, slot2 + i * VL)


cdef void update_span(const Update* u, real* w, const real* dw, real* slot, real* slot2, Py_ssize_t n) noexcept nogil:
    """n a multiple of LINE. A rule does not look at slots that it does not have."""
    if u.rule == SGD: map_update(SGD, u, w, dw, slot, slot2, n)
    elif u.rule == MOMENTUM: map_update(MOMENTUM, u, w, dw, slot, slot2, n)
    elif u.rule == NESTEROV: map_update(NESTEROV, u, w, dw, slot, slot2, n)
    elif u.rule == ADAM: map_update(ADAM, u, w, dw, slot, slot2, n)
    else: map_update(GRADIENT, u, w, dw, slot, slot2, n)
