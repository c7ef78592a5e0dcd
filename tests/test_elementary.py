"""exp, log, sigmoid, tanh, erf, log(1 + u), exp(u) - 1 of every core: within 4 ULP, NaN where it is due, no lane astray.

`pytest tests/test_elementary.py -rP` prints the worst errors; `-m exhaustive` tries every float32 (minutes),
on the row that FASTBP_ISA names.
"""
import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from fastbp import _dispatch
from fastbp._isa import DTYPES

MAX_ULP = 4
N_POINTS = {"float32": 1_000_000, "float64": 100_000}       # long doubles cost 50 ns a function
WIDER = {"float32": np.float64, "float64": np.longdouble}
TWO_OVER_ROOT_PI = np.longdouble("1.1283791670955125738961589031215451717")

no_long_double = np.finfo(np.longdouble).nmant < 60
each_isa = pytest.mark.parametrize("isa", _dispatch.usable())
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def erf(x):
    """Of float64, the C library's. Of long double, exp(-x^2) times a series of positive terms, which loses no
    digits; beyond 6.5 erf differs from 1 by less than half an ULP of an x87 long double."""
    if x.dtype == np.float64:
        return np.fromiter(map(math.erf, x), np.float64, len(x))
    x = np.clip(x, -6.5, 6.5)
    term = total = x * TWO_OVER_ROOT_PI * np.exp(-x * x)
    for n in range(1, 250):
        term = term * (x * x * 2 / (2 * n + 1))
        total = total + term
    return total


class Function(NamedTuple):
    """A function of the core. The interesting numbers lie within the span."""

    exact: object
    span32: tuple
    span64: tuple
    least: float = -math.inf
    most: float = math.inf
    domain: tuple = (-math.inf, math.inf)


FUNCTIONS = {
    "EXP": Function(np.exp, (-106, 90), (-748, 711), least=0),
    "LOG": Function(np.log, (-0.5, 4), (-0.5, 4)),
    "SIGMOID_FUNCTION": Function(lambda x: 1 / (1 + np.exp(-x)), (-106, 20), (-748, 40), least=0, most=1),
    "TANH_FUNCTION": Function(np.tanh, (-10, 10), (-20, 20), least=-1, most=1),
    "ERF": Function(erf, (-4.5, 4.5), (-6.5, 6.5), least=-1, most=1),
    "LOG1P_OF": Function(np.log1p, (0, 1), (0, 1), domain=(0, 1)),
    "EXPM1_OF": Function(np.expm1, (-40, 40), (-40, 40), least=-1, domain=(-math.inf, 40)),
}
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def run(isa, function, x, pad=0):
    """The core's function; with `pad`, written between NaNs, which must all be there afterwards."""
    core = _dispatch.load_core(isa, x.dtype.name)
    canary = np.full(len(x) + 2 * pad, np.nan, x.dtype)
    out = canary[pad:pad + len(x)]
    core.elementary(core.Elementary[function], x, out)
    assert np.isnan([canary[:pad], canary[pad + len(x):]]).all(), f"wrote outside of out, shape {out.shape}"
    return out


def exact(function, x):
    with np.errstate(all="ignore"):         # log(-1), exp(1e9): asked for
        return FUNCTIONS[function].exact(x.astype(WIDER[x.dtype.name]))


def ulps(got, exact):
    """|got - exact| in units of the gap between floats at `exact`. Infinity is taken for the number that
    would follow the largest: right where rounding makes it, far off elsewhere."""
    info = np.finfo(got.dtype)
    after_largest = np.ldexp(exact.dtype.type(1), info.maxexp)
    exponent = np.clip(np.frexp(exact)[1], info.minexp + 1, info.maxexp)
    with np.errstate(invalid="ignore"):     # signalling NaNs are among the inputs
        error = np.clip(got.astype(exact.dtype), -after_largest, after_largest)
        error -= np.clip(exact, -after_largest, after_largest)
    return np.abs(np.ldexp(error, info.nmant + 1 - exponent))


