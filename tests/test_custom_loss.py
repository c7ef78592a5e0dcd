"""A user's own loss in every core: a Python function of the whole batch, and a C function on the samples."""

import ctypes

import numpy as np
import pytest
from cores import (
    TEAMS,
    UNITS,
    assert_close,
    assert_computes_like_the_twin,
    assert_trains_like_the_twin,
    bits,
    blocks_of,
    case,
    computed,
    core_of,
    rows_of,
    train,
)
from stacks import STACKS, layer, loss_spec, rule

from fastbp import _dispatch

LAYERS = [layer(9, norm=1), layer(3, "identity")]
REALS = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def half_squares(raw, y):
    """squared_error, said by a user."""
    return ((raw - y) ** 2).sum() / 2 / len(raw), (raw - y) / len(raw)


def custom(it, function):
    """The case under a user's function."""
    return type(it)(**vars(it) | {"loss": loss_spec("custom", it.layers[-1]["n_out"], function=function)})


# In Python ------------------------------------------------------------------------------------------------


@core_of
@pytest.mark.parametrize("name", STACKS)
def test_networks_equal_twin(isa, dtype, name):
    it = case(dtype, 4, STACKS[name], "custom", n=131)
    assert_computes_like_the_twin(isa, it, units=16 * 4096)     # fourth powers, sums of 126
    it = case(dtype, 4, STACKS[name], "custom")
    assert_trains_like_the_twin(isa, it, rule(learning_rate=0.01), units=8 * 4096)


@core_of
def test_a_users_squared_error_is_the_cores(isa, dtype):
    it = case(dtype, 4, LAYERS, missing=0)
    core, own = _dispatch.load_core(isa, dtype), custom(it, half_squares)
    (totals, *rows), (own_totals, *own_rows) = (train(c, c.stack(core), rule("momentum")) for c in (it, own))
    assert_close([totals[[0, 2]], *rows], [own_totals[[0, 2]], *own_rows], 4096, dtype)
    assert own_totals[1] == 0 < totals[1], "a user's loss has no score"


@core_of
def test_what_the_function_is_given(isa, dtype):
    """Rows of the dtype, in the order of the epoch, as many targets a sample as there are; arrays of its own to keep."""
    calls = []

    def look(raw, y):
        calls.append((raw, y))
        return 1.0, np.zeros_like(raw)

    it = custom(case(dtype, 4, LAYERS), look)
    it.y = np.arange(20 * 5, dtype=dtype).reshape(20, 5)
    stack, order, totals = it.stack(_dispatch.load_core(isa, dtype)), np.arange(20)[::-1].copy(), np.zeros(3)
    stack.reset_slots(rule())
    stack.train(it.X, it.y, None, order, 8, 0, 3, rule(), np.ones(3), 0, 9, totals, 2)
    assert [raw.shape for raw, _ in calls] == [(8, 3), (8, 3), (4, 3)]
    assert np.array_equal(np.concatenate([y for _, y in calls]), it.y[order])
    assert all(array.dtype == dtype and array.flags.c_contiguous for call in calls for array in call)
    expected = np.empty((20, 3), dtype)
    stack.forward(it.X, expected, 1)
    assert_close([np.concatenate([raw for raw, _ in calls])], [expected[order]], 64, dtype)
    assert totals.tolist() == [20, 0, 20]
    losses, scores = np.empty(1), np.empty(1)
    stack.evaluate(it.X, it.y, None, losses, scores, 1)
    assert losses[0] == 20 and scores[0] == 0 and stack.gradient(it.X, it.y, None, 1) == 1


@core_of
@pytest.mark.parametrize("draw", [
    lambda raw: np.ones(raw.shape, "float32"), lambda raw: np.ones(raw.shape, "float64"),
    lambda raw: np.ones(raw.shape, int), lambda raw: np.ones(raw.shape[::-1]).T, lambda raw: np.ones(raw.shape).tolist()],
    ids=["float32", "float64", "int", "Fortran", "lists"])
