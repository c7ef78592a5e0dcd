"""What the tests of the compiled cores share: every core there is, and the same training on it and on the twin."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from stacks import loss_spec, near_a_kink, parameters, targets

from fastbp import _dispatch, reference

CORES = [(isa, dtype) for isa in _dispatch.usable() for dtype in ("float32", "float64")]
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
TEAMS = (1, 2, 3)

core_of = pytest.mark.parametrize("isa, dtype", CORES)


@dataclass
class Case:
    """A network, its parameters and data, all numbers such that the dtype holds them."""

    dtype: str
    n_in: int
    layers: list
    loss: dict
    rows: list
    X: np.ndarray
    y: np.ndarray
    settings: dict = field(default_factory=dict)

    def stack(self, module):
        """The network in a core or in the twin."""
        stack = module.Stack(self.n_in, self.layers, self.loss, **self.settings)
        for i, rows in enumerate(self.rows):
            stack.set_rows(i, rows.astype(stack.dtype))
        return stack


def case(dtype, n_in, layers, loss="squared_error", n=20, seed=0, missing=0.1, **settings):
    """A random one, the first of which no activation comes close to a kink of its own, at the start."""
    spec = loss if isinstance(loss, dict) else loss_spec(loss, layers[-1]["n_out"])
    name = list(reference.LOSSES)[spec["code"]]
    for attempt in range(100):
        rng = np.random.default_rng([seed, attempt])
        rows = [block.astype(dtype) for block in parameters(rng, n_in, layers)]
        X, y = rng.normal(size=(n, n_in)).astype(dtype), targets(rng, name, n, layers[-1]["n_out"], missing)
        it = Case(dtype, n_in, layers, spec, rows, X, y if y.dtype == np.int64 else y.astype(dtype), settings)
        twin = it.stack(reference)
        if not any(near_a_kink(twin, twin.passes(X, batch), it.y, 300 * UNITS[dtype]) for batch in (False, True)):
            return it
    raise AssertionError("no data away from the kinks")


def bits(*arrays):
    """Something to compare bit for bit, NaN and the sign of zero included."""
    return [np.asarray(x).tobytes() for x in arrays]


def rows_of(it, stack, get="get_rows"):
    """Of every layer the parameters that a stack holds, or with "get_gradient" what it found."""
    found = [np.full(rows.shape, np.nan, stack.dtype) for rows in it.rows]
    for i, rows in enumerate(found):
        getattr(stack, get)(i, rows)
    return found


def blocks_of(stack):
    """Everything that training leaves, in a layout of the core's own."""
    found = []
    for name in ("params", "slots", "average"):
        found.append(np.empty(stack.n_blocks(name) * stack.block_size, stack.dtype))
        if found[-1].size:
            stack.get_block(name, found[-1])
    return found


def train(it, stack, update, n_threads=1, weights=None, epochs=2, batch_size=8):
    """A few epochs of small steps, whose rates fall. Returns the totals and the rows; and the averaged rows, if any."""
    n, totals = len(it.X), np.zeros(3)
    last = -(-n // batch_size)
    rates = update["learning_rate"] / (1 + 0.1 * np.arange(last))
    stack.reset_slots(update)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(n)
        done = stack.train(it.X, it.y, weights, order, batch_size, 0, last, update, rates, 2**63 + epoch, 1e9, totals,
                           n_threads)
        assert done == (last, False)
    found = [totals, *rows_of(it, stack)]
    if update["average"] >= 0:
        stack.swap_average()
        found += rows_of(it, stack)
        stack.swap_average()
    return found


def assert_close(found, expected, units, dtype, what=""):
    """To so many units in the last place of 1, or of the largest number where that is larger."""
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        size = max(1, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=units * UNITS[dtype] * size, err_msg=f"{what} {i}")


def assert_trains_like_the_twin(isa, it, update, units=4096, **how):
    """And to the same bits in every team. Returns what training left."""
    core, results = _dispatch.load_core(isa, it.dtype), []
    for n_threads in TEAMS:
        stack = it.stack(core)
        found = train(it, stack, update, n_threads, **how)
        results.append((bits(*found, *blocks_of(stack)), found))
    assert all(result == results[0][0] for result, _ in results), "depends on the threads"
    expected = train(it, it.stack(reference), update, **how)
    assert_close(found, expected, units, it.dtype, "totals 0, then layers;")
    return found


def assert_computes_like_the_twin(isa, it, units=4096, weights=None):
    """Gradient, forward, evaluate and vjp; and the same bits in every team."""
    core, results = _dispatch.load_core(isa, it.dtype), []
    for n_threads in TEAMS:
        results.append(bits(*computed(it, it.stack(core), n_threads, weights)))
    assert all(result == results[0] for result in results), "depends on the threads"
    assert_close(computed(it, it.stack(core), 1, weights), computed(it, it.stack(reference), 1, weights), units, it.dtype)


def computed(it, stack, n_threads, weights=None):
    """Mean loss, gradients; raw outputs; sums of losses and scores of the chunks; dX of some draw."""
    n, n_out = len(it.X), it.layers[-1]["n_out"]
    mean = stack.gradient(it.X, it.y, weights, n_threads)
    n_chunks = -(-n // stack.chunk_size)
    raw, losses, scores = np.full((n, n_out), np.nan, stack.dtype), np.full(n_chunks, np.nan), np.full(n_chunks, np.nan)
    stack.forward(it.X, raw, n_threads)
    stack.evaluate(it.X, it.y, weights, losses, scores, n_threads)
    draw, dX = np.random.default_rng(1).normal(size=raw.shape).astype(it.dtype), np.full(it.X.shape, np.nan, stack.dtype)
    stack.vjp(it.X, draw, dX, n_threads)
    return [mean, *rows_of(it, stack, "get_gradient"), raw, losses, scores, dX]
