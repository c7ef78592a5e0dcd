"""Every kind of layer in every core against the twin: norms, residual connections, scales, dropout and noise."""

import itertools

import numpy as np
import pytest
from cores import TEAMS, UNITS, assert_computes_like_the_twin, assert_trains_like_the_twin, bits, case, core_of
from stacks import STACKS, layer, loss_spec, rule

from fastbp import _dispatch
from fastbp.reference import ACTIVATIONS, keep_factors, normal_numbers

#: around the 8 and 16 numbers of a line
WIDTHS = (1, 2, 7, 8, 9, 15, 16, 17, 33)


@core_of
@pytest.mark.parametrize("name", STACKS)
def test_stacks(isa, dtype, name):
    """More samples than a chunk of inference holds; weights; all that can be computed, and training."""
    it = case(dtype, 4, STACKS[name], n=131)
    assert_computes_like_the_twin(isa, it)
    assert_computes_like_the_twin(isa, it, weights=np.random.default_rng(3).uniform(0, 2, len(it.X)))
    it = case(dtype, 4, STACKS[name], n=20, input_dropout=0.25, input_noise=0.1)
    assert_trains_like_the_twin(isa, it, rule("momentum"))


@core_of
@pytest.mark.parametrize("norm", [1, 2], ids=["layer norm", "batch norm"])
def test_norms_of_every_width_and_batch(isa, dtype, norm):
    """One feature makes layer norm constant, one sample batch norm."""
    for width, n in itertools.product(WIDTHS, (1, 2, 13)):
        it = case(dtype, 3, [layer(width, norm=norm), layer(2, "identity")], n=n, missing=0)
        # Where all inputs of a norm are nearly equal it divides their rounding by sqrt(1e-5): 300 times as much.
        assert_computes_like_the_twin(isa, it, units=300 * 64)
        assert_trains_like_the_twin(isa, it, rule(), units=300 * 64)


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_norm_residual_and_dropout_under_every_activation(isa, dtype, activation):
    for norm in (0, 1, 2):
        layers = [layer(9, activation, norm=norm, dropout=0.25), layer(9, activation, norm=norm, residual=True),
                  layer(9, activation, kind=1, dropout=0.5), layer(2, activation)]
        it = case(dtype, 4, layers, n=11, seed=5)
        assert_computes_like_the_twin(isa, it)


@core_of
def test_residuals_of_every_width(isa, dtype):
    for width in WIDTHS:
        it = case(dtype, width, [layer(width, residual=True), layer(width, "silu", residual=True, dropout=0.3)], n=13)
        assert_computes_like_the_twin(isa, it)
        assert_trains_like_the_twin(isa, it, rule())


@core_of
def test_scales_of_every_width(isa, dtype):
    for width in WIDTHS:
        it = case(dtype, width, [layer(width, kind=1), layer(width, "tanh", kind=1, dropout=0.3)], n=13)
        assert_computes_like_the_twin(isa, it)
        assert_trains_like_the_twin(isa, it, rule("adam"))


@core_of
@pytest.mark.parametrize("norm", [0, 1, 2])
def test_wide_layers(isa, dtype, norm):
    """Of many panels, more than the threads share out at a time, and longer sums than a block; also where the update
    needs a second round."""
    layers = [layer(130, norm=norm), layer(130, norm=norm, residual=True), layer(130, "silu", kind=1, dropout=0.5),
              layer(70, norm=norm, max_norm=0.9)]
    it = case(dtype, 1030, layers, n=40, input_dropout=0.2)
    assert_computes_like_the_twin(isa, it)
    assert_trains_like_the_twin(isa, it, rule("adam", eps=0.01), batch_size=33)
    assert_trains_like_the_twin(isa, it, rule(l1=1e-3, clip_layer=0.1, clip_norm=0.15, average=0.5), batch_size=33)


@core_of
def test_nothing_but_a_step_changes_running_statistics(isa, dtype):
    it = case(dtype, 4, STACKS["batch norm"])
    stack = it.stack(_dispatch.load_core(isa, dtype))
    block = np.empty(stack.block_size, dtype)
    stack.get_block("params", block)
    before = bits(block)
    raw, dX, sums = np.empty((20, 3), dtype), np.empty((20, 4), dtype), np.empty((2, 1))
    stack.gradient(it.X, it.y, None, 2)
    stack.forward(it.X, raw, 2)
    stack.evaluate(it.X, it.y, None, *sums, 2)
    stack.vjp(it.X, raw, dX, 2)
    stack.get_block("params", block)
    assert bits(block) == before


