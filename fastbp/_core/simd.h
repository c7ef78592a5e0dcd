/* One ISA's vectors, one dtype's numbers. No algorithm lives here.
 *
 * GNU C vector types carry the arithmetic: `x * y + z` on a `vec` is one fused multiply-add per vector wherever the
 * ISA has it, so the same Cython formulas serve every ISA and both dtypes. A row of fastbp/_isa.py supplies
 *   FASTBP_F64            1 for double, 0 for float
 *   FASTBP_VECTOR_BYTES   16 (SSE2, NEON), 32 (AVX2), 64 (AVX-512)
 * GCC 12+ or clang 12+ (clang-cl on Windows); MSVC itself has no vector types.
 */
#ifndef FASTBP_SIMD_H
#define FASTBP_SIMD_H
#include <stdint.h>

#define LINE_BYTES 64                                     /* a cache line: one row of a panel */

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* What the tile takes for granted of a row of the table: its registers, its switches, its blocks. */
#define ROW_VECTORS (LINE_BYTES / FASTBP_VECTOR_BYTES)
_Static_assert(FASTBP_MR >= 2 && FASTBP_MR <= 14 && FASTBP_MR_DW >= 2 && FASTBP_MR_DW <= 14, "tile_of has 1 to 14 rows");
_Static_assert(FASTBP_NP >= 1 && FASTBP_NP <= 2, "tile_rows has 1 and 2 panels");
_Static_assert(FASTBP_NP_DW >= 1 && FASTBP_NP_DW <= 3, "tile_features has 1 to 3 panels");
_Static_assert(FASTBP_MR * FASTBP_NP * ROW_VECTORS <= 32 && FASTBP_MR_DW * FASTBP_NP_DW * ROW_VECTORS <= 32,
               "acc of a tile has 32 vectors");
_Static_assert(FASTBP_KC % (LINE_BYTES / (4 + 4 * FASTBP_F64)) == 0, "a block is whole lines");

#define INLINE static inline __attribute__((always_inline))

#if FASTBP_F64
typedef double real;
typedef int64_t lane;
#define MANTISSA 52
#define BIAS 1023
#else
typedef float real;
typedef int32_t lane;
#define MANTISSA 23
#define BIAS 127
#endif

typedef real vec __attribute__((vector_size(FASTBP_VECTOR_BYTES), may_alias));
typedef lane ivec __attribute__((vector_size(FASTBP_VECTOR_BYTES), may_alias));

#define VL ((int)(FASTBP_VECTOR_BYTES / sizeof(real)))    /* reals in a vector */
#define LINE ((int)(LINE_BYTES / sizeof(real)))           /* reals in a line */
#define VECTORS (LINE / VL)                               /* vectors in a line */

/* Aligned to the vector; every panel is aligned to a line. */
INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE void store(real *p, vec x) { *(vec *)p = x; }
INLINE vec splat(real x) { return x - (vec){0}; }         /* -0.0 - 0 is -0.0: every value survives */

INLINE ivec as_bits(vec x) { return (ivec)x; }           /* a cast between vectors keeps the bits */
INLINE vec from_bits(ivec i) { return (vec)i; }

/* a < b ? x : y in each lane; a NaN in a or b takes y. */
INLINE vec where_less(vec a, vec b, vec x, vec y)
{
    ivec less = (ivec)(a < b);                            /* all ones where true */
    return from_bits((less & as_bits(x)) | (~less & as_bits(y)));
}

#define SIGN_BIT ((lane)1 << (8 * sizeof(lane) - 1))
INLINE vec vabs(vec x) { return from_bits(as_bits(x) & ~SIGN_BIT); }
INLINE vec vcopysign(vec x, vec sign)
{
    return from_bits((as_bits(x) & ~SIGN_BIT) | (as_bits(sign) & SIGN_BIT));
}