def worst(function, x, got, exact):
    """The largest error and its place. NaN must be where it is due, nothing outside the function's range."""
    assert np.array_equal(np.isnan(got), np.isnan(exact)), x[np.isnan(got) != np.isnan(exact)][:5]
    outside = (got < FUNCTIONS[function].least) | (got > FUNCTIONS[function].most)
    assert not outside.any(), (x[outside][:5], got[outside][:5])
    error = np.nan_to_num(ulps(got, exact), nan=0)
    at = error.argmax()
    return error[at], x[at]


def corners(dtype):
    """Zeros, the ends of the subnormals and of the range; where functions overflow, underflow and saturate,
    where formulas change and arguments are reduced. Each with its two neighbours, in both signs."""
    info = np.finfo(dtype)
    k = np.arange(info.minexp - info.nmant - 2, info.maxexp + 2)        # all exponents there are
    with np.errstate(over="ignore", under="ignore"):
        powers = np.exp2(k.astype(np.float64))
        x = np.concatenate([
            [0, info.smallest_subnormal, info.tiny, info.max, np.inf],
            powers, powers * np.sqrt(0.5), (k + 0.5) * np.log(2), k * np.log(2),
            [0.84375, 4, 6, 9.015625, 19.0625, 89, 104, 710, 746],
        ]).astype(dtype)
        x = np.concatenate([x, np.nextafter(x, dtype(0)), np.nextafter(x, dtype(np.inf))])
        return np.concatenate([x, -x, [np.nan]]).astype(dtype)


@cache
def points(function, dtype):
    """Corners; numbers spread over the span, over magnitudes near 1, over all bits; and the exact values."""
    it, n = FUNCTIONS[function], N_POINTS[dtype] // 3
    rng = np.random.default_rng(0)
    even = rng.uniform(*(it.span32 if dtype == "float32" else it.span64), n).astype(dtype)
    near = (np.exp2(rng.uniform(-24, 8, n)) * rng.choice([-1, 1], n)).astype(dtype)
    bits = rng.integers(0, 256, n * even.itemsize, np.uint8).view(dtype)
    x = np.concatenate([corners(np.dtype(dtype).type), even, near, bits])
    x = x[np.isnan(x) | (x >= it.domain[0]) & (x <= it.domain[1])]
    x.flags.writeable = False
    return x, exact(function, x)


@each_function
@each_dtype
@each_isa
def test_at_most_4_ulp(isa, dtype, function):
    if dtype == "float64" and no_long_double:
        pytest.skip("needs a long double that is wider than double")
    x, expected = points(function, dtype)
    error, at = worst(function, x, run(isa, function, x), expected)
    print(f"{function} {dtype} {isa}: {error:.2f} ULP at {at!r}")
    assert error <= MAX_ULP, at


inf, nan = math.inf, math.nan
SPECIAL = {         # pairs (x, f(x))
    "EXP": [(0.0, 1), (-0.0, 1), (inf, inf), (-inf, 0.0), (-1e30, 0.0), (1e30, inf)],
    "LOG": [(0.0, -inf), (-0.0, -inf), (1, 0.0), (inf, inf), (-inf, nan), (-1e-30, nan)],
    "SIGMOID_FUNCTION": [(0.0, 0.5), (-0.0, 0.5), (inf, 1), (-inf, 0.0), (1e30, 1), (-1e30, 0.0)],
    "TANH_FUNCTION": [(0.0, 0.0), (-0.0, -0.0), (inf, 1), (-inf, -1), (1e30, 1), (-1e30, -1)],
    "ERF": [(0.0, 0.0), (-0.0, -0.0), (inf, 1), (-inf, -1), (1e30, 1), (-1e30, -1)],
    "LOG1P_OF": [(0.0, 0.0)],
    "EXPM1_OF": [(0.0, 0.0), (-inf, -1), (-1e30, -1)],
}


