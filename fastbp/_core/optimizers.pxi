# Update rules on a span: w <- w - eta dL/dw and its variants. g is the gradient of the mean loss plus l2 w.
# `weight_decay` is decoupled (Loshchilov and Hutter 2019); neither it nor l2 reaches a bias, which comes with both zero.
# To add a rule: the enum, its branch in `update_vector`, its row in optimizers.py, its twin in reference.py.

cpdef enum Rule:
    GRADIENT        # no update: the gradient is left in the slot
    SGD
    MOMENTUM
    NESTEROV

cdef struct Update:
    int rule
    real learning_rate, momentum, weight_decay, l2


cdef inline void update_vector(const int rule, const Update* u, real* w, const real* dw, real* slot) noexcept nogil:
    """One vector of weights. The velocity holds the learning rate, as in Goodfellow et al. 2016, algorithm 8.2:

        v <- momentum v - eta g        w <- w + v        Nesterov: w <- w + momentum v - eta g
    """
    cdef vec x = load(w)
    cdef vec g = load(dw) + splat(u.l2) * x
    cdef vec eta = splat(u.learning_rate), v
    if rule == GRADIENT:
        store(slot, g)
        return
    x = x - splat(u.learning_rate * u.weight_decay) * x
    if rule == SGD:
        x = x - eta * g
    else:
        v = splat(u.momentum) * load(slot) - eta * g
        store(slot, v)
        if rule == MOMENTUM:
            x = x + v
        else:
            x = x + (splat(u.momentum) * v - eta * g)
    store(w, x)


cdef inline void map_update(const int rule, const Update* u, real* w, const real* dw, real* slot,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        update_vector(rule, u, w + i * VL, dw + i * VL, slot + i * VL)


cdef void update_span(const Update* u, real* w, const real* dw, real* slot, Py_ssize_t n) noexcept nogil:
    """n a multiple of LINE. SGD has no slot and does not look at it."""
    if u.rule == SGD: map_update(SGD, u, w, dw, slot, n)
    elif u.rule == MOMENTUM: map_update(MOMENTUM, u, w, dw, slot, n)
    elif u.rule == NESTEROV: map_update(NESTEROV, u, w, dw, slot, n)
    else: map_update(GRADIENT, u, w, dw, slot, n)
