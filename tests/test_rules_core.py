"""Every update rule of every core against the twin, and all that goes with a rule: decay, clipping, averages, max-norm,
factors of layers, frozen layers, schedules, and the state that a training can be resumed from."""

import itertools

import numpy as np
import pytest
from cores import (
    TEAMS,
    UNITS,
    assert_close,
    assert_trains_like_the_twin,
    bits,
    blocks_of,
    case,
    core_of,
    rows_of,
    train,
)
from stacks import STACKS, layer, rule

from fastbp import _dispatch, reference
from fastbp.reference import RULES

# A gradient near 0 has rounding for its sign, which sign-like rules pass on in full: those are compared by their kernel,
# and in networks with an eps that is not small.
SIGNS = ("lion", "rprop")
SMOOTH = [name for name in RULES if name not in SIGNS]
PLAIN = [layer(9), layer(17, "silu"), layer(3, "identity")]


@core_of
@pytest.mark.parametrize("name", RULES)
def test_kernels_equal_twin(isa, dtype, name):
    core, rng = _dispatch.load_core(isa, dtype), np.random.default_rng(0)
    settings = rule(name, learning_rate=0.05, beta2=1.2 if name == "rprop" else 0.999, upper=0.06, weight_decay=0.01, l2=0.02)
    for n in (1, 15, 16, 17, 1000):
        w = rng.normal(size=n).astype(dtype)
        slots = np.abs(rng.normal(size=(3, n))).astype(dtype)       # second moments are means of squares
        want_w, want_slots = w.astype(float), slots.astype(float)
        for t in (1, 2, 1000):
            dw = rng.normal(size=n).astype(dtype)
            core.update(settings, t, w, dw, slots)
            reference.update(settings, t, want_w, dw.astype(float), want_slots)
        # Numbers of order 1, a dozen roundings an update.
        np.testing.assert_allclose(w, want_w, rtol=0, atol=64 * UNITS[dtype])
        np.testing.assert_allclose(slots, want_slots, rtol=0, atol=64 * UNITS[dtype])


@core_of
@pytest.mark.parametrize("name", SIGNS)
def test_a_gradient_of_zero_moves_nothing(isa, dtype, name):
    """sign(0) = 0: units that are dead stay as they are."""
    core = _dispatch.load_core(isa, dtype)
    w, slots = np.ones(5, dtype), np.zeros((3, 5), dtype)
    for t in (1, 2):
        core.update(rule(name), t, w, np.zeros(5, dtype), slots)
    assert (w == 1).all()


@core_of
def test_rprop_by_hand(isa, dtype):
    """Signs + + - - +: the step grows, shrinks with the sign (and stands still there), and goes on from 0."""
    core = _dispatch.load_core(isa, dtype)
    w, slots = np.zeros(1, dtype), np.zeros((3, 1), dtype)
    settings, at = rule("rprop", learning_rate=0.25, beta1=0.5, beta2=2.0, eps=0.125, upper=0.375), []
    for t, sign in enumerate((1, 1, -1, -1, 1, -1), 1):
        core.update(settings, t, w, np.array([0.5 * sign], dtype), slots)
        at.append(float(w[0]))
    # steps: 0.25, then 0.375 (not 0.5), halved to 0.1875 and no move, moved, halved to 0.125 (not 0.09375), moved
    assert at == [-0.25, -0.625, -0.625, -0.4375, -0.4375, -0.3125]


@core_of
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("stack", ["plain", "batch norm", "scale"])
def test_training_equals_twin(isa, dtype, name, stack):
    it = case(dtype, 4, STACKS[stack])
    settings = rule(name, learning_rate=0.03, eps=0.01, l2=0.02, weight_decay=0.1)
    assert_trains_like_the_twin(isa, it, settings)


@core_of
@pytest.mark.parametrize("name", SIGNS)
def test_training_by_signs_equals_twin(isa, dtype, name):
    """Few parameters, one batch: no gradient comes near 0."""
    it = case(dtype, 2, [layer(3), layer(2, "identity")], seed=1)
    assert_trains_like_the_twin(isa, it, rule(name, learning_rate=0.01), batch_size=20)


