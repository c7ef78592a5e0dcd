"""The products of every core, by both of its tiles: right, in bounds, the same bits wherever a row stands."""
import itertools
from functools import partial

import numpy as np
import pytest

from fastbp import _dispatch
from fastbp._isa import DTYPES, ISAS, macros

ROWS = {isa.name: isa for isa in ISAS}
GUARD = 67                                      # elements of NaN on both sides of C: no multiple of a vector
SMALL = (1, 2, 3, 5, 7, 8, 9, 16, 17)
EDGES = (1, 2, 3, 5, 7, 8, 9, *range(13, 18), *(size + i for size in (32, 48, 64, 128) for i in (-1, 0, 1)))

pytestmark = [pytest.mark.parametrize("dtype", DTYPES), pytest.mark.parametrize("isa", _dispatch.usable())]
both_ways = pytest.mark.parametrize("transposed", [False, True], ids=["plain", "transposed"])


def block(isa, dtype):
    """Terms that are summed before the sums go back to memory."""
    return macros(ROWS[isa], dtype)["FASTBP_KC"]


def long_sums(isa, dtype):
    kc = block(isa, dtype)
    return kc - 1, kc, kc + 1, 2 * kc + 1


def operands(m, n, k, dtype, transposed=False):
    """A (m, k), or its transpose (k, m) as the transposed product takes it, and B (k, n)."""
    rng = np.random.default_rng([m, n, k])
    return (rng.standard_normal((k, m) if transposed else (m, k)).astype(dtype),
            rng.standard_normal((k, n)).astype(dtype))


def gemm_of(isa, dtype, transposed=False):
    """A core's product as a function of A and B. C stands amid NaNs, which must all be there afterwards."""
    core = _dispatch.load_core(isa, dtype)

    def gemm(A, B):
        m, n = A.shape[1] if transposed else len(A), B.shape[1]
        canary = np.full(m * n + 2 * GUARD, np.nan, dtype)
        C = canary[GUARD:-GUARD].reshape(m, n)
        core.gemm(A, B, transposed, C)
        assert np.isnan([canary[:GUARD], canary[-GUARD:]]).all(), f"wrote outside of C {C.shape}"
        return C

    return gemm


def assert_product(C, A, B):
    """|C - A B| <= 16 u |A| |B|, as netlib's tests of the BLAS have it.

    A chain of k rounded multiply-adds is off by k u |A| |B| at the very most; its errors have either sign,
    which makes that a few u at any k. A term lost, doubled or misplaced costs about 1 / k: thousands of u.
    The reference is summed in finer arithmetic: for float32 in float64, for that in long double (where this
    is no wider, its own error is a few u too).
    """
    unit = np.finfo(C.dtype).eps / 2
    wide = np.float64 if C.dtype == np.float32 else np.longdouble
    product = partial(np.einsum, "ij,jk->ik")       # not `@`, whose BLAS has threads that a busy machine stalls
    error = np.abs(C - product(A.astype(wide), B.astype(wide)))
    gauge = product(np.abs(A), np.abs(B))
    assert np.all(error <= 16 * unit * gauge), f"{A.shape} by {B.shape}: {np.max(error / gauge) / unit:.3g} u"


# --- Rows as users have them. NaN stands wherever nothing may read.


def contiguous(x, dtype):
    return np.ascontiguousarray(x, dtype)


def with_gaps(x, dtype):
    """Rows farther apart than they are long, in the middle of a larger array."""
    large = np.full((len(x) + 2, x.shape[1] + 5), np.nan, dtype)
    large[1:-1, 2:-3] = x
    return large[1:-1, 2:-3]


def upside_down(x, dtype):
    """Rows at a negative distance."""
    return with_gaps(x[::-1], dtype)[::-1]


def every_third(x, dtype):
    large = np.full((3 * len(x), x.shape[1]), np.nan, dtype)
    large[::3] = x
    return large[::3]


def read_only(x, dtype):
    x = np.array(x, dtype)
    x.flags.writeable = False
    return x


LAYOUTS = (contiguous, with_gaps, upside_down, every_third, read_only)


def covering(ks):
    """Sizes (m, n, k): every pair of m and n, m and k, n and k three times or more; not every triple."""
    for shift, (i, m), (j, n) in itertools.product((0, 7, 14, 21), enumerate(EDGES), enumerate(EDGES)):
        yield m, n, ks[(i + 3 * j + shift) % len(ks)]