/* The one operation that GNU vectors lack. */
#if defined(__aarch64__)
#define SQRT_OF(x) (FASTBP_F64 ? (vec)vsqrtq_f64((float64x2_t)x) : (vec)vsqrtq_f32((float32x4_t)x))
#elif FASTBP_VECTOR_BYTES == 64
#define SQRT_OF(x) (FASTBP_F64 ? (vec)_mm512_sqrt_pd((__m512d)x) : (vec)_mm512_sqrt_ps((__m512)x))
#elif FASTBP_VECTOR_BYTES == 32
#define SQRT_OF(x) (FASTBP_F64 ? (vec)_mm256_sqrt_pd((__m256d)x) : (vec)_mm256_sqrt_ps((__m256)x))
#else
#define SQRT_OF(x) (FASTBP_F64 ? (vec)_mm_sqrt_pd((__m128d)x) : (vec)_mm_sqrt_ps((__m128)x))
#endif
INLINE vec vsqrt(vec x) { return SQRT_OF(x); }

/* 1.5 * 2^MANTISSA: adding it to |x| < 2^(MANTISSA-1) rounds x to an integer, half to even, which then stands in the
 * low bits. Sound because the build never passes -ffast-math. */
#define ROUNDER ((real)(3LL << (MANTISSA - 1)))
INLINE vec vround(vec x) { return (x + ROUNDER) - ROUNDER; }
INLINE ivec to_lanes(vec integral) { return as_bits(integral + ROUNDER) - as_bits(splat(ROUNDER)); }
INLINE vec from_lanes(ivec i) { return from_bits(i + as_bits(splat(ROUNDER))) - ROUNDER; }

INLINE vec power_of_two(ivec n) { return from_bits((n + BIAS) << MANTISSA); }

/* x * 2^n for integral n; in two factors, so that subnormal results are rounded once and 2^(max+1) does not overflow. */
INLINE vec vldexp(vec x, vec n)
{
    ivec whole = to_lanes(n), half = whole >> 1;
    return x * power_of_two(half) * power_of_two(whole - half);
}

/* x = m * 2^e with sqrt(1/2) <= m < sqrt(2), for positive normal x. */
#define SQRT_HALF ((real)0.70710678118654752440)
INLINE vec vexponent(vec x)
{
    return from_lanes((as_bits(x) - as_bits(splat(SQRT_HALF))) >> MANTISSA);
}
INLINE vec vsignificand(vec x, vec e) { return from_bits(as_bits(x) - (to_lanes(e) << MANTISSA)); }

/* Interleave: zip_low takes the first halves of a and b, zip_high the second. */
#if FASTBP_VECTOR_BYTES / (4 + 4 * FASTBP_F64) == 2
#define ZIP(a, b, h) __builtin_shufflevector(a, b, h, 2 + h)
#elif FASTBP_VECTOR_BYTES / (4 + 4 * FASTBP_F64) == 4
#define ZIP(a, b, h) __builtin_shufflevector(a, b, 2*h, 4 + 2*h, 2*h + 1, 5 + 2*h)
#elif FASTBP_VECTOR_BYTES / (4 + 4 * FASTBP_F64) == 8
#define ZIP(a, b, h) __builtin_shufflevector(a, b, 4*h, 8 + 4*h, 4*h + 1, 9 + 4*h, 4*h + 2, 10 + 4*h, 4*h + 3, 11 + 4*h)
#else
#define ZIP(a, b, h) __builtin_shufflevector(a, b, 8*h, 16 + 8*h, 8*h + 1, 17 + 8*h, 8*h + 2, 18 + 8*h, 8*h + 3, \
    19 + 8*h, 8*h + 4, 20 + 8*h, 8*h + 5, 21 + 8*h, 8*h + 6, 22 + 8*h, 8*h + 7, 23 + 8*h)
#endif
INLINE vec zip_low(vec a, vec b) { return ZIP(a, b, 0); }
INLINE vec zip_high(vec a, vec b) { return ZIP(a, b, 1); }

/* Scratch that vectors may be loaded from: one line, and the block of dW that one tile column makes. */
typedef struct { real x[LINE]; } __attribute__((aligned(LINE_BYTES))) Line;
typedef struct { real x[FASTBP_NP_DW * LINE * LINE]; } __attribute__((aligned(LINE_BYTES))) Block;
static const Line ZERO_LINE = {{0}};
#define ZEROS ((real *)ZERO_LINE.x)                       /* a start of sums; never written */
#if FASTBP_F64
static const Line LANE_NUMBERS = {{0, 1, 2, 3, 4, 5, 6, 7}};
#else
static const Line LANE_NUMBERS = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
#endif

#endif
