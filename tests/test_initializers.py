"""Starting weights: the moments that each formula promises, orthogonality, and LSUV's unit variance through real layers."""

import math

import numpy as np
import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS, default_for, lsuv

#: standard deviation, and the largest number there can be
PROMISES = {
    "glorot_uniform": lambda n_in, n_out: (math.sqrt(2 / (n_in + n_out)), math.sqrt(6 / (n_in + n_out))),
    "glorot_normal": lambda n_in, n_out: (math.sqrt(2 / (n_in + n_out)), math.inf),
    "he_uniform": lambda n_in, n_out: (math.sqrt(2 / n_in), math.sqrt(6 / n_in)),
    "he_normal": lambda n_in, n_out: (math.sqrt(2 / n_in), math.inf),
    "lecun_uniform": lambda n_in, n_out: (math.sqrt(1 / n_in), math.sqrt(3 / n_in)),
    "lecun_normal": lambda n_in, n_out: (math.sqrt(1 / n_in), math.inf),
    "orthogonal": lambda n_in, n_out: (math.sqrt(1 / max(n_in, n_out)), 1.0),
    "normal": lambda n_in, n_out: (1.0, math.inf),
    "uniform": lambda n_in, n_out: (math.sqrt(1 / (3 * n_in)), math.sqrt(1 / n_in)),
    "zeros": lambda n_in, n_out: (0.0, 0.0),
}
SHAPES = [(300, 200), (64, 700)]


def draw(name, n_in, n_out, seed=0):
    return INITIALIZERS[name](np.random.default_rng(seed), n_in, n_out)


def test_every_initializer_promises_something():
    assert PROMISES.keys() == INITIALIZERS.keys()


@pytest.mark.parametrize("n_in, n_out", SHAPES)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_moments(name, n_in, n_out):
    W = draw(name, n_in, n_out)
    deviation, largest = PROMISES[name](n_in, n_out)
    assert W.shape == (n_in, n_out) and W.dtype == np.float64
    # of 45,000 numbers: deviation to 1 / sqrt(2 n), mean to 1 / sqrt(n), four times over
    assert W.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * W.size))
    assert abs(W.mean()) <= 4 * deviation / math.sqrt(W.size)
    assert np.abs(W).max() <= largest
    if "uniform" in name:
        assert np.abs(W).max() > 0.999 * largest


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_generator_decides(name):
    assert np.array_equal(draw(name, 20, 30), draw(name, 20, 30))
    assert name == "zeros" or not np.any(draw(name, 20, 30) == draw(name, 20, 30, seed=1))


@pytest.mark.parametrize("n_in, n_out", [(1, 1), (1, 7), (7, 1), (2, 2), (17, 17), (200, 200), (200, 31), (31, 200)])
def test_orthogonal(n_in, n_out):
    W = draw("orthogonal", n_in, n_out)
    gram = W.T @ W if n_in >= n_out else W @ W.T
    np.testing.assert_allclose(gram, np.eye(min(n_in, n_out)), atol=1e-14 * max(n_in, n_out))     # sums of that many terms


def test_orthogonal_is_orthogonal_where_columns_hardly_differ():
    """A square Gaussian matrix has a last column with almost nothing of its own; seeds where it is least."""
    for seed in range(50):
        W = draw("orthogonal", 40, 40, seed)
        np.testing.assert_allclose(W.T @ W, np.eye(40), atol=1e-13)


def test_orthogonal_prefers_no_direction():
    """Haar's measure: each entry has mean 0 and variance 1/n, the first and the last column alike; and det is both 1 and -1."""
    W = np.array([draw("orthogonal", 3, 3, seed) for seed in range(2000)])
    assert np.abs(W.mean(axis=0)).max() < 4 * math.sqrt(1 / 3 / 2000)
    np.testing.assert_allclose((W**2).mean(axis=0), 1 / 3, atol=4 * math.sqrt(0.09 / 2000))      # var of w^2 is 4/45
    assert 900 < (np.linalg.det(W) > 0).sum() < 1100


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_a_default(activation):
    assert default_for(activation) in INITIALIZERS


