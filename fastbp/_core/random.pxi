# Random numbers by counting: a function of (seed and epoch, step, stream, row, feature) and of nothing else, so that a
# mask is the same for any number of threads, is made twice instead of kept, and needs no state to resume.
# The mixer is splitmix64's (Steele, Lea and Flood 2014). One 64-bit word serves two features.

cdef unsigned long long GOLDEN = 0x9E3779B97F4A7C15ULL

cdef enum:
    INPUT_DROPOUT = 0               # streams; layer l drops its outputs by stream OUTPUT_DROPOUT + l
    INPUT_NOISE = 1
    OUTPUT_DROPOUT = 2


cdef inline unsigned long long mix(unsigned long long x) noexcept nogil:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL
    return x ^ (x >> 31)

cdef inline unsigned long long subkey(unsigned long long key, unsigned long long number) noexcept nogil:
    return mix(key + (number + 1) * GOLDEN)

cdef inline unsigned long long word(unsigned long long key, Py_ssize_t row, Py_ssize_t pair) noexcept nogil:
    """The 64 bits of features 2 pair and 2 pair + 1 of a row."""
    return subkey(key, (<unsigned long long>row << 32) + <unsigned long long>pair)


cdef inline void uniform_line(unsigned long long key, Py_ssize_t row, Py_ssize_t q, unsigned int* bits) noexcept nogil:
    """32 bits for each feature of panel q: the low half of a word, then the high one. Loops that the compiler turns into
    vectors: drawn one by one, the numbers of a dropout layer would take as long as a sixth of its step."""
    cdef unsigned long long words[8]
    cdef int i
    for i in range(LINE // 2):
        words[i] = word(key, row, q * (LINE // 2) + i)
    for i in range(LINE // 2):
        bits[2 * i] = <unsigned int>words[i]
        bits[2 * i + 1] = <unsigned int>(words[i] >> 32)


cdef void drop_rows(unsigned long long key, double p, Py_ssize_t q, Py_ssize_t first, Py_ssize_t n_rows, const real* x,
                    real* out) noexcept nogil:
    """out = x * mask over rows of panel q, whose first stands at x and is row `first` of the batch (Srivastava 2014)."""
    cdef unsigned int threshold = <unsigned int>(p * 4294967296.0), bits[16]
    cdef real kept = <real>(1 / (1 - p))
    cdef Line mask
    cdef Py_ssize_t r
    cdef int i, v
    for r in range(n_rows):
        uniform_line(key, first + r, q, bits)
        for i in range(LINE):
            mask.x[i] = kept if bits[i] >= threshold else 0
        for v in range(VECTORS):
            store(out + r * LINE + v * VL, load(x + r * LINE + v * VL) * load(mask.x + v * VL))


cdef inline vec vcos_turns(vec u) noexcept nogil:
    """cos(2 pi u): the Taylor series on half a turn either side."""
    cdef vec x = (u - vround(u)) * splat(<real>6.28318530717958647692)
    cdef vec x2 = x * x, p = splat(1)
    cdef int k
    for k in range(28 if FASTBP_F64 else 16, 0, -2):
        p = splat(1) - p * (x2 * splat(<real>1 / (k * (k - 1))))
    return p


cdef void noise_rows(unsigned long long key, double sigma, Py_ssize_t q, Py_ssize_t first, Py_ssize_t n_rows,
                     real* x) noexcept nogil:
    """x + N(0, sigma^2) over rows of panel q, by Box and Muller 1958: two normals of two uniforms."""
    cdef Line uniform, turn
    cdef unsigned int bits[16]
    cdef Py_ssize_t r
    cdef int i, v
    cdef vec radius
    for r in range(n_rows):
        uniform_line(key, first + r, q, bits)
        for i in range(LINE):
            uniform.x[i] = <real>((<double>bits[i & ~1] + 1) * (1 / 4294967296.0))
            turn.x[i] = <real>(<double>bits[i | 1] * (1 / 4294967296.0) - 0.25 * (i & 1))
        for v in range(VECTORS):
            radius = vsqrt(splat(-2) * vlog(load(uniform.x + v * VL)))
            store(x + r * LINE + v * VL,
                  load(x + r * LINE + v * VL) + splat(<real>sigma) * radius * vcos_turns(load(turn.x + v * VL)))