def test_any_array_may_come_back(isa, dtype, draw):
    """Its gradient has ones for every output: db of the top layer is the number of samples."""
    it = custom(case(dtype, 4, LAYERS), lambda raw, y: (1, draw(raw)))
    stack = it.stack(_dispatch.load_core(isa, dtype))
    assert stack.gradient(it.X, it.y, None, 1) == 1
    db = rows_of(it, stack, "get_gradient")[-1][-1]
    np.testing.assert_allclose(db, np.full(3, 20), rtol=20 * UNITS[dtype])


class Unexpected(Exception):
    """Something of a user's own."""


def fails_at(call, error):
    """A function whose call of this number raises."""
    n_calls = []

    def function(raw, y):
        n_calls.append(1)
        if len(n_calls) > call:
            raise error
        return half_squares(raw, y)

    return function


@core_of
@pytest.mark.parametrize("error", [Unexpected("of a user"), KeyboardInterrupt()], ids=["Exception", "KeyboardInterrupt"])
def test_an_error_comes_out_and_its_step_is_not_taken(isa, dtype, error):
    """Parameters are those of the steps before; the next call works."""
    it, order, rates = case(dtype, 4, LAYERS, missing=0), np.arange(20), np.full(3, 0.1)
    core = _dispatch.load_core(isa, dtype)
    expected = custom(it, half_squares).stack(core)
    expected.reset_slots(rule("momentum"))
    expected.train(it.X, it.y, None, order, 8, 0, 2, rule("momentum"), rates, 0, 9, np.zeros(3), 1)
    for n_threads in TEAMS:
        stack = custom(it, fails_at(2, error)).stack(core)
        stack.reset_slots(rule("momentum"))
        with pytest.raises(type(error)) as caught:
            stack.train(it.X, it.y, None, order, 8, 0, 3, rule("momentum"), rates, 0, 9, np.zeros(3), n_threads)
        assert caught.value is error
        assert bits(*blocks_of(stack)) == bits(*blocks_of(expected)) and stack.n_updates == 2
        with pytest.raises(type(error)):
            stack.gradient(it.X, it.y, None, n_threads)
        with pytest.raises(type(error)):
            stack.evaluate(it.X, it.y, None, *np.empty((2, 1)), n_threads)
        stack.forward(it.X, np.empty((20, 3), dtype), n_threads)


@core_of
@pytest.mark.parametrize("result, error, words", [
    (None, TypeError, "pair"), ((1.0,), TypeError, "pair"), ((1.0, 2.0, 3.0), TypeError, "pair"),
    (("much", np.zeros((20, 3))), (TypeError, ValueError), None), ((1.0, "none"), (TypeError, ValueError), None),
    ((1.0, np.zeros((3, 20))), ValueError, r"\(20, 3\)"), ((1.0, np.zeros(60)), ValueError, r"\(20, 3\)"),
    ((1.0, 0.0), ValueError, r"\(20, 3\)")],
    ids=["None", "one", "three", "loss of text", "draw of text", "turned", "flat", "scalar"])
def test_a_wrong_result_is_explained(isa, dtype, result, error, words):
    it = custom(case(dtype, 4, LAYERS), lambda raw, y: result)
    stack = it.stack(_dispatch.load_core(isa, dtype))
    with pytest.raises(error, match=words):
        stack.gradient(it.X, it.y, None, 1)


@core_of
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_divergence(isa, dtype, bad):
    it = custom(case(dtype, 4, LAYERS), lambda raw, y: (bad, np.zeros_like(raw)))
    for n_threads in TEAMS:
        stack, totals = it.stack(_dispatch.load_core(isa, dtype)), np.zeros(3)
        stack.reset_slots(rule())
        found = stack.train(it.X, it.y, None, np.arange(20), 8, 0, 3, rule(), np.ones(3), 0, 9, totals, n_threads)
        assert found == (0, True) and not totals.any() and stack.not_finite(8) == 2
        assert bits(*rows_of(it, stack)) == bits(*it.rows)


# In C: here a callback, which Python lends the address of ---------------------------------------------------