EXTRAS = {
    "l1": {"l1": 0.05}, "l2": {"l2": 0.1}, "decay": {"weight_decay": 0.5},
    "all decays": {"l1": 0.01, "l2": 0.1, "weight_decay": 0.5},
    "clip_value": {"clip_value": 0.01}, "clip_layer": {"clip_layer": 0.05}, "clip_norm": {"clip_norm": 0.05},
    "clips": {"clip_value": 0.02, "clip_layer": 0.06, "clip_norm": 0.08},
    "no clip": {"clip_value": 1e6, "clip_layer": 1e6, "clip_norm": 1e6},
    "average": {"average": 0.9}, "no average": {"average": 0.0}, "polyak": {"average": 1.0},
    "everything": {"l1": 0.01, "l2": 0.1, "weight_decay": 0.5, "clip_value": 0.02, "clip_layer": 0.06, "clip_norm": 0.08,
                   "average": 0.5},
}


@core_of
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_extras_equal_twin(isa, dtype, name, extra):
    """On a net whose every layer has factors of its own; one is frozen in the middle, one has a max-norm that bites."""
    layers = [layer(9, norm=1, rate=0.5, bias_rate=2.0, decay=3.0), layer(9, norm=2, trainable=False, residual=True),
              layer(9, kind=1, rate=3.0, decay=0.5), layer(17, norm=2, max_norm=0.8), layer(3, "identity", decay=0.0)]
    it = case(dtype, 4, layers)
    assert_trains_like_the_twin(isa, it, rule(name, eps=0.01, **EXTRAS[extra]))


@core_of
@pytest.mark.parametrize("frozen", [f for f in itertools.product((True, False), repeat=3)])
def test_frozen_layers(isa, dtype, frozen):
    """Any of them; not a bit of theirs changes, nor of batch norm's statistics."""
    layers = [layer(9, norm=2, trainable=not frozen[0], max_norm=0.01), layer(9, norm=1, trainable=not frozen[1]),
              layer(3, trainable=not frozen[2])]
    it = case(dtype, 4, layers)
    found = assert_trains_like_the_twin(isa, it, rule("momentum", weight_decay=0.1, clip_norm=0.05, average=0.5))
    same = [np.array_equal(rows, before) for rows, before in zip(found[1:4], it.rows)]
    averaged = [np.array_equal(rows, before) for rows, before in zip(found[4:7], it.rows)]
    assert tuple(same) == tuple(averaged) == frozen


@core_of
@pytest.mark.parametrize("kind", [0, 1])
def test_max_norm(isa, dtype, kind):
    """Holds after every step, for units of any width, and leaves shorter ones alone."""
    for width in (1, 8, 17):
        it = case(dtype, 17, [layer(17, kind=1, max_norm=0.3)] if kind else [layer(width, max_norm=0.3)])
        for limit in (0.3, 1e6):
            it.layers[0]["max_norm"] = limit
            found = assert_trains_like_the_twin(isa, it, rule())
            norms = np.linalg.norm(found[1][:1 if kind else 17].astype(float), axis=0)
            assert norms.max() <= limit * (1 + 8 * UNITS[dtype])


@core_of
def test_clipping_by_norm_needs_no_more_than_the_rule_says(isa, dtype):
    """A bound that is never reached changes no bit."""
    it = case(dtype, 4, PLAIN)
    core = _dispatch.load_core(isa, dtype)
    plain, bounded = (bits(*train(it, it.stack(core), rule("adam", **clips)))
                      for clips in ({}, {"clip_value": 1e9, "clip_layer": 1e9, "clip_norm": 1e9}))
    assert plain == bounded


@core_of
def test_a_rule_may_begin_to_clip_without_a_new_start(isa, dtype):
    """Its slots are the same."""
    it = case(dtype, 4, PLAIN)
    results = []
    for module in (_dispatch.load_core(isa, dtype), reference):
        stack, totals = it.stack(module), np.zeros(3)
        stack.reset_slots(rule())
        stack.train(it.X, it.y, None, np.arange(20), 20, 0, 1, rule(clip_norm=0.01), np.ones(1), 0, 9, totals, 1)
        results.append([totals, *rows_of(it, stack)])
    assert_close(*results, 4096, dtype)


@core_of
def test_rates_are_those_of_the_steps(isa, dtype):
    """The rule's own learning rate is not looked at; a rate of 0 is a step that leaves the parameters."""
    it = case(dtype, 4, PLAIN)
    stack, settings = it.stack(_dispatch.load_core(isa, dtype)), rule(learning_rate=1e9)
    stack.reset_slots(settings)
    rates = np.array([0.0, 0.1, 0.0])
    for step, moves in enumerate((False, True, False)):
        before = bits(*rows_of(it, stack))
        stack.train(it.X, it.y, None, np.arange(20), 7, step, step + 1, settings, rates, 0, 9, np.zeros(3), 2)
        assert (bits(*rows_of(it, stack)) != before) == moves
    assert stack.n_updates == 3 and stack.finite()


