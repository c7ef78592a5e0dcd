"""The twin against complex steps through its own forward and losses, and against what can be said without it.

Needs no compiled core. A complex step has no subtraction: only rounding along the network is left of the error.
"""

import itertools

import numpy as np
import pytest
from stacks import KINKS, STACKS, layer, loss_spec, parameters, rule, targets

from fastbp.reference import ACTIVATIONS, LOSSES, RULES, Stack, keep_factors, normal_numbers

STEP = 1e-30


def network(seed, n_in, layers, loss="squared_error", n=7, **settings):
    """A stack with random parameters, with X and y."""
    rng, n_out = np.random.default_rng(seed), layers[-1]["n_out"]
    stack = Stack(n_in, layers, loss_spec(loss, n_out), **settings)
    for i, rows in enumerate(parameters(rng, n_in, layers)):
        stack.set_rows(i, rows)
    return stack, rng.normal(size=(n, n_in)), targets(rng, loss, n, n_out)


def assert_gradient(stack, X, y, weights=None, random=None):
    """Every parameter and every input, against the imaginary part of the loss."""
    _, _, draw, passes = stack.mean_loss(X, y, weights, random)
    for its, p in zip(stack.layers, passes):
        assert not any((np.abs(p.z - kink) < 1e-9).any() for kink in KINKS.get(list(ACTIVATIONS)[its.activation], ()))
    _, gradients = stack.backpropagate(passes, draw)
    for its, gradient in zip(stack.layers, gradients):
        real = its.rows
        n_trained = its.n_w + 1 + bool(its.norm)
        assert not gradient[n_trained:].any()
        for at in itertools.product(range(n_trained), range(its.n_out)):
            its.rows = real.astype(complex)
            its.rows[at] += STEP * 1j
            found = stack.mean_loss(X, y, weights, random)[0].imag / STEP
            np.testing.assert_allclose(gradient[at], found, rtol=1e-11, atol=1e-13)
        its.rows = real


@pytest.mark.parametrize("activation, loss", list(itertools.product(ACTIVATIONS, LOSSES)))
def test_every_activation_under_every_loss(activation, loss):
    stack, X, y = network(3, 4, [layer(5, activation), layer(3, activation)], loss)
    assert_gradient(stack, X, y)
    assert_gradient(stack, X, y, np.random.default_rng(0).uniform(0, 2, len(X)) if loss != "custom" else None)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "huber"])
@pytest.mark.parametrize("name", STACKS)
def test_every_kind_of_layer(name, loss):
    stack, X, y = network(5, 4, STACKS[name], loss, input_dropout=0.25, input_noise=0.1)
    for weights in (None, np.arange(len(X)) % 3 + 0.5):
        assert_gradient(stack, X, y, weights)
        assert_gradient(stack, X, y, weights, random=(12345678901234567890, 3))


@pytest.mark.parametrize("name", STACKS)
def test_vjp_is_the_derivative_of_forward(name):
    stack, X, _ = network(6, 4, STACKS[name])
    draw, dX = np.random.default_rng(2).normal(size=(len(X), 3)), np.empty(X.shape)
    stack.vjp(X, draw, dX, 1)
    for at in itertools.product(range(3), range(X.shape[1])):
        Z, out = X.astype(complex), np.empty((len(X), 3), complex)
        Z[at] += STEP * 1j
        stack.forward(Z, out, 1)
        np.testing.assert_allclose(dX[at], (draw * out.imag).sum() / STEP, rtol=1e-11, atol=1e-13)


# Randomness: another statement of the counter-based numbers, in Python integers ---------------------------


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def word(key, step, stream, row, pair):
    G = 0x9E3779B97F4A7C15
    base = mix((mix((key + (step + 1) * G) % 2**64) + (stream + 1) * G) % 2**64)
    return mix((base + (row * 2**32 + pair + 1) * G) % 2**64)