def capsule(dtype, function, name=None, context=None):
    """A PyCapsule of function(context, raw, y, losses, draw) -> int on arrays; what must stay alive comes with it."""
    real = REALS[dtype]
    pointer = ctypes.POINTER(real)
    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *[ctypes.c_ssize_t] * 3, pointer, pointer,
                                 ctypes.POINTER(ctypes.c_double), pointer)

    @signature
    def callback(context, n, n_out, n_y, raw, y, losses, draw):
        view = np.ctypeslib.as_array
        return function(context, view(raw, (n, n_out)), view(y, (n, n_y)), view(losses, (n,)), view(draw, (n, n_out)))

    api, name = ctypes.pythonapi, (name or f"fastbp.loss.{dtype}").encode()
    api.PyCapsule_New.restype, api.PyCapsule_New.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    api.PyCapsule_SetContext.argtypes = [ctypes.py_object, ctypes.c_void_p]
    its = api.PyCapsule_New(ctypes.cast(callback, ctypes.c_void_p), name, None)
    api.PyCapsule_SetContext(its, context)
    return its, (callback, name)


def c_half_squares(context, raw, y, losses, draw):
    losses[...], draw[...] = ((raw - y).astype(float) ** 2).sum(axis=1) / 2, raw - y
    return 0


@core_of
def test_a_function_in_c_trains_and_evaluates_like_the_cores_own(isa, dtype):
    """Samples one by one, so weights count; the same bits in every team."""
    it = case(dtype, 4, LAYERS, n=300, missing=0)
    its, alive = capsule(dtype, c_half_squares)
    own, core = custom(it, its), _dispatch.load_core(isa, dtype)
    weights = np.random.default_rng(0).uniform(0, 2, 300)
    for w in (None, weights):
        results = [train(own, own.stack(core), rule("momentum"), n, weights=w, batch_size=64) for n in TEAMS]
        assert bits(*results[0]) == bits(*results[1]) == bits(*results[2])
        expected = train(it, it.stack(core), rule("momentum"), weights=w, batch_size=64)
        expected[0][1] = 0      # no score
        assert_close(results[0], expected, 4096, dtype)
        for n_threads in TEAMS:
            found, expected = computed(own, own.stack(core), n_threads, w), computed(it, it.stack(core), 1, w)
            expected[-2] = 0 * expected[-2]
            assert_close(found, expected, 4096, dtype)
    del alive


@core_of
def test_c_gets_its_context_and_every_sample_once(isa, dtype):
    seen = []

    def look(context, raw, y, losses, draw):
        seen.append((context, y[:, 0].tolist(), y.shape[1]))
        losses[...], draw[...] = 0, 0
        return 0

    its, alive = capsule(dtype, look, context=12345)
    it = custom(case(dtype, 4, LAYERS), its)
    it.y = np.arange(20 * 2, dtype=dtype).reshape(20, 2)
    for n_threads in TEAMS:
        stack = it.stack(_dispatch.load_core(isa, dtype))
        stack.gradient(it.X, it.y, None, n_threads)
        assert {context for context, _, _ in seen} == {12345} and {n_y for _, _, n_y in seen} == {2}
        assert sorted(sum((ys for _, ys, _ in seen), [])) == it.y[:, 0].tolist()
        seen.clear()
    del alive


@core_of
def test_c_may_report_an_error(isa, dtype):
    its, alive = capsule(dtype, lambda *arguments: 7)
    it = custom(case(dtype, 4, LAYERS), its)
    for n_threads in TEAMS:
        stack = it.stack(_dispatch.load_core(isa, dtype))
        stack.reset_slots(rule())
        with pytest.raises(ValueError, match="loss function in C"):
            stack.train(it.X, it.y, None, np.arange(20), 8, 0, 3, rule(), np.ones(3), 0, 9, np.zeros(3), n_threads)
        assert bits(*rows_of(it, stack)) == bits(*it.rows) and stack.n_updates == 0
        with pytest.raises(ValueError, match="loss function in C"):
            stack.gradient(it.X, it.y, None, n_threads)
    del alive


@core_of
def test_a_capsule_of_the_other_dtype_is_refused(isa, dtype):
    other = {"float32": "float64", "float64": "float32"}[dtype]
    its, alive = capsule(dtype, c_half_squares, name=f"fastbp.loss.{other}")
    with pytest.raises(ValueError, match="PyCapsule|capsule"):
        custom(case(dtype, 4, LAYERS), its).stack(_dispatch.load_core(isa, dtype))
    del alive