@each_function
@each_dtype
@each_isa
def test_special_values_are_exact_down_to_the_sign_of_zero(isa, dtype, function):
    x, expected = np.array([*SPECIAL[function], (nan, nan)], dtype).T.copy()
    got = run(isa, function, x)
    assert np.array_equal(got, expected, equal_nan=True)
    zero = expected == 0
    assert np.array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("function", ["TANH_FUNCTION", "ERF"])
@each_dtype
@each_isa
def test_odd_functions_are_odd_to_the_bit(isa, dtype, function):
    x = points("EXP", dtype)[0]
    assert np.array_equal(run(isa, function, -x), -run(isa, function, x), equal_nan=True)


@each_function
@each_dtype
@each_isa
def test_every_length_and_a_nan_in_every_lane(isa, dtype, function):
    """No lane sees another, in whole lines or in their tails; nothing but `out` is written."""
    line = 64 // np.dtype(dtype).itemsize
    x = np.random.default_rng(1).uniform(0, 1, 2 * line + 1).astype(dtype)
    expected = run(isa, function, x)
    for n in range(1, len(x) + 1):
        assert np.array_equal(run(isa, function, x[:n], pad=line + 3), expected[:n]), n
        for lane in range(n):
            poisoned, kept = x[:n].copy(), np.arange(n) != lane
            poisoned[lane] = np.nan
            got = run(isa, function, poisoned)
            assert np.isnan(got[lane]) and np.array_equal(got[kept], expected[:n][kept]), (n, lane)


# --- Every float32, and the references themselves


def exact_of_floats(function, x):
    """As `exact`, but erf from the float64 core, which is held to 4 ULP above: math.erf would take long."""
    if function == "ERF":
        with np.errstate(invalid="ignore"):     # signalling NaNs
            return run(_dispatch.ISA, function, x.astype(np.float64))
    return exact(function, x)


@pytest.mark.exhaustive
@each_function
def test_every_float32(function):
    block, (low, high) = 1 << 20, FUNCTIONS[function].domain

    def worst_of(start):
        x = np.arange(start, start + block, dtype=np.uint32).view(np.float32)
        x = x[np.isnan(x) | (x >= low) & (x <= high)]
        if not len(x):
            return 0, 0
        return worst(function, x, run(_dispatch.ISA, function, x), exact_of_floats(function, x))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        error, at = max(pool.map(worst_of, range(0, 1 << 32, block)), key=lambda pair: pair[0])
    print(f"{function} float32 {_dispatch.ISA}: {error:.3f} ULP at {at!r}, of all floats")
    assert error <= MAX_ULP, at


@pytest.mark.exhaustive
@each_function
@each_dtype
def test_the_references_are_far_better_than_what_they_judge(dtype, function):
    mpmath = pytest.importorskip("mpmath")
    if dtype == "float64" and no_long_double:
        pytest.skip("needs a long double that is wider than double")
    functions = {
        "EXP": mpmath.exp, "LOG": mpmath.log, "SIGMOID_FUNCTION": lambda x: 1 / (1 + mpmath.exp(-x)),
        "TANH_FUNCTION": mpmath.tanh, "ERF": mpmath.erf, "LOG1P_OF": mpmath.log1p, "EXPM1_OF": mpmath.expm1,
    }
    x, values = points(function, dtype)
    sample = np.flatnonzero((np.abs(values) > 1e-290) & (np.abs(values) < 1e300))[::53]
    with mpmath.workprec(200):
        for number, value in zip(x[sample], values[sample]):
            expected, high = functions[function](mpmath.mpf(float(number))), float(value)
            error = expected - mpmath.mpf(high) - mpmath.mpf(float(value - WIDER[dtype](high)))
            assert abs(error) <= abs(expected) * float(np.finfo(dtype).eps) / 64, number