def test_mix_is_that_of_splitmix64():
    """The first outputs of the generator started at 0 and at 1234567, as published with its source."""
    G = 0x9E3779B97F4A7C15
    assert [mix(i * G % 2**64) for i in (1, 2, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix((1234567 + G) % 2**64) == 6457827717110365317


@pytest.mark.parametrize("key, step, stream, n_features", [
    (0, 0, 0, 1), (2**64 - 1, 7, 2, 5), (2**63 + 5, 2**31, 9, 4)])
def test_masks_follow_the_counter(key, step, stream, n_features):
    p = 0.4
    keep = keep_factors(key, step, stream, 6, n_features, p)
    for row, feature in itertools.product(range(6), range(n_features)):
        u32 = word(key, step, stream, row, feature // 2) >> 32 * (feature % 2) & 0xFFFFFFFF
        assert keep[row, feature] == (0 if u32 < int(p * 2**32) else 1 / (1 - p))


def test_masks_drop_their_share_and_noise_is_normal():
    keep, noise = keep_factors(1, 0, 2, 200, 501, 0.3), normal_numbers(1, 0, 1, 200, 501)
    assert (keep == 0).mean() == pytest.approx(0.3, abs=0.006)      # 4 standard errors of 100,000
    assert keep_factors(1, 0, 2, 200, 501, 0.0).min() == 1
    for power, moment in enumerate((1, 0, 1, 0, 3)):
        assert (noise**power).mean() == pytest.approx(moment, abs=0.13)
    even, odd = noise[:, :-1:2].ravel(), noise[:, 1::2].ravel()
    assert np.corrcoef(even, odd)[0, 1] == pytest.approx(0, abs=0.02)
    assert not np.array_equal(noise, normal_numbers(1, 1, 1, 200, 501))


# Steps ----------------------------------------------------------------------------------------------------


def train(stack, X, y, update, weights=None, steps=1, batch_size=None, key=3):
    """`steps` steps; the sums of the losses, scores and weights."""
    totals, batch_size = np.zeros(3), batch_size or len(X)
    rates = np.full(steps, update["learning_rate"])
    stack.reset_slots(update)
    order = np.resize(np.arange(len(X)), steps * batch_size)
    done = stack.train(X, y, weights, order, batch_size, 0, steps, update, rates, key, 1e9, totals, 1)
    assert done == (steps, False)
    return totals


@pytest.mark.parametrize("name", RULES)
def test_every_rule_lowers_a_loss(name):
    stack, X, y = network(1, 4, [layer(6), layer(2, "identity")], n=20)
    before = stack.gradient(X, y, None, 1)
    train(stack, X, y, rule(name, learning_rate=0.01), steps=50)
    assert stack.gradient(X, y, None, 1) < 0.9 * before


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "poisson"])
def test_a_weight_of_k_is_k_copies(loss):
    weights = np.array([0, 1, 2, 3, 1, 0, 2.0])
    one, X, y = network(2, 4, STACKS["residual"], loss)
    two, *_ = network(2, 4, STACKS["residual"], loss)
    copies = np.repeat(np.arange(7), weights.astype(int))
    sums, of_copies = train(one, X, y, rule(), weights), train(two, X[copies], y[copies], rule())
    np.testing.assert_allclose(sums[[0, 2]], of_copies[[0, 2]], rtol=1e-13)
    for a, b in zip(one.layers, two.layers):
        np.testing.assert_allclose(a.rows, b.rows, rtol=0, atol=1e-14)


def test_frozen_layers_stay_and_statistics_with_them():
    specs = [layer(5, norm=2, trainable=False), layer(5, norm=2), layer(2)]
    stack, X, y = network(2, 4, specs)
    before = [its.rows.copy() for its in stack.layers]
    train(stack, X, y, rule(weight_decay=0.1, average=0.5), steps=3)
    same = [np.array_equal(its.rows, rows) for its, rows in zip(stack.layers, before)]
    assert same == [True, False, False]


def test_running_statistics_approach_those_of_the_batch():
    stack, X, y = network(2, 4, [layer(5, norm=2), layer(2)], n=9)
    train(stack, X, y, rule(learning_rate=0.0), steps=300)
    v = X @ stack.layers[0].rows[:4]
    want = [v.mean(axis=0), v.var(axis=0, ddof=1)]
    np.testing.assert_allclose(stack.layers[0].rows[-2:], want, rtol=1e-10, atol=1e-12)


def test_averages():
    """Polyak's is the mean of what the steps left; the other follows its recursion; both trade places and back."""
    for d in (1.0, 0.5):
        stack, X, y = network(2, 4, [layer(2)])
        mean, left = stack.layers[0].rows.copy(), []
        stack.reset_slots(rule(average=d))
        for t in range(1, 6):
            stack.train(X, y, None, np.arange(7), 7, 0, 1, rule(average=d), np.array([0.1]), 0, 9, np.zeros(3), 1)
            left.append(stack.layers[0].rows.copy())
            decay = min(d, (1 + t) / (10 + t))
            mean = np.mean(left, axis=0) if d == 1 else decay * mean + (1 - decay) * left[-1]
        stack.swap_average()
        np.testing.assert_allclose(stack.layers[0].rows, mean, rtol=1e-14)
        stack.swap_average()
        assert np.array_equal(stack.layers[0].rows, left[-1])


def test_clipping_leaves_the_length_it_names():
    """A step of plain descent is as long as its clipped gradient."""
    for name, length in (("clip_norm", lambda *d: np.sqrt(sum((x**2).sum() for x in d))),
                         ("clip_layer", lambda *d: max(np.linalg.norm(x) for x in d)),
                         ("clip_value", lambda *d: max(abs(x).max() for x in d))):
        stack, X, y = network(2, 4, [layer(5), layer(2)])
        before = [its.rows.copy() for its in stack.layers]
        train(stack, X, 100 * y, rule(learning_rate=1.0, **{name: 0.25}))
        assert length(*(its.rows - b for its, b in zip(stack.layers, before))) == pytest.approx(0.25, rel=1e-12)


def test_max_norm_holds_after_every_step():
    stack, X, y = network(2, 4, [layer(5, max_norm=0.5), layer(2)])
    train(stack, X, y, rule(), steps=2)
    norms = np.linalg.norm(stack.layers[0].rows[:4], axis=0)
    assert norms.max() <= 0.5 * (1 + 1e-15) and np.linalg.norm(stack.layers[1].rows[:5], axis=0).max() > 0.5


def test_a_user_who_raises_stops_before_the_step():
    def fails(raw, y):
        raise RuntimeError("of the user")
    stack, X, y = network(2, 4, [layer(2)], "custom")
    before, stack.loss["function"] = stack.layers[0].rows.copy(), fails
    with pytest.raises(RuntimeError, match="of the user"):
        train(stack, X, y, rule())
    assert np.array_equal(stack.layers[0].rows, before) and stack.n_updates == 0


def test_blocks_and_snapshots_hold_everything():
    """Two steps, and one, a snapshot or a set of blocks, and one more, end alike."""
    update = rule("adam", average=0.9)
    def make():
        return network(4, 4, STACKS["dropout"])
    (straight, X, y), (resumed, _, _), (other, _, _) = make(), make(), make()
    def step(stack, i):
        stack.train(X, y, None, np.arange(7), 4, i, i + 1, update, np.full(2, 0.1), 5, 9, np.zeros(3), 1)
    for stack in (straight, resumed, other):
        stack.reset_slots(update)
        step(stack, 0)
    resumed.save_state()
    step(resumed, 1)
    other.set_block("params", np.zeros(other.block_size))
    for name in ("params", "slots", "average"):
        block = np.empty(straight.block_size * straight.n_blocks(name))
        straight.get_block(name, block)
        other.set_block(name, block)
    resumed.restore_state()
    for stack in (straight, resumed, other):
        step(stack, 1)
    for name in ("params", "slots", "average"):
        blocks = [np.empty(straight.block_size * straight.n_blocks(name)) for _ in range(3)]
        for stack, block in zip((straight, resumed, other), blocks):
            stack.get_block(name, block)
        assert np.array_equal(blocks[0], blocks[1]) and np.array_equal(blocks[0], blocks[2])
    assert [straight.n_blocks(name) for name in ("params", "slots", "average")] == [1, 2, 1]


def test_health_of_one_layer():
    stack, X, y = network(4, 4, [layer(6, "relu"), layer(2, "sigmoid")])
    stack.layers[0].rows[4, 2] = -1e3        # a dead unit
    stack.layers[1].rows[2, 1] = 0
    stack.layers[1].rows[6, 1] = 1e2         # and a saturated one
    stack.watch(2)
    train(stack, X, y, rule(learning_rate=0.0), steps=4)
    health = stack.take_health()
    _, _, draw, passes = stack.mean_loss(X, y)
    dzs, gradients = stack.backpropagate(passes, draw)
    for i, n_w in enumerate((4, 6)):
        dw, norm = np.linalg.norm(gradients[i][:n_w]), np.linalg.norm(stack.layers[i].rows[:n_w])
        np.testing.assert_allclose(health[i, [0, 1, 2, 4]], [np.linalg.norm(dzs[i]), dw, dw / norm, norm])
    assert health[0, 5] >= 1 / 6 and health[0, 3] == 0 and health[1, 3] >= 0.5
    assert np.isnan(stack.take_health()).all()