@core_of
def test_inference_of_batch_norm_does_not_look_at_the_batch(isa, dtype):
    it = case(dtype, 4, STACKS["batch norm"])
    stack = it.stack(_dispatch.load_core(isa, dtype))
    together, alone = np.empty((20, 3), dtype), np.empty((20, 3), dtype)
    stack.forward(it.X, together, 1)
    for i in range(20):
        stack.forward(it.X[i:i + 1], alone[i:i + 1], 1)
    assert bits(together) == bits(alone)
    assert bits(stack.forward_small(it.X, None, 64)) == bits(together)


# Masks ----------------------------------------------------------------------------------------------------


def outputs_seen(isa, dtype, it, n_threads, key, batch_size, step):
    """The raw outputs of step number `step`, as a user's loss sees them; its gradient is zero."""
    seen = []

    def look(raw, y):
        seen.append(np.array(raw))
        return 0.0, np.zeros_like(raw)

    it.loss = loss_spec("custom", it.layers[-1]["n_out"], function=look)
    stack, update = it.stack(_dispatch.load_core(isa, dtype)), rule(learning_rate=0.0)
    stack.reset_slots(update)
    order, rates = np.arange(len(it.X)), np.zeros(step + 1)
    stack.train(it.X, it.y, None, order, batch_size, step, step + 1, update, rates, key, 1e9, np.zeros(3), n_threads)
    return seen[-1]


def see_through(dtype, width, n, layers, **settings):
    """All ones go in, and come out of layers of identities but for what is dropped and added."""
    it = case(dtype, width, layers, n=n, **settings)
    it.X[...], it.y[...] = 1, 0
    for rows, spec in zip(it.rows, layers):
        rows[...] = 0
        rows[:1 if spec["kind"] else width] = 1 if spec["kind"] else np.eye(width)
    return it


KEYS = [(0, 0), (2**64 - 1, 3), (0x123456789ABCDEF0, 1)]


@core_of
@pytest.mark.parametrize("key, step", KEYS)
@pytest.mark.parametrize("width", [1, 2, 7, 16, 17, 40])
def test_masks_are_exact(isa, dtype, width, key, step):
    """Of the input and of both kinds of layer, entry by entry."""
    n, p = 13, (0.25, 0.5, 0.1)
    layers = [layer(width, "identity", dropout=p[1]), layer(width, "identity", kind=1, dropout=p[2])]
    it = see_through(dtype, width, n * (step + 1), layers, input_dropout=p[0])
    keeps = [keep_factors(key, step, stream, n, width, its) for stream, its in zip((0, 2, 3), p)]
    expected = keeps[0] * keeps[1] * keeps[2]
    for n_threads in TEAMS:
        seen = outputs_seen(isa, dtype, it, n_threads, key, n, step)
        assert np.array_equal(seen == 0, expected == 0)
        np.testing.assert_allclose(seen, expected, rtol=4 * UNITS[dtype])


@core_of
@pytest.mark.parametrize("key, step", KEYS)
def test_noise(isa, dtype, key, step):
    n, width, sigma = 11, 19, 0.5
    it = see_through(dtype, width, n * (step + 1), [layer(width, "identity")], input_noise=sigma)
    expected = 1 + sigma * normal_numbers(key, step, 1, n, width)
    found = [outputs_seen(isa, dtype, it, n_threads, key, n, step) for n_threads in TEAMS]
    assert bits(found[0]) == bits(found[1]) == bits(found[2])
    # A uniform number near 1 is rounded before its logarithm is taken: sqrt(u) where the radius is close to 0.
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=2 * np.sqrt(UNITS[dtype]))
    assert np.median(np.abs(found[0] - expected)) < 8 * UNITS[dtype]


@core_of
def test_nothing_is_dropped_outside_training(isa, dtype):
    it = see_through(dtype, 9, 13, [layer(9, "identity", dropout=0.5)], input_dropout=0.5, input_noise=1.0)
    stack, out, dX = it.stack(_dispatch.load_core(isa, dtype)), np.zeros((13, 9), dtype), np.zeros((13, 9), dtype)
    stack.forward(it.X, out, 1)
    stack.vjp(it.X, it.X, dX, 1)
    sums = np.empty((2, 1))
    stack.evaluate(it.X, it.y, None, *sums, 1)
    assert (out == 1).all() and (dX == 1).all() and sums[0, 0] == 13 * 9 / 2
    assert stack.gradient(it.X, it.y, None, 1) == 9 / 2
