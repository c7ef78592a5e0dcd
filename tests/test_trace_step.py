"""`Network.trace_step` against worked examples that others have published, and against BP1 to BP4 written out."""

import re

import numpy as np
import pytest
from samples import samples

import fastbp
from fastbp import SGD, Adam, Dense, Network, Scale
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

EXACT = 1e-9        # relative: the published numbers have 9 digits, our own 16


def at(weights, biases, layers, loss):
    net = Network(layers, loss=loss, dtype="float64", seed=0)
    net.set_parameters(weights, biases)
    return net


# Mazur, A Step by Step Backpropagation Example (2015) --------------------------------------------------------

X, T = [[0.05, 0.10]], [[0.01, 0.99]]


@pytest.fixture
def mazur():
    net = at([[[0.15, 0.25], [0.20, 0.30]], [[0.40, 0.50], [0.45, 0.55]]], [[0.35, 0.35], [0.60, 0.60]],
             [2, Dense(2, "sigmoid"), Dense(2, "sigmoid")], "squared_error")
    return net.trace_step(X, T, SGD(0.5))


def test_mazurs_forward_pass(mazur):
    """net and out of h1, h2, o1 and o2, and the error, as the post prints them."""
    assert mazur.a[0].tolist() == X and mazur.y.tolist() == T
    for found, published in ((mazur.z[0][0, 0], 0.3775), (mazur.a[1][0], (0.593269992, 0.596884378)),
                             (mazur.z[1][0, 0], 1.105905967), (mazur.a[2][0], (0.75136507, 0.772928465))):
        np.testing.assert_allclose(found, published, atol=1e-9)
    assert mazur.loss == pytest.approx(0.298371109, abs=1e-9)
    np.testing.assert_array_equal(mazur.output, mazur.a[2])        # squared error has no link


def test_mazurs_backward_pass(mazur):
    np.testing.assert_allclose(mazur.delta[1][0], (0.138498562, -0.038098236), atol=1e-9)      # the post's delta of o1, o2
    assert mazur.dW[1][0, 0] == pytest.approx(0.082167041, abs=1e-9)        # dE/dw5
    assert mazur.dW[0][0, 0] == pytest.approx(0.000438568, abs=1e-9)        # dE/dw1
    np.testing.assert_array_equal(mazur.db[1], mazur.delta[1][0])


def test_mazurs_new_weights(mazur):
    (w1, w3), (w2, w4) = mazur.W[0] + mazur.update_W[0]
    (w5, w7), (w6, w8) = mazur.W[1] + mazur.update_W[1]
    np.testing.assert_allclose((w1, w2, w3, w4), (0.149780716, 0.19956143, 0.24975114, 0.29950229), atol=1e-8)
    np.testing.assert_allclose((w5, w6, w7, w8), (0.35891648, 0.408666186, 0.511301270, 0.561370121), atol=1e-8)


def test_mazurs_trace_is_printed(mazur):
    lines = [re.split(r"  +", line.strip()) for line in str(mazur).splitlines()]
    assert lines[0] == ["One step on 1 sample: C = 0.298371109 (squared_error, SGD(learning_rate=0.5))"]
    for line in (
            ["FORWARD"], ["a^1 = x", "0.05", "0.1"], ["layer 0 (l = 2), sigmoid"], ["z^2 = a^1 W^2 + b^2", "0.3775", "0.3925"],
            ["a^3 = f(z^3)", "0.751365", "0.772928"], ["y", "0.01", "0.99"], ["BACKWARD"],
            ["BP1 delta^3 = dC/da^3 f'(z^3)", "0.138499", "-0.0380982"],
            ["BP2 delta^2 = delta^3 (W^3)T f'(z^2)", "0.00877135", "0.00995425"],
            ["BP3 dC/db^2 = sum of delta^2", "0.00877135", "0.00995425"],
            ["BP4 dC/dW^3 = (a^2)T delta^3", "from 0", "0.082167", "-0.0226025"], ["UPDATE"],
            ["W^2 is now", "from 0", "0.149781", "0.249751"]):
        assert line in lines
    assert [line[0] for line in lines if line[0].startswith(("FORWARD", "layer", "BACKWARD", "UPDATE"))] == [
        "FORWARD", "layer 0 (l = 2), sigmoid", "layer 1 (l = 3), sigmoid", "BACKWARD", "layer 1 (l = 3), sigmoid",
        "layer 0 (l = 2), sigmoid", "UPDATE", "layer 0 (l = 2), sigmoid", "layer 1 (l = 3), sigmoid"]