def test_defaults():
    assert default_for("selu") == "lecun_normal"
    bounded_or_linear = {"identity", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh"}
    assert {name for name in ACTIVATIONS if default_for(name) == "glorot_uniform"} == bounded_or_linear
    assert {default_for(name) for name in ACTIVATIONS if name not in bounded_or_linear | {"selu"}} == {"he_normal"}


@pytest.mark.parametrize("activation", ["relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "identity"])
def test_the_default_keeps_a_signal_alive_through_ten_layers(activation):
    net = fastbp.Network([256, *[256] * 10], activation=activation, loss="squared_error", dtype="float64", seed=0)
    raw = net.forward(np.random.default_rng(1).normal(size=(200, 256)))
    assert 1e-3 < raw.std() < 1e2       # with a deviation half or twice as large it would be 1000 times off


# LSUV ----------------------------------------------------------------------------------------------------------------

def samples(n=500, n_in=20):
    """Data that no initialiser by sizes alone suits: shifted, of many scales, correlated."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_in)) * np.logspace(-1, 1, n_in) + rng.normal(size=(n, 1)) + 3


def pre_activations(net, X):
    """x W of each dense layer, by NumPy; activations by networks of one layer."""
    a, outputs = X, []
    for layer, W, b in zip(net.layers, net.weights, net.biases):
        if isinstance(layer, fastbp.Scale):
            a = a * W[0] + b
            continue
        outputs.append(a @ W)
        new = one_layer(layer.activation, outputs[-1])
        a = new + a if layer.residual else new
    return outputs


def one_layer(activation, z):
    n = z.shape[1]
    net = fastbp.Network([n, fastbp.Dense(n, activation)], loss="squared_error", dtype="float64", seed=0)
    net.set_parameters([np.eye(n)], [np.zeros(n)])
    return net.forward(z)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "selu", "gelu", "mish"])
def test_lsuv_gives_every_layer_unit_variance(activation):
    X = samples()
    net = fastbp.Network([20, 64, 64, 64, 32, 5], activation=activation, loss="squared_error", dtype="float64", seed=0)
    lsuv(net, X)
    assert [z.std() for z in pre_activations(net, X)] == pytest.approx([1] * 5, rel=1e-9)
    assert all(not b.any() for b in net.biases)


def test_lsuv_keeps_the_angles_of_an_orthogonal_matrix():
    net = fastbp.Network([20, 64, 5], loss="squared_error", dtype="float64", seed=0)
    lsuv(net, samples())
    W = net.weights[1]
    gram = W.T @ W
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(5), atol=1e-13 * gram[0, 0])


def test_lsuv_follows_the_seed_alone():
    first, second = (fastbp.Network([20, 64, 5], loss="squared_error", seed=7) for _ in range(2))
    second.set_parameters([2 * W for W in second.weights], [b + 1 for b in second.biases])
    for net in (first, second):
        lsuv(net, samples())
    assert all(map(np.array_equal, first.weights, second.weights))


def test_lsuv_knows_scales_residuals_and_layers_that_are_not_trainable():
    layers = [20, fastbp.Scale(), 32, fastbp.Dense(32, residual=True, dropout=0.5), fastbp.Dense(32, trainable=False), 4]
    net = fastbp.Network(layers, activation="tanh", loss="squared_error", dtype="float64", seed=0)
    weights, biases = list(net.weights), list(net.biases)
    weights[0], biases[0] = np.full((1, 20), 0.5), np.full(20, -1.0)
    net.set_parameters(weights, biases)
    lsuv(net, samples())
    assert np.array_equal(net.weights[0], weights[0]) and np.array_equal(net.biases[0], biases[0])
    assert np.array_equal(net.weights[3], weights[3])
    z = pre_activations(net, samples())
    assert [z[i].std() for i in (0, 1, 3)] == pytest.approx([1, 1, 1], rel=1e-9)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_lsuv_sees_normalisation_as_it_starts(normalization):
    layers = [20, fastbp.Dense(32, normalization=normalization), fastbp.Dense(16, normalization=normalization), 4]
    net = fastbp.Network(layers, loss="squared_error", dtype="float64", seed=0)
    lsuv(net, samples())
    assert (samples() @ net.weights[0]).std() == pytest.approx(1, rel=1e-9)
    assert net.forward(samples()).std() == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("X, message", [
    (np.zeros((5, 20)), "layer 0 standard deviation 0"), (np.full((5, 20), np.nan), "X must be finite; row 0"),
    (np.ones((5, 3)), "X must have 20 columns"), (np.ones((0, 20)), "at least one sample")])
def test_lsuv_refuses_what_it_cannot_use(X, message):
    net = fastbp.Network([20, 8, 3], seed=0)
    before = net.weights
    with pytest.raises(ValueError, match=message):
        lsuv(net, X)
    assert all(map(np.array_equal, before, net.weights))
