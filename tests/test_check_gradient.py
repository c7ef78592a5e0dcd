"""`check_gradient`: right gradients of any network pass, a wrong one is found and named, kinks are told apart from mistakes."""

import ctypes
import re

import numpy as np
import pytest
from samples import samples

from fastbp import Dense, Network, Scale, gradients
from fastbp.activations import ACTIVATIONS
from fastbp.gradient_check import Entry, check_gradient
from fastbp.losses import LOSSES, BinaryCrossEntropy, Huber, Quantile, SoftmaxCrossEntropy

#: A float64 core comes out far below the 1e-5 that a user is granted: what is left is rounding and h^2 f''' / 6.
CLOSE = 3e-6


def check(net, *given, **settings):
    return check_gradient(net, *(given or samples(net)), **settings)


# What is right passes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    found = check(Network([5, 8, Dense(7, activation, normalization="layer"), 4], activation, seed=0), tolerance=CLOSE)
    assert found.ok, str(found)


@pytest.mark.parametrize("loss", [
    *LOSSES, Huber(0.3), Quantile((0.1, 0.5, 0.9)), SoftmaxCrossEntropy(0.1), BinaryCrossEntropy(0.2)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses(loss, dtype):
    found = check(Network([5, 8, 3], "tanh", loss, dtype, seed=0), tolerance=CLOSE)
    assert found.ok, str(found)


LAYERS = {
    "scale": [5, Scale(), 8, Scale(activation="tanh"), 3],
    "layer norm": [5, Dense(8, normalization="layer"), 3],
    "batch norm": [5, Dense(8, normalization="batch"), Dense(6, normalization="batch"), 3],
    "residual": [5, 8, Dense(8, residual=True), Dense(8, residual=True, normalization="layer"), 3],
    "frozen": [5, Dense(8, trainable=False), 3],
    "dropout is off": [5, Dense(8, dropout=0.5), 3],
    "no hidden layer": [5, 3],
    "deep": [5, *[9] * 12, 3],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_layers(layers, activation):
    found = check(Network(layers, activation, seed=0, input_dropout=0.2, input_noise=0.3), tolerance=CLOSE)
    assert found.ok, str(found)


def test_blocks_are_all_that_is_trained():
    net = Network([5, Scale(), Dense(8, normalization="batch"), Dense(6, normalization="layer"), 3], seed=0)
    blocks = check(net).blocks
    assert [(block.layer, block.name, block.size) for block in blocks] == [
        (0, "W", 5), (0, "b", 5), (1, "W", 40), (1, "b", 8), (1, "gain", 8), (2, "W", 48), (2, "b", 6), (2, "gain", 6),
        (3, "W", 18), (3, "b", 3)]
    assert sum(block.size for block in blocks) == net.n_params


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_targets_of_any_size(scale):
    """What rounding of a large loss leaves of a difference is no mistake."""
    net = Network([5, 8, 2], "tanh", "squared_error", seed=0)
    X, y = samples(net)
    assert check(net, X, scale * y).ok


def test_pixels_that_nobody_scaled():
    net = Network([5, 30, 30, 4], "relu", seed=0)
    X, y = samples(net, 50)
    assert check(net, 255 * np.abs(X), y).ok


def test_sample_weights():
    net = Network([5, 8, 3], "tanh", dtype="float64", seed=0)
    X, y = samples(net)
    weights = np.arange(20.0)
    found = check(net, X, y, sample_weight=weights)
    assert found.ok
    loss, dW, _ = net.loss_and_gradient(X, y, sample_weight=weights)
    assert found.loss == pytest.approx(loss, rel=1e-14)
    entry = found.blocks[0].entries[0]
    assert entry.backward == pytest.approx(dW[0][entry.index], rel=1e-12)


# A loss of the user's own ------------------------------------------------------------------------------------


def fourth_power(raw, y):
    return ((raw - y) ** 4).sum() / 4 / len(raw), (raw - y) ** 3 / len(raw)


def not_the_mean(raw, y):
    """The usual mistake: the gradient of the sum."""
    return ((raw - y) ** 4).sum() / 4 / len(raw), (raw - y) ** 3


def a_little_wrong(raw, y):
    return fourth_power(raw, y)[0], fourth_power(raw, y)[1] * 1.001


def test_a_right_loss_of_ones_own():
    assert check(Network([5, 8, 3], "tanh", fourth_power, seed=0), tolerance=CLOSE).ok


@pytest.mark.parametrize("loss, error", [(not_the_mean, 0.95), (a_little_wrong, 1e-3)])
def test_a_wrong_loss_of_ones_own(loss, error):
    found = check(Network([5, 8, 3], "tanh", loss, seed=0))
    assert not found.ok and found.worst.worst.error == pytest.approx(error, rel=0.01)
    assert str(found).count("WRONG") == len(found.blocks) + 1


def test_a_c_function_for_float32_alone():
    """It has no float64 to be checked in."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = b"fastbp.loss.float32"
    net = Network([5, 3], loss=new(1, name, None), seed=0)
    for look in (check_gradient, Network.trace_step):
        with pytest.raises(ValueError, match="net must be a float64 network, .* its loss is a C function for float32"):
            look(net, np.ones((2, 5)), np.ones((2, 3)))


# What is wrong is found --------------------------------------------------------------------------------------


class Spoilt:
    """A stack with one number of one layer's gradient off."""

    def __init__(self, stack, layer, place, change):
        self.stack, self.spoilt, self.place, self.change = stack, layer, place, change

    def __getattr__(self, name):
        return getattr(self.stack, name)

    def get_gradient(self, layer, rows):
        self.stack.get_gradient(layer, rows)
        if layer == self.spoilt:
            rows[self.place] = self.change(rows[self.place])


def spoil(monkeypatch, *how):
    copy_stack = gradients.copy_stack
    monkeypatch.setattr(gradients, "copy_stack", lambda net, dtype: Spoilt(copy_stack(net, dtype), *how))


@pytest.mark.parametrize("name, place, index", [("W", (2, 3), (2, 3)), ("b", (8, 4), (4,)), ("gain", (9, 6), (6,))])
@pytest.mark.parametrize("change", [lambda g: -g, lambda g: g * 1.0001, lambda g: g + 1e-3, lambda g: np.nan], ids=[
    "sign", "1e-4 of it", "added", "NaN"])
def test_one_wrong_number_is_named(monkeypatch, name, place, index, change):
    net = Network([5, 8, Dense(7, "tanh", normalization="layer"), 3], "tanh", seed=0)
    net.set_parameters(net.weights, net.biases, [None, np.linspace(0.5, 2, 7), None])
    spoil(monkeypatch, 1, place, change)
    found = check(net, max_entries=1000)
    assert not found.ok
    assert (found.worst.layer, found.worst.name, found.worst.worst.index) == (1, name, index)
    assert not any(block.n_kinks for block in found.blocks)
    wrong = [line for line in str(found).splitlines()[:-1] if line.endswith("WRONG")]
    assert len(wrong) == 1 and re.match(rf" +1  {name} ", wrong[0])
    assert str(found).splitlines()[-1].startswith("WRONG: the largest relative error is ")


def test_a_gradient_that_is_zero_where_it_should_not_be(monkeypatch):
    spoil(monkeypatch, 0, np.s_[:5], np.zeros_like)
    found = check(Network([5, 8, 3], "tanh", seed=0))
    assert found.worst.name == "W" and found.worst.worst.error == 1


# Kinks -------------------------------------------------------------------------------------------------------


def zero_rows(net):
    """Samples of nothing but zeros put every rectifier of a new network exactly at its kink."""
    X, y = samples(net)
    X[:4] = 0
    return X, y


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu", "hard_tanh"])
def test_rectifiers_at_their_kink(activation):
    found = check(Network([5, 8, 7, 3], activation, seed=0, initializer="he_normal"), *zero_rows(Network([5, 3])))
    assert found.ok, str(found)
    kinks = {(block.layer, block.name): block.n_kinks for block in found.blocks if block.n_kinks}
    assert kinks == ({} if activation == "hard_tanh" else {(0, "b"): 8, (1, "b"): 7})
    assert ("8 at a kink" in str(found)) == bool(kinks)


def test_an_absolute_error_that_is_zero():
    net = Network([2, 2], loss="absolute_error", seed=0)
    X = np.array([[1.0, 2.0], [3.0, -1.0]])
    assert check(net, X, net.forward(X)).ok


def test_a_kink_close_by_is_stepped_back_from():
    """The slope to one side is read only from so near that the other side of the kink is out of reach."""
    net = Network([1, Dense(1, "relu"), 1], loss="squared_error", dtype="float64", seed=0)
    for distance in (3e-6, 3e-7):
        net.set_parameters([[[1.0]], [[1.0]]], [[-1.0 + distance], [0.0]])
        found = check(net, [[1.0]], [5.0])
        assert found.ok and not any(block.n_kinks for block in found.blocks), str(found)


def test_a_kink_excuses_no_mistake(monkeypatch):
    """At a kink nothing can be said, but close by."""
    net = Network([5, 8, 3], "relu", seed=0)
    given = zero_rows(net)
    slopes = check(net, *given).blocks[1].entries
    spoil(monkeypatch, 0, (5, 2), lambda g: g * 1.001)
    found = check(net, *given)
    assert not found.ok and (found.worst.name, found.worst.worst.index) == ("b", (2,))
    assert slopes[2].kink and sum(block.worst.error > found.tolerance for block in found.blocks) == 1


# Manners -----------------------------------------------------------------------------------------------------


def test_the_network_stays_as_it_is():
    net = Network([5, Dense(8, normalization="batch"), 3], seed=0)
    X, y = samples(net)
    net.partial_fit(X, y)
    before = net.get_parameters(), net.n_epochs, net.loss_and_gradient(X, y)
    assert check(net, X, y).ok
    np.testing.assert_equal((net.get_parameters(), net.n_epochs, net.loss_and_gradient(X, y)), before)
    new = Network([5, 3], seed=0)
    check(new, *samples(new))
    assert new.classes_ is None


def test_large_blocks_are_sampled():
    """Half are the largest, half drawn, always the same for a seed."""
    net = Network([30, 20, 3], "tanh", dtype="float64", seed=0)
    X, y = samples(net)
    one, same, other = (check(net, X, y, max_entries=10, seed=seed) for seed in (0, 0, 1))
    assert one == same and one.blocks[0].entries != other.blocks[0].entries
    assert [len(block.entries) for block in one.blocks] == [10, 10, 10, 3]
    largest = np.sort(np.abs(net.loss_and_gradient(X, y)[1][0]), axis=None)[-5:]
    checked = [abs(entry.backward) for entry in one.blocks[0].entries]
    assert len({entry.index for entry in one.blocks[0].entries}) == 10
    np.testing.assert_allclose(sorted(checked)[-5:], largest, rtol=1e-12)


def test_a_table():
    net = Network([2, 2, 2], "tanh", "squared_error", "float64", seed=0)
    lines = str(check(net)).splitlines()
    assert lines[0].split() == ["layer", "block", "checked", "error", "backward", "numeric", "at"]
    assert [line.split()[:5] for line in lines[1:-1]] == [
        [layer, name, n, "of", n] for layer in "01" for name, n in (("W", "4"), ("b", "2"))]
    last = r"ok: the largest relative error is \S+, in [Wb]\[[01](, [01])?\] of layer [01]; up to 1e-05 is accepted"
    assert re.fullmatch(last, lines[-1])
    assert Entry((0,), 1.0, 1.0, 0.0).kink is False


@pytest.mark.parametrize("given, error, words", [
    (dict(X=np.zeros((3, 4))), ValueError, "X must have 5 columns"),
    (dict(max_entries=0), ValueError, "max_entries must be at least 1"),
    (dict(tolerance=0), ValueError, "tolerance must be finite and greater than 0"),
    (dict(seed=-1), ValueError, "seed must be an integer"),
    (dict(sample_weight=[1.0]), ValueError, "sample_weight must have one entry a sample"),
    (dict(X=np.full((20, 5), np.inf)), ValueError, "X and y must give a finite loss"),
])
def test_wrong_arguments(given, error, words):
    net = Network([5, 3], seed=0)
    X, y = samples(net)
    with pytest.raises(error, match=re.escape(words)):
        check_gradient(**({"net": net, "X": X, "y": y} | given))