# Nielsen, Neural Networks and Deep Learning, chapter 3: one sigmoid neuron is to learn that 1 gives 0 ----------

def test_nielsens_neuron_learns_slowly_when_it_is_badly_wrong():
    """dC/dw = a sigma'(z) under the quadratic cost, which is why it does; a alone under the cross entropy."""
    slow, fast = (at([[[2.0]]], [[2.0]], [1, output], loss).trace_step([[1.0]], [0.0], SGD(0.15))
                  for output, loss in ((Dense(1, "sigmoid"), "squared_error"), (1, "binary_cross_entropy")))
    a = slow.output[0, 0]
    assert a == fast.output[0, 0] == pytest.approx(0.982013790038, rel=EXACT)      # "0.98"
    assert slow.delta[0][0, 0] == pytest.approx(a * a * (1 - a), rel=EXACT)
    assert fast.delta[0][0, 0] == pytest.approx(a, rel=EXACT)
    assert slow.loss == pytest.approx(a * a / 2, rel=EXACT)


def test_nielsens_neuron_by_one_step_after_another():
    """300 traced steps are his curve, from 0.82 to 0.09."""
    net = at([[[0.6]]], [[0.9]], [1, Dense(1, "sigmoid")], "squared_error")
    for step in range(301):
        trace = net.trace_step([[1.0]], [0.0], SGD(0.15))
        if step == 0:
            assert trace.output[0, 0] == pytest.approx(0.817574476194, rel=EXACT)
        net.set_parameters([trace.W[0] + trace.update_W[0]], [trace.b[0] + trace.update_b[0]])
    assert trace.output[0, 0] == pytest.approx(0.093955694864, rel=EXACT)


# The four equations ------------------------------------------------------------------------------------------


def derivative(name, z):
    """By the kernel: dz where da is 1."""
    out = [fastbp.dense_backward(np.eye(1), np.ones((1, 1)), np.ones((1, 1)), name, np.full((1, 1), v))[2][0] for v in z.ravel()]
    return np.reshape(out, z.shape)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_four_equations(activation):
    net = Network([3, 5, Dense(4, "tanh"), Dense(2, activation)], activation, "squared_error", "float64", seed=1)
    X, y = samples(net)
    t = net.trace_step(X, y)
    for i, name in enumerate(net.activations):
        np.testing.assert_allclose(t.z[i], t.a[i] @ t.W[i] + t.b[i], rtol=1e-12, atol=1e-14)
        last = i + 1 == len(t.z)
        error = (t.a[-1] - y) / len(X) if last else t.delta[i + 1] @ t.W[i + 1].T
        np.testing.assert_allclose(t.delta[i], error * derivative(name, t.z[i]), rtol=1e-9, atol=1e-14)     # BP1, BP2
        np.testing.assert_allclose(t.db[i], t.delta[i].sum(axis=0), rtol=1e-12, atol=1e-14)                 # BP3
        np.testing.assert_allclose(t.dW[i], t.a[i].T @ t.delta[i], rtol=1e-12, atol=1e-14)                  # BP4


