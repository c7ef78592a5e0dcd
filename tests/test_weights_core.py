"""Weights of samples in every core: one of k is k copies; what a mean divides by; where weights are looked up."""

import itertools

import numpy as np
import pytest
from cores import (
    TEAMS,
    assert_close,
    assert_computes_like_the_twin,
    assert_trains_like_the_twin,
    bits,
    case,
    computed,
    core_of,
    rows_of,
    train,
)
from stacks import STACKS, layer, rule

from fastbp import _dispatch
from fastbp.reference import LOSSES

OWN = [name for name in LOSSES if name != "custom"]     # a Python loss is a mean already
LAYERS = [layer(9, norm=1), layer(9, residual=True), layer(3, "identity")]


def copied(it, weights):
    """The case with every sample as often as its weight says."""
    copies = np.repeat(np.arange(len(it.X)), weights)
    return type(it)(**vars(it) | {"X": it.X[copies], "y": it.y[copies]})


@core_of
@pytest.mark.parametrize("loss", OWN)
def test_a_weight_of_k_is_k_copies(isa, dtype, loss):
    """In the gradient and in steps of the whole batch, to the rounding of sums; also a weight of 0."""
    core, k = _dispatch.load_core(isa, dtype), np.array([0, 1, 2, 3, 1, 0, 5, 1])
    it = case(dtype, 4, LAYERS, loss, n=8)
    results = []
    for data, weights in ((it, k.astype(float)), (copied(it, k), None)):
        stack = data.stack(core)
        found = [stack.gradient(data.X, data.y, weights, 1), *rows_of(data, stack, "get_gradient")]
        totals, *rows = train(data, stack, rule("adam", eps=0.01), weights=weights, epochs=3, batch_size=len(data.X))
        results.append([*found, totals[[0, 2]], *rows])
    assert_close(*results, 4096, dtype)


@core_of
@pytest.mark.parametrize("loss", OWN)
def test_weighted_training_equals_twin(isa, dtype, loss):
    """In the order of the epoch; totals hold weighted losses, plain scores and the weights."""
    it = case(dtype, 4, STACKS["residual"], loss)
    weights = np.random.default_rng(1).uniform(0, 3, len(it.X))
    weights[::5] = 0
    totals, *_ = assert_trains_like_the_twin(isa, it, rule("momentum"), weights=weights, units=8 * 4096)
    assert totals[2] == pytest.approx(2 * weights.sum(), rel=1e-14)     # of two epochs
    assert_computes_like_the_twin(isa, it, weights=weights)


@core_of
def test_the_size_of_weights_does_not_matter(isa, dtype):
    """A mean does not change when all weights double, not in a bit: the factor is a power of two."""
    it = case(dtype, 4, LAYERS)
    weights = np.random.default_rng(1).uniform(0.5, 3, len(it.X))
    core = _dispatch.load_core(isa, dtype)
    (_, *one), (_, *two) = (train(it, it.stack(core), rule(), weights=w) for w in (weights, 2 * weights))
    assert bits(*one) == bits(*two)


@core_of
def test_equal_weights_are_none(isa, dtype):
    it = case(dtype, 4, LAYERS)
    core = _dispatch.load_core(isa, dtype)
    for weights in (np.ones(len(it.X)), np.full(len(it.X), 0.25)):
        (_, *with_them), (_, *without) = (train(it, it.stack(core), rule(), weights=w) for w in (weights, None))
        assert bits(*with_them) == bits(*without)


@core_of
def test_a_batch_without_weight_has_no_gradient(isa, dtype):
    """Its mean loss is 0, its step moves nothing but by decay."""
    it, nothing = case(dtype, 4, LAYERS), np.zeros(20)
    for n_threads, clips in itertools.product(TEAMS, ({}, {"clip_layer": 0.1, "clip_norm": 0.1})):
        stack = it.stack(_dispatch.load_core(isa, dtype))
        assert stack.gradient(it.X, it.y, nothing, n_threads) == 0
        assert not any(rows.any() for rows in rows_of(it, stack, "get_gradient"))
        totals, *rows = train(it, stack, rule(**clips), n_threads, weights=nothing)
        assert totals[0] == totals[2] == 0 and stack.n_updates == 6
        assert bits(*rows) == bits(*it.rows)


@core_of
def test_weights_follow_the_chunks_of_evaluate(isa, dtype):
    """Each chunk takes its own part of them."""
    it = case(dtype, 4, LAYERS, n=300)
    core = _dispatch.load_core(isa, dtype)
    stack, n_chunks = it.stack(core), -(-300 // it.stack(core).chunk_size)
    for chunk in range(n_chunks):
        weights = np.zeros(300)
        weights[chunk * stack.chunk_size:(chunk + 1) * stack.chunk_size] = 0.5
        plain, weighted, scores, others = np.empty((4, n_chunks))
        stack.evaluate(it.X, it.y, None, plain, scores, 2)
        stack.evaluate(it.X, it.y, weights, weighted, others, 2)
        assert np.array_equal(weighted, np.where(np.arange(n_chunks) == chunk, plain / 2, 0))
        assert np.array_equal(scores, others)


@core_of
def test_missing_targets_leave_their_outputs_out(isa, dtype):
    """A network whose second target is never there learns what one without that output would."""
    it = case(dtype, 4, [layer(9), layer(2, "identity")], missing=0)
    it.y[:, 1] = np.nan
    core = _dispatch.load_core(isa, dtype)
    both = it.stack(core)
    found = [both.gradient(it.X, it.y, None, 1), *(rows for rows in rows_of(it, both, "get_gradient"))]
    single = type(it)(**vars(it) | {"layers": [layer(9), layer(1, "identity")], "y": it.y[:, :1].copy(),
                                    "rows": [it.rows[0], it.rows[1][:, :1].copy()]})
    one = single.stack(core)
    want = [one.gradient(single.X, single.y, None, 1), *rows_of(single, one, "get_gradient")]
    assert not found[2][:, 1].any()
    found[2] = found[2][:, :1]
    assert_close(found, want, 16, dtype)
    assert_computes_like_the_twin(isa, it)
    assert np.isfinite(np.concatenate([x.ravel() for x in computed(it, both, 1)[1:]])).all()
