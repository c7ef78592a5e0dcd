# Elementary functions on vectors. Series stand as their recurrences, so there are no tables of coefficients but erf's;
# no branch and no look-up, so the same lines serve both dtypes and every ISA. NaN stays NaN.
# Largest errors found, in ULP, with FMA (tests/test_elementary.py; float32: every one of the 2^32 inputs, by `pytest -m
# exhaustive`; float64: 4 million points, the baseline without FMA is 0.3 worse in exp and erf):
#
#              exp    log    log1p_of  sigmoid  tanh   erf
#     float32  0.95   2.85   2.88      2.41     3.25   1.14
#     float64  0.87   2.79   2.87      2.27     3.30   1.06

cdef inline vec exp_kernel(vec r) noexcept nogil:
    """p with exp(r) = 1 + r p, |r| <= ln(2)/2: the Taylor series 1 + r/2 (1 + r/3 (1 + ...))."""
    cdef vec p = splat(1)
    cdef int k
    for k in range(13 if FASTBP_F64 else 7, 1, -1):
        p = p * (r * splat(<real>1 / k)) + splat(1)
    return p


cdef inline vec exp_reduce(vec x, vec* n) noexcept nogil:
    """r and n with x = n ln(2) + r; ln(2) in two parts, n times the first is exact (Cody and Waite 1980)."""
    cdef real high = <real>(6.93147180369123816490e-01 if FASTBP_F64 else 0.693359375)
    cdef real low = <real>(1.90821492927058770002e-10 if FASTBP_F64 else -2.12194440054690583e-04)
    n[0] = vround(x * splat(<real>1.44269504088896340736))
    return (x - n[0] * splat(high)) - n[0] * splat(low)


cdef inline vec vexp(vec x) noexcept nogil:
    """exp(x): 0 and inf where they are due, subnormals rounded once more."""
    cdef vec lowest = splat(<real>(-746 if FASTBP_F64 else -104))
    cdef vec highest = splat(<real>(710 if FASTBP_F64 else 89))
    cdef vec n, r
    x = where_less(x, lowest, lowest, x)
    x = where_less(highest, x, highest, x)
    r = exp_reduce(x, &n)
    return vldexp(splat(1) + r * exp_kernel(r), n)


cdef inline vec atanh_series(vec s, const int n_terms) noexcept nogil:
    """2 atanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...) = log((1 + s) / (1 - s))."""
    cdef vec s2 = s * s, p = splat(<real>1 / (2 * n_terms - 1))
    cdef int k
    for k in range(n_terms - 2, -1, -1):
        p = p * s2 + splat(<real>1 / (2 * k + 1))
    return (s + s) * p


cdef inline vec vlog(vec x) noexcept nogil:
    """log(x): -inf at 0, NaN below."""
    cdef real smallest_normal = <real>(2.2250738585072014e-308 if FASTBP_F64 else 1.17549435e-38)
    cdef real shift = <real>(4503599627370496. if FASTBP_F64 else 8388608.)        # 2^MANTISSA
    cdef real high = <real>(6.93147180369123816490e-01 if FASTBP_F64 else 0.693359375)
    cdef real low = <real>(1.90821492927058770002e-10 if FASTBP_F64 else -2.12194440054690583e-04)
    cdef vec tiny = splat(smallest_normal)
    cdef vec scaled = where_less(x, tiny, x * splat(shift), x)
    cdef vec e = vexponent(scaled)
    cdef vec f = vsignificand(scaled, e) - splat(1)
    cdef vec y
    e = e - where_less(x, tiny, splat(MANTISSA), splat(0))
    y = atanh_series(f / (splat(2) + f), 11 if FASTBP_F64 else 5)
    y = e * splat(high) + (y + e * splat(low))
    y = where_less(vabs(x), splat(smallest_normal / shift), splat(-INFINITY), y)
    y = where_less(x, splat(0), splat(NAN), y)
    return where_less(x, splat(INFINITY), y, x)


cdef inline vec log1p_of(vec u) noexcept nogil:
    """log(1 + u) for 0 <= u <= 1."""
    return atanh_series(u / (splat(2) + u), 17 if FASTBP_F64 else 8)


cdef inline vec vsigmoid(vec x) noexcept nogil:
    """1 / (1 + exp(-x)), by exp of -|x| alone, so that neither end loses digits."""
    cdef vec e = vexp(-vabs(x))
    return where_less(x, splat(0), e, splat(1)) / (splat(1) + e)


cdef inline vec expm1_of(vec x) noexcept nogil:
    """exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), for x <= 40: no cancellation near 0."""
    cdef vec lowest = splat(<real>(-40 if FASTBP_F64 else -20))                    # exp(x) - 1 rounds to -1 from here on
    cdef vec n, r, power
    r = exp_reduce(where_less(x, lowest, lowest, x), &n)
    power = vldexp(splat(1), n)
    return power * (r * exp_kernel(r)) + (power - splat(1))


cdef inline vec vtanh(vec x) noexcept nogil:
    """tanh(x) = t / (t + 2), t = exp(2x) - 1."""
    cdef vec one_from = splat(<real>(19.0625 if FASTBP_F64 else 9.015625))         # tanh rounds to 1 from here on
    cdef vec y = vabs(x), t
    y = where_less(one_from, y, one_from, y)
    t = expm1_of(y + y)
    return vcopysign(t / (t + splat(2)), x)


cdef extern from "erf.h" nogil:
    const real ERF_SPLIT, ERF_LIMIT
    const real* ERF_SMALL
    const real* ERF_LARGE
    const int N_ERF_SMALL, N_ERF_LARGE

cdef inline vec polynomial(vec x, const real* c, const int n) noexcept nogil:
    cdef vec p = splat(c[n - 1])
    cdef int k
    for k in range(n - 2, -1, -1):
        p = p * x + splat(c[k])
    return p


cdef inline vec verf(vec x) noexcept nogil:
    """erf(x): x + x P(x^2) near 0, 1 - exp(Q(|x|)) beyond, Q a fit of log(erfc)."""
    cdef vec size = vabs(x), limit = splat(ERF_LIMIT)
    cdef vec near = x + x * polynomial(x * x, ERF_SMALL, N_ERF_SMALL)
    cdef vec far = splat(1) - vexp(polynomial(where_less(limit, size, limit, size), ERF_LARGE, N_ERF_LARGE))
    return where_less(size, splat(ERF_SPLIT), near, vcopysign(far, x))


cpdef enum Elementary:
    EXP
    LOG
    SIGMOID_FUNCTION
    TANH_FUNCTION
    ERF
    LOG1P_OF
    EXPM1_OF

cdef void elementary_line(int function, real* x) noexcept nogil:
    """One function on one line, in place: the way in for tests and benchmarks."""
    cdef int v
    for v in range(VECTORS):
        if function == EXP: store(x, vexp(load(x)))
        elif function == LOG: store(x, vlog(load(x)))
        elif function == SIGMOID_FUNCTION: store(x, vsigmoid(load(x)))
        elif function == TANH_FUNCTION: store(x, vtanh(load(x)))
        elif function == ERF: store(x, verf(load(x)))
        elif function == LOG1P_OF: store(x, log1p_of(load(x)))
        else: store(x, expm1_of(load(x)))
        x += VL