@both_ways
def test_every_edge_of_tiles_and_blocks(isa, dtype, transposed):
    """Operands are laid out in one way after the other."""
    gemm = gemm_of(isa, dtype, transposed)
    sizes = itertools.chain(itertools.product(SMALL, SMALL, SMALL), covering(EDGES + long_sums(isa, dtype)))
    layouts = itertools.cycle(itertools.product(LAYOUTS, LAYOUTS))
    for (m, n, k), (layout_a, layout_b) in zip(sizes, layouts):
        A, B = operands(m, n, k, dtype, transposed)
        assert_product(gemm(layout_a(A, dtype), layout_b(B, dtype)), A.T if transposed else A, B)


@both_ways
def test_long_sums_at_every_height_of_a_tile(isa, dtype, transposed):
    gemm = gemm_of(isa, dtype, transposed)
    for m, k in itertools.product(range(1, 2 * ROWS[isa].tile[0] + 2), long_sums(isa, dtype)):
        A, B = operands(m, 19, k, dtype, transposed)
        assert_product(gemm(A, B), A.T if transposed else A, B)


@both_ways
@pytest.mark.parametrize("given", DTYPES)
def test_the_layout_of_rows_changes_no_bits_and_no_input(isa, dtype, given, transposed):
    """Rows of either dtype are read where they stand; float64 is rounded once on its way to float32."""
    gemm = gemm_of(isa, dtype, transposed)
    for m, n, k in [(1, 1, 1), (3, 17, 9), (16, 15, 33), (29, 50, 257)]:
        A, B = operands(m, n, k, given, transposed)
        expected = gemm(A.astype(dtype), B.astype(dtype))
        for layout_a, layout_b in itertools.product(LAYOUTS, LAYOUTS):
            a, b = layout_a(A, given), layout_b(B, given)
            before = [whole(x).tobytes() for x in (a, b)]
            assert np.array_equal(gemm(a, b), expected), (layout_a, layout_b)
            assert [whole(x).tobytes() for x in (a, b)] == before, (layout_a, layout_b)


def whole(view):
    """The array that a view was cut out of."""
    return view if view.base is None else whole(view.base)


def test_one_row_in_the_place_of_many(isa, dtype):
    """Rows at distance zero, as numpy.broadcast_to makes them."""
    gemm = gemm_of(isa, dtype)
    A, B = operands(1, 20, 33, dtype)
    assert np.array_equal(gemm(np.broadcast_to(A, (17, 33)), B), np.repeat(gemm(A, B), 17, axis=0))


# --- Every element is a sum of its own


@both_ways
def test_a_row_has_the_same_bits_in_any_company(isa, dtype, transposed):
    """A row alone, first, last or in the middle, and a column likewise: tiles do not show in the bits."""
    gemm = gemm_of(isa, dtype, transposed)
    tallest, kc = ROWS[isa].tile[0], block(isa, dtype)
    for m, n, k in [(2 * tallest + 3, 17, 31), (tallest, 65, kc + 1), (33, 2, 64), (17, 49, 1)]:
        A, B = operands(m, n, k, dtype, transposed)
        C = gemm(A, B)
        for first, last in [*((r, r + 1) for r in range(m)), (1, m), (0, m - 1), (m // 3, m // 3 + 2)]:
            some = A[:, first:last] if transposed else A[first:last]
            assert np.array_equal(gemm(some, B), C[first:last]), (m, n, k, first)
        for j in range(n):
            assert np.array_equal(gemm(A, B[:, j:j + 1]), C[:, j:j + 1]), (m, n, k, j)


def test_both_tiles_give_the_same_bits(isa, dtype):
    """Forward and dW differ in strides alone."""
    plain, transposed = gemm_of(isa, dtype), gemm_of(isa, dtype, transposed=True)
    for m, n, k in itertools.product((1, 15, 33), (1, 17, 64), (1, 16, 129, *long_sums(isa, dtype))):
        A, B = operands(m, n, k, dtype)
        assert np.array_equal(plain(A, B), transposed(np.ascontiguousarray(A.T), B)), (m, n, k)


@both_ways
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row_or_column(isa, dtype, bad, transposed):
    gemm = gemm_of(isa, dtype, transposed)
    m, n, k = 2 * ROWS[isa].tile[0] + 3, 35, 18
    A, B = operands(m, n, k, dtype, transposed)
    good = gemm(A, B)
    for r in range(m):
        poisoned, expected, term = A.copy(), good.copy(), r % k
        poisoned[(term, r) if transposed else (r, term)] = bad
        expected[r] = bad * B[term]
        assert np.array_equal(gemm(poisoned, B), expected, equal_nan=True), r
    for j in range(n):
        poisoned, expected, term = B.copy(), good.copy(), j % k
        poisoned[term, j] = bad
        expected[:, j] = bad * (A[term] if transposed else A[:, term])
        assert np.array_equal(gemm(A, poisoned), expected, equal_nan=True), j
