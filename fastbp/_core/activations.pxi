# Activations a = f(z) and their derivatives f'(z), side by side, registered in the enum.
# A derivative gets z and a and uses what is cheaper; one that uses z says so in `saves_z`.
# To add one: the enum, the pair, a line in each of `forward`, `derivative` and the two switches; its twin in
# reference.py. Tests, benchmarks, the command line and the docs follow the enum.

cpdef enum Activation:
    IDENTITY
    RELU
    LEAKY_RELU
    SIGMOID
    TANH
    SOFTPLUS
    GELU
    SILU

cdef inline bint saves_z(int activation) noexcept nogil:
    return activation == SOFTPLUS or activation == GELU or activation == SILU


cdef inline vec relu_forward(vec z) noexcept nogil:
    return where_less(z, splat(0), splat(0), z)

cdef inline vec relu_derivative(vec z, vec a) noexcept nogil:
    return where_less(splat(0), a, splat(1), splat(0))


cdef inline vec leaky_relu_forward(vec z) noexcept nogil:
    return where_less(z, splat(0), z * splat(<real>0.01), z)

cdef inline vec leaky_relu_derivative(vec z, vec a) noexcept nogil:
    return where_less(splat(0), a, splat(1), splat(<real>0.01))


cdef inline vec sigmoid_forward(vec z) noexcept nogil:
    return vsigmoid(z)

cdef inline vec sigmoid_derivative(vec z, vec a) noexcept nogil:
    return a * (splat(1) - a)


cdef inline vec tanh_forward(vec z) noexcept nogil:
    return vtanh(z)

cdef inline vec tanh_derivative(vec z, vec a) noexcept nogil:
    return splat(1) - a * a


cdef inline vec softplus_forward(vec z) noexcept nogil:
    """log(1 + exp(z)), written so that exp never overflows."""
    return where_less(z, splat(0), splat(0), z) + log1p_of(vexp(-vabs(z)))

cdef inline vec softplus_derivative(vec z, vec a) noexcept nogil:
    return vsigmoid(z)


cdef inline vec normal_cdf(vec z) noexcept nogil:
    return splat(<real>0.5) + splat(<real>0.5) * verf(z * splat(<real>0.70710678118654752440))

cdef inline vec gelu_forward(vec z) noexcept nogil:
    """z times the normal distribution function, by erf (Hendrycks and Gimpel 2016)."""
    return z * normal_cdf(z)

cdef inline vec gelu_derivative(vec z, vec a) noexcept nogil:
    cdef vec density = splat(<real>0.39894228040143267794) * vexp(splat(<real>-0.5) * z * z)
    return normal_cdf(z) + z * density


cdef inline vec silu_forward(vec z) noexcept nogil:
    return z * vsigmoid(z)

cdef inline vec silu_derivative(vec z, vec a) noexcept nogil:
    cdef vec s = vsigmoid(z)
    return s + a * (splat(1) - s)


cdef inline vec forward(const int activation, vec z) noexcept nogil:
    if activation == RELU: return relu_forward(z)
    if activation == LEAKY_RELU: return leaky_relu_forward(z)
    if activation == SIGMOID: return sigmoid_forward(z)
    if activation == TANH: return tanh_forward(z)
    if activation == SOFTPLUS: return softplus_forward(z)
    if activation == GELU: return gelu_forward(z)
    if activation == SILU: return silu_forward(z)
    return z

cdef inline vec derivative(const int activation, vec z, vec a) noexcept nogil:
    if activation == RELU: return relu_derivative(z, a)
    if activation == LEAKY_RELU: return leaky_relu_derivative(z, a)
    if activation == SIGMOID: return sigmoid_derivative(z, a)
    if activation == TANH: return tanh_derivative(z, a)
    if activation == SOFTPLUS: return softplus_derivative(z, a)
    if activation == GELU: return gelu_derivative(z, a)
    if activation == SILU: return silu_derivative(z, a)
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
    elif activation == SIGMOID: map_forward(SIGMOID, z, a, n)
    elif activation == TANH: map_forward(TANH, z, a, n)
    elif activation == SOFTPLUS: map_forward(SOFTPLUS, z, a, n)
    elif activation == GELU: map_forward(GELU, z, a, n)
    elif activation == SILU: map_forward(SILU, z, a, n)
    elif z != a: map_forward(IDENTITY, z, a, n)

cdef void backward_span(int activation, const real* z, const real* a, real* dz, Py_ssize_t n) noexcept nogil:
    """dz = da * f'(z) in place: dz holds da on entry."""
    if activation == RELU: map_backward(RELU, z, a, dz, n)
    elif activation == LEAKY_RELU: map_backward(LEAKY_RELU, z, a, dz, n)
    elif activation == SIGMOID: map_backward(SIGMOID, z, a, dz, n)
    elif activation == TANH: map_backward(TANH, z, a, dz, n)
    elif activation == SOFTPLUS: map_backward(SOFTPLUS, z, a, dz, n)
    elif activation == GELU: map_backward(GELU, z, a, dz, n)
    elif activation == SILU: map_backward(SILU, z, a, dz, n)
