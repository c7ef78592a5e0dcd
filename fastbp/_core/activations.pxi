# Activations a = f(z) and their derivatives f'(z), side by side, registered in the enum.
# A derivative gets z and a and uses what is cheaper; one that uses z says so in `saves_z`.
# To add one: the enum, the pair, a line in each of `forward`, `derivative` and the two switches; its twin in
# reference.py. Tests, benchmarks, the command line and the docs follow the enum.

cpdef enum Activation:
    IDENTITY
    RELU
    LEAKY_RELU
    ELU
    SELU
    GELU
    GELU_TANH
    SILU
    MISH
    SOFTPLUS
    SIGMOID
    HARD_SIGMOID
    TANH
    HARD_TANH

cdef inline bint saves_z(int activation) noexcept nogil:
    return GELU <= activation <= SOFTPLUS

cdef inline double steepest(int activation) noexcept nogil:
    """Largest derivative of an activation that saturates on both sides; 0 for the others."""
    if activation == SIGMOID: return 0.25
    if activation == HARD_SIGMOID: return 1.0 / 6
    return activation == TANH or activation == HARD_TANH


cdef inline vec relu_forward(vec z) noexcept nogil:
    return where_less(z, splat(0), splat(0), z)

cdef inline vec relu_derivative(vec z, vec a) noexcept nogil:
    return where_less(splat(0), a, splat(1), splat(0))


cdef inline vec leaky_relu_forward(vec z) noexcept nogil:
    return where_less(z, splat(0), z * splat(<real>0.01), z)

cdef inline vec leaky_relu_derivative(vec z, vec a) noexcept nogil:
    return where_less(splat(0), a, splat(1), splat(<real>0.01))


cdef inline vec elu_forward(vec z) noexcept nogil:
    """z, and exp(z) - 1 below 0 (Clevert et al. 2016)."""
    return where_less(z, splat(0), expm1_of(where_less(z, splat(0), z, splat(0))), z)

cdef inline vec elu_derivative(vec z, vec a) noexcept nogil:
    return where_less(splat(0), a, splat(1), a + splat(1))


cdef inline vec selu_forward(vec z) noexcept nogil:
    """scale times z, and scale alpha (exp(z) - 1) below 0 (Klambauer et al. 2017)."""
    cdef real scale = <real>1.0507009873554804934, alpha = <real>1.6732632423543772848
    return splat(scale) * where_less(z, splat(0), splat(alpha) * expm1_of(where_less(z, splat(0), z, splat(0))), z)

cdef inline vec selu_derivative(vec z, vec a) noexcept nogil:
    cdef real scale = <real>1.0507009873554804934, scale_alpha = <real>1.7580993408473768599
    return where_less(splat(0), a, splat(scale), a + splat(scale_alpha))


cdef inline vec normal_cdf(vec z) noexcept nogil:
    return splat(<real>0.5) + splat(<real>0.5) * verf(z * splat(<real>0.70710678118654752440))

cdef inline vec gelu_forward(vec z) noexcept nogil:
    """z times the normal distribution function, by erf (Hendrycks and Gimpel 2016)."""
    return z * normal_cdf(z)

cdef inline vec gelu_derivative(vec z, vec a) noexcept nogil:
    cdef vec density = splat(<real>0.39894228040143267794) * vexp(splat(<real>-0.5) * z * z)
    return normal_cdf(z) + z * density


cdef inline vec gelu_tanh_gate(vec y) noexcept nogil:
    """(1 + tanh(u)) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (y + 0.044715 y^3)."""
    return vsigmoid(splat(<real>1.59576912160573071176) * y * (splat(1) + splat(<real>0.044715) * y * y))

cdef inline vec clamp(vec z, real low, real high) noexcept nogil:
    z = where_less(z, splat(low), splat(low), z)
    return where_less(splat(high), z, splat(high), z)

cdef inline vec gelu_tanh_forward(vec z) noexcept nogil:
    """z (1 + tanh(u)) / 2: the same paper's approximation. The gate is 0 or 1 long before 40; beyond, cubes overflow."""
    return z * gelu_tanh_gate(clamp(z, -40, 40))

cdef inline vec gelu_tanh_derivative(vec z, vec a) noexcept nogil:
    cdef vec y = clamp(z, -40, 40), s = gelu_tanh_gate(y)
    cdef vec slope = splat(<real>1.59576912160573071176) * (splat(1) + splat(<real>(3 * 0.044715)) * y * y)
    return s + y * slope * s * (splat(1) - s)


cdef inline vec silu_forward(vec z) noexcept nogil:
    return z * vsigmoid(z)

cdef inline vec silu_derivative(vec z, vec a) noexcept nogil:
    cdef vec s = vsigmoid(z)
    return s + a * (splat(1) - s)


cdef inline vec mish_forward(vec z) noexcept nogil:
    """z tanh(softplus(z)) (Misra 2020)."""
    return z * vtanh(softplus_forward(z))

cdef inline vec mish_derivative(vec z, vec a) noexcept nogil:
    cdef vec t = vtanh(softplus_forward(z))
    return t + z * vsigmoid(z) * (splat(1) - t * t)


cdef inline vec softplus_forward(vec z) noexcept nogil:
    """log(1 + exp(z)), written so that exp never overflows."""
    return where_less(z, splat(0), splat(0), z) + log1p_of(vexp(-vabs(z)))

cdef inline vec softplus_derivative(vec z, vec a) noexcept nogil:
    return vsigmoid(z)


cdef inline vec sigmoid_forward(vec z) noexcept nogil:
    return vsigmoid(z)

cdef inline vec sigmoid_derivative(vec z, vec a) noexcept nogil:
    return a * (splat(1) - a)