@pytest.mark.parametrize("loss", [*LOSSES, lambda raw, y: (((raw - y) ** 2).mean(), 2 * (raw - y) / raw.size)])
def test_a_trace_is_what_the_network_computes(loss):
    net = Network([3, 5, 2], "tanh", loss, "float64", seed=1)
    X, y = samples(net)
    t, (mean, dW, db) = net.trace_step(X, y), net.loss_and_gradient(X, y)
    assert t.loss == pytest.approx(mean, rel=1e-12)
    np.testing.assert_allclose(t.a[-1], net.forward(X), rtol=1e-12)
    for found, wanted in zip(t.dW + t.db, dW + db):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-15)
    if net.loss in ("binary_cross_entropy", "softmax_cross_entropy"):
        np.testing.assert_allclose(t.output, net.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("name", set(OPTIMIZERS) - {"lbfgs"})
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.01, "l2": 0.1, "weight_decay": 0.1}], ids=["plain", "clipped, decayed"])
def test_updates_are_those_of_a_first_step(name, settings):
    layers = [3, Dense(5, learning_rate_factor=0.5, max_norm=1.0), Dense(4, trainable=False), 2]
    net = Network(layers, "tanh", dtype="float64", seed=1)
    X, y = samples(net)
    optimizer = OPTIMIZERS[name](**settings)
    trace = net.trace_step(X, y, optimizer)
    net.partial_fit(X, y, optimizer)
    for W, update, new in zip(trace.W + trace.b, trace.update_W + trace.update_b, net.weights + net.biases):
        np.testing.assert_allclose(W + update, new, rtol=1e-12, atol=1e-15)
    assert not trace.update_W[1].any() and trace.update_W[0].any()


def test_a_schedule_starts_at_its_first_rate():
    net = Network([3, 2], dtype="float64", seed=1)
    X, y = samples(net)
    trace = net.trace_step(X, y, SGD(lambda step: 0.25 / (1 + step)))
    np.testing.assert_allclose(trace.update_W[0], -0.25 * trace.dW[0], rtol=1e-12)


# Manners -----------------------------------------------------------------------------------------------------


def test_the_network_stays_as_it_is():
    """Also a float32 one, whose step is traced in float64, amid a training of its own."""
    net = Network([3, 5, 2], seed=1)
    X, y = samples(net)
    net.partial_fit(X, y, Adam())
    before = [*net.weights, *net.biases]
    trace = net.trace_step(X, y, Adam())
    np.testing.assert_equal([*net.weights, *net.biases], before)
    assert trace.W[0].dtype == trace.z[0].dtype == np.float64 and trace.W[0].tolist() == net.weights[0].tolist()
    again, other = net.partial_fit(X, y, Adam()), Network([3, 5, 2], seed=1)
    other.partial_fit(X, y, Adam())
    assert other.partial_fit(X, y, Adam()) == again


def test_a_large_trace_is_cut():
    net = Network([300, 40, 10], seed=0)
    text = str(net.trace_step(np.ones((50, 300)), np.zeros(50, int), Adam(0.002, clip_norm=1.0)))
    assert "softmax_cross_entropy, Adam(learning_rate=0.002, clip_norm=1.0)" in text.splitlines()[0]
    assert len(text.splitlines()) < 120 and max(map(len, text.splitlines())) <= 140
    assert "... 295 more" in text and "296 more rows" in text and "46 more rows" in text


@pytest.mark.parametrize("layers, settings, words", [
    ([3, Scale(), 2], {}, "a Scale layer 0"),
    ([3, 4, Dense(4, residual=True), 2], {}, "residual=True in layer 1"),
    ([3, Dense(4, normalization="batch"), 2], {}, "normalization='batch' in layer 0"),
    ([3, Dense(4, dropout=0.5), 2], {}, "dropout=0.5 in layer 0"),
    ([3, 2], {"input_dropout": 0.1}, "input_dropout=0.1"),
    ([3, 2], {"input_noise": 0.1}, "input_noise=0.1"),
])
def test_what_the_equations_know_nothing_of(layers, settings, words):
    net = Network(layers, seed=0, **settings)
    with pytest.raises(ValueError, match=f"trace_step follows BP1 to BP4 .*; this network has {re.escape(words)}$"):
        net.trace_step(*samples(net))


@pytest.mark.parametrize("X, optimizer, words", [
    (np.ones((6, 3)), fastbp.LBFGS(), "not LBFGS"), (np.full((6, 3), np.inf), None, "must give a finite loss"),
    (np.ones((6, 4)), None, "X must have 3 columns")])
def test_wrong_arguments(X, optimizer, words):
    net = Network([3, 2], seed=0)
    with pytest.raises(ValueError, match=words):
        net.trace_step(X, np.zeros(6, int), optimizer)
