# The words of the core: numbers, vectors, panels.
#
# To Cython `vec` is one more floating type, so a formula on vectors reads like the formula; to the C compiler it is a
# GNU vector (simd.h), so `x * y + z` is one fused multiply-add of VL numbers.
#
# Panel layout. A matrix of `rows` samples and `n` features stands in panels of LINE features, a cache line each:
#
#     a (ceil(n / LINE), rows, LINE)        a[i // LINE, r, i % LINE] is feature i of sample r
#
# Every operand and result of every product is in this layout, so the micro-kernel sees constant strides, reads whole
# cache lines, and nothing is packed between layers. Lanes past n ("pads") hold zero in weights and in dz.
# The row count of a panel, its "height", is odd, so that the first rows of panels stand on different cache sets.
#
#     w (ceil(n_out / LINE), n_in + 1 | 1, LINE) weights in panels; row n_in is the bias, and what normalisation adds follows
#     wt (ceil(n_in / LINE), n_out | 1, LINE)    the same weights transposed, for dX = dz W^T

cdef extern from "simd.h" nogil:
    ctypedef double real
    ctypedef double vec
    ctypedef long long ivec
    const bint FASTBP_F64
    const int VL, LINE, VECTORS, MANTISSA
    vec load(const real* p)
    void store(real* p, vec x)
    vec splat(real x)
    vec where_less(vec a, vec b, vec x, vec y)
    vec vabs(vec x)
    vec vcopysign(vec x, vec sign)
    vec vsqrt(vec x)
    vec vround(vec x)
    vec vldexp(vec x, vec n)
    vec vexponent(vec x)
    vec vsignificand(vec x, vec e)
    vec zip_low(vec a, vec b)
    vec zip_high(vec a, vec b)
    ctypedef struct Line:
        real* x
    ctypedef struct Block:
        real* x
    const Line ZERO_LINE, LANE_NUMBERS          # 0, 0, ...; 0, 1, ..., LINE - 1
    const real* ZEROS                           # ZERO_LINE.x
    void prefetch "__builtin_prefetch"(const void* p)

cdef extern from "team.h" nogil:
    const bint FASTBP_OPENMP
    int most_threads()
    ctypedef unsigned long long arithmetic_t
    const arithmetic_t C_ARITHMETIC, CORE_ARITHMETIC
    arithmetic_t use_arithmetic(arithmetic_t settings)
    void run_team(void (*member)(void*, int, int) noexcept nogil, void* work, int n_threads)
    ctypedef struct barrier_t:
        pass
    void barrier_wait(barrier_t* barrier, int n_threads)
    double now()
    void* aligned_malloc(size_t n_bytes)
    void aligned_release(void* p)

# What a function for C returns; the numbers are the first of fastbp/include/fastbp.h.
cdef enum:
    NO_MEMORY = -1

# Tile shapes and block sizes: a row of fastbp/_isa.py, given as macros.
cdef extern from *:
    const int MR "FASTBP_MR"            # rows of a tile
    const int NP "FASTBP_NP"            # panels of a tile
    const int MR_DW "FASTBP_MR_DW"      # the same for dW, whose rows are features
    const int NP_DW "FASTBP_NP_DW"
    const int KC "FASTBP_KC"            # terms summed before the tile goes back to memory; a multiple of LINE

cdef inline Py_ssize_t n_panels(Py_ssize_t n) noexcept nogil:
    return (n + LINE - 1) // LINE

cdef inline Py_ssize_t part(Py_ssize_t n, Py_ssize_t n_parts, Py_ssize_t i) noexcept nogil:
    """First index of part i when n things are split into n_parts that differ by one at most."""
    return n * i // n_parts