cdef inline vec inside(vec a, real low, real high, real slope) noexcept nogil:
    """`slope` where low < a < high, else 0."""
    return where_less(splat(low), a, where_less(a, splat(high), splat(slope), splat(0)), splat(0))

cdef inline vec hard_sigmoid_forward(vec z) noexcept nogil:
    """z / 6 + 1/2, cut off at 0 and 1; written so that both are met exactly, at -3 and 3."""
    return clamp(z + splat(3), 0, 6) * splat(<real>(1.0 / 6))

cdef inline vec hard_sigmoid_derivative(vec z, vec a) noexcept nogil:
    return inside(a, 0, 1, <real>(1.0 / 6))


cdef inline vec tanh_forward(vec z) noexcept nogil:
    return vtanh(z)

cdef inline vec tanh_derivative(vec z, vec a) noexcept nogil:
    return splat(1) - a * a


cdef inline vec hard_tanh_forward(vec z) noexcept nogil:
    return clamp(z, -1, 1)

cdef inline vec hard_tanh_derivative(vec z, vec a) noexcept nogil:
    return inside(a, -1, 1, 1)


cdef inline vec forward(const int activation, vec z) noexcept nogil:
    if activation == RELU: return relu_forward(z)
    if activation == LEAKY_RELU: return leaky_relu_forward(z)
    if activation == ELU: return elu_forward(z)
    if activation == SELU: return selu_forward(z)
    if activation == GELU: return gelu_forward(z)
    if activation == GELU_TANH: return gelu_tanh_forward(z)
    if activation == SILU: return silu_forward(z)
    if activation == MISH: return mish_forward(z)
    if activation == SOFTPLUS: return softplus_forward(z)
    if activation == SIGMOID: return sigmoid_forward(z)
    if activation == HARD_SIGMOID: return hard_sigmoid_forward(z)
    if activation == TANH: return tanh_forward(z)
    if activation == HARD_TANH: return hard_tanh_forward(z)
    return z

cdef inline vec derivative(const int activation, vec z, vec a) noexcept nogil:
    if activation == RELU: return relu_derivative(z, a)
    if activation == LEAKY_RELU: return leaky_relu_derivative(z, a)
    if activation == ELU: return elu_derivative(z, a)
    if activation == SELU: return selu_derivative(z, a)
    if activation == GELU: return gelu_derivative(z, a)
    if activation == GELU_TANH: return gelu_tanh_derivative(z, a)
    if activation == SILU: return silu_derivative(z, a)
    if activation == MISH: return mish_derivative(z, a)
    if activation == SOFTPLUS: return softplus_derivative(z, a)
    if activation == SIGMOID: return sigmoid_derivative(z, a)
    if activation == HARD_SIGMOID: return hard_sigmoid_derivative(z, a)
    if activation == TANH: return tanh_derivative(z, a)
    if activation == HARD_TANH: return hard_tanh_derivative(z, a)
    return splat(1)


cdef inline void map_forward(const int activation, const real* z, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(a + i * VL, forward(activation, load(z + i * VL)))

cdef inline void map_backward(const int activation, const real* z, const real* a, real* dz, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // VL):
        store(dz + i * VL, load(dz + i * VL) * derivative(activation, load(z + i * VL), load(a + i * VL)))


cdef void forward_span(int activation, const real* z, real* a, Py_ssize_t n) noexcept nogil:
    """a = f(z) over n numbers, n a multiple of LINE; z may be a. The switch stands outside the loop."""
    if activation == RELU: map_forward(RELU, z, a, n)
    elif activation == LEAKY_RELU: map_forward(LEAKY_RELU, z, a, n)
    elif activation == ELU: map_forward(ELU, z, a, n)
    elif activation == SELU: map_forward(SELU, z, a, n)
    elif activation == GELU: map_forward(GELU, z, a, n)
    elif activation == GELU_TANH: map_forward(GELU_TANH, z, a, n)
    elif activation == SILU: map_forward(SILU, z, a, n)
    elif activation == MISH: map_forward(MISH, z, a, n)
    elif activation == SOFTPLUS: map_forward(SOFTPLUS, z, a, n)
    elif activation == SIGMOID: map_forward(SIGMOID, z, a, n)
    elif activation == HARD_SIGMOID: map_forward(HARD_SIGMOID, z, a, n)
    elif activation == TANH: map_forward(TANH, z, a, n)
    elif activation == HARD_TANH: map_forward(HARD_TANH, z, a, n)
    elif z != a: map_forward(IDENTITY, z, a, n)

cdef void backward_span(int activation, const real* z, const real* a, real* dz, Py_ssize_t n) noexcept nogil:
    """dz = da * f'(z) in place: dz holds da on entry."""
    if activation == RELU: map_backward(RELU, z, a, dz, n)
    elif activation == LEAKY_RELU: map_backward(LEAKY_RELU, z, a, dz, n)
    elif activation == ELU: map_backward(ELU, z, a, dz, n)
    elif activation == SELU: map_backward(SELU, z, a, dz, n)
    elif activation == GELU: map_backward(GELU, z, a, dz, n)
    elif activation == GELU_TANH: map_backward(GELU_TANH, z, a, dz, n)
    elif activation == SILU: map_backward(SILU, z, a, dz, n)
    elif activation == MISH: map_backward(MISH, z, a, dz, n)
    elif activation == SOFTPLUS: map_backward(SOFTPLUS, z, a, dz, n)
    elif activation == SIGMOID: map_backward(SIGMOID, z, a, dz, n)
    elif activation == HARD_SIGMOID: map_backward(HARD_SIGMOID, z, a, dz, n)
    elif activation == TANH: map_backward(TANH, z, a, dz, n)
    elif activation == HARD_TANH: map_backward(HARD_TANH, z, a, dz, n)
