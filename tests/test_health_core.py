"""Gradient health of every core against the twin: norms, saturated entries, dead units, which steps are watched."""

import numpy as np
import pytest
from cores import TEAMS, UNITS, bits, case, core_of, train
from stacks import STACKS, layer, rule

from fastbp import _dispatch, reference
from fastbp.reference import ACTIVATIONS

MIXED = [layer(9, "relu"), layer(9, "sigmoid", norm=1), layer(9, "hard_tanh", norm=2, residual=True),
         layer(9, "silu", kind=1), layer(3, "hard_sigmoid")]


def health(it, module, every, update, n_threads=1, **how):
    """The report of two epochs of three steps."""
    stack = it.stack(module)
    stack.watch(every)
    train(it, stack, update, n_threads, **how)
    return stack.take_health()


def assert_like_the_twin(isa, it, every=1, update=None, **how):
    update = update or rule(learning_rate=0.01)
    found = [health(it, _dispatch.load_core(isa, it.dtype), every, update, n, **how) for n in TEAMS]
    assert bits(found[0]) == bits(found[1]) == bits(found[2])
    expected = health(it, reference, every, update, **how)
    # Sums of squares in single precision within a block, then in double.
    np.testing.assert_allclose(found[0], expected, rtol=8192 * UNITS[it.dtype], atol=64 * UNITS[it.dtype])
    return found[0]


@core_of
@pytest.mark.parametrize("name", [*STACKS, "mixed"])
def test_every_kind_of_layer(isa, dtype, name):
    it = case(dtype, 4, STACKS.get(name, MIXED), seed=1)
    assert_like_the_twin(isa, it)
    assert_like_the_twin(isa, it, weights=np.random.default_rng(0).uniform(0, 2, 20))


@core_of
def test_wide_layers(isa, dtype):
    it = case(dtype, 70, [layer(130), layer(130, "sigmoid", norm=2), layer(130, "hard_tanh", kind=1), layer(3)])
    assert_like_the_twin(isa, it)


@core_of
def test_frozen_layers(isa, dtype):
    """Nothing goes through those at the bottom; what stands on them is reported as ever."""
    it = case(dtype, 4, [layer(5, trainable=False), layer(5, norm=1, trainable=False), layer(5), layer(3, "identity")])
    report = [health(it, module, 1, rule()) for module in (_dispatch.load_core(isa, dtype), reference)]
    np.testing.assert_allclose(report[0][2:], report[1][2:], rtol=8192 * UNITS[dtype])
    np.testing.assert_allclose(report[0][:2, 3:], report[1][:2, 3:], rtol=8192 * UNITS[dtype])
    assert not report[0][:2, :3].any()


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturation_and_death_under_every_activation(isa, dtype, activation):
    """Large arguments; one unit far below zero where that is flat, not only nearly so."""
    bounded, flat = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh"), ("relu", "hard_sigmoid", "hard_tanh")
    it = case(dtype, 4, [layer(17, activation), layer(2, "identity")])
    it.rows[0] *= 4
    if activation in flat:
        it.rows[0][4, 3] = -60
    report = assert_like_the_twin(isa, it, update=rule(learning_rate=0.0))
    assert (report[0, 3] > 0) == (activation in bounded)
    assert (report[0, 5] >= 1 / 17) == (activation in flat)


@core_of
@pytest.mark.parametrize("every", [1, 2, 3])
def test_only_the_steps_asked_for_are_watched(isa, dtype, every):
    """Steps 0, `every`, 2 `every`, ... of an epoch."""
    it = case(dtype, 4, STACKS["plain"])
    assert_like_the_twin(isa, it, every)


@core_of
def test_all_updates_are_watched_alike(isa, dtype):
    """Fused or in two rounds; with norms of dW before anything is clipped or decays."""
    it = case(dtype, 4, STACKS["plain"])
    once = {"epochs": 1, "batch_size": 20}
    plain = assert_like_the_twin(isa, it, update=rule("momentum"), **once)
    for extra in ({"l1": 0.1, "l2": 0.1, "weight_decay": 0.1}, {"clip_layer": 1e-3}, {"clip_norm": 1e-3}, {"average": 0.5}):
        report = assert_like_the_twin(isa, it, update=rule("momentum", **extra), **once)
        assert bits(report[:, :4]) == bits(plain[:, :4])


@core_of
def test_watching_changes_no_bits(isa, dtype):
    it, core = case(dtype, 4, STACKS["dropout"]), _dispatch.load_core(isa, dtype)
    unseen, watched = it.stack(core), it.stack(core)
    watched.watch(2)
    assert bits(*train(it, unseen, rule("adam"))) == bits(*train(it, watched, rule("adam"), 2))


@core_of
def test_reports_start_anew(isa, dtype):
    it = case(dtype, 4, STACKS["plain"])
    stack = it.stack(_dispatch.load_core(isa, dtype))
    assert stack.take_health().shape == (2, 6) and np.isnan(stack.take_health()).all()
    stack.watch(1)
    still = rule(learning_rate=0.0)
    train(it, stack, still)
    first = stack.take_health()
    assert np.isfinite(first).all() and np.isnan(stack.take_health()).all()
    train(it, stack, still)
    assert bits(stack.take_health()) == bits(first)
    stack.watch(0)
    train(it, stack, still)
    assert np.isnan(stack.take_health()).all()


@core_of
def test_a_unit_is_dead_if_no_sample_of_any_step_reaches_it(isa, dtype):
    """Two units, the second of which one sample of the last batch wakes."""
    it = case(dtype, 1, [layer(2, "relu"), layer(1, "identity")], missing=0)
    it.rows[0][...] = [[1, 1], [-2, -2]]
    it.X[...] = -1
    for n_awake, dead in ((0, 1.0), (1, 0.0)):
        it.X[19, 0] = 3 if n_awake else -1
        assert assert_like_the_twin(isa, it, update=rule(learning_rate=0.0))[0, 5] == dead
    it.rows[0][1, 1] = -5
    assert assert_like_the_twin(isa, it, update=rule(learning_rate=0.0))[0, 5] == 0.5