@core_of
def test_there_is_a_rate_for_every_step(isa, dtype):
    it = case(dtype, 4, PLAIN)
    stack = it.stack(_dispatch.load_core(isa, dtype))
    stack.reset_slots(rule())
    with pytest.raises(ValueError, match="rates"):
        stack.train(it.X, it.y, None, np.arange(20), 7, 0, 3, rule(), np.ones(2), 0, 9, np.zeros(3), 1)


# State ----------------------------------------------------------------------------------------------------


def step(it, stack, settings, number, n_threads=1):
    stack.train(it.X, it.y, None, np.arange(20), 7, number, number + 1, settings, np.full(3, 0.05), 11, 9, np.zeros(3),
                n_threads)


@core_of
@pytest.mark.parametrize("name", RULES)
def test_training_goes_on_from_blocks_and_from_snapshots(isa, dtype, name):
    """To the last bit, dropout and average included; from blocks also in another team and on another ISA."""
    it, settings = case(dtype, 4, STACKS["dropout"]), rule(name, average=0.5)
    straight = it.stack(_dispatch.load_core(isa, dtype))
    straight.reset_slots(settings)
    step(it, straight, settings, 0)
    saved, n_updates = blocks_of(straight), straight.n_updates
    straight.save_state()
    step(it, straight, settings, 1)
    expected = bits(*blocks_of(straight))
    straight.restore_state()
    assert bits(*blocks_of(straight)) == bits(*saved) and straight.n_updates == n_updates == 1
    step(it, straight, settings, 1)
    assert bits(*blocks_of(straight)) == expected
    for other, n_threads in itertools.product(_dispatch.usable(), TEAMS):
        resumed = it.stack(_dispatch.load_core(other, dtype))
        resumed.reset_slots(settings)
        for block, source in zip(("params", "slots", "average"), saved):
            if source.size:
                resumed.set_block(block, source)
        resumed.n_updates = n_updates
        assert_close(rows_of(it, resumed), [rows for rows in rows_after(it, isa, settings)], 0, dtype)
        if other == isa:
            step(it, resumed, settings, 1, n_threads)
            assert bits(*blocks_of(resumed)) == expected


def rows_after(it, isa, settings):
    """The parameters after one step."""
    stack = it.stack(_dispatch.load_core(isa, it.dtype))
    stack.reset_slots(settings)
    step(it, stack, settings, 0)
    return rows_of(it, stack)


@core_of
def test_the_average_trades_places(isa, dtype):
    """And training goes on as if nothing had been."""
    it, settings = case(dtype, 4, STACKS["batch norm"]), rule("adam", average=0.9)
    one, two = (it.stack(_dispatch.load_core(isa, dtype)) for _ in range(2))
    for stack in (one, two):
        stack.reset_slots(settings)
        step(it, stack, settings, 0)
    params, _, average = blocks_of(one)
    raw, averaged = np.empty((20, 3), dtype), np.empty((20, 3), dtype)
    one.forward(it.X, raw, 1)
    one.swap_average()
    assert bits(*blocks_of(one)[::2]) == bits(average, params)
    one.forward(it.X, averaged, 1)
    assert bits(raw) != bits(averaged)
    one.gradient(it.X, it.y, None, 1)
    one.swap_average()
    for stack in (one, two):
        step(it, stack, settings, 1)
    assert bits(*blocks_of(one)) == bits(*blocks_of(two))


@core_of
def test_slots_belong_to_a_rule(isa, dtype):
    it = case(dtype, 4, PLAIN)
    stack = it.stack(_dispatch.load_core(isa, dtype))
    stack.reset_slots(rule("adam"))
    for other in (rule("sgd"), rule("adam", average=0.5)):
        with pytest.raises(ValueError, match="reset_slots"):
            step(it, stack, other, 0)
    assert [stack.n_blocks(name) for name in ("params", "slots", "average")] == [1, 2, 0]
    for out in (np.empty(3, dtype), np.empty(stack.block_size, dtype)):
        with pytest.raises(ValueError, match="slots has"):
            stack.get_block("slots", out)
    with pytest.raises(ValueError, match="average"):
        stack.swap_average()
