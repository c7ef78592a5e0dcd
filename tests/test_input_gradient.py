"""`Network.input_gradient` and `Network.jacobian` against central differences of what the network predicts."""

import threading

import numpy as np
import pytest
from samples import samples

from fastbp import Dense, Network, Scale
from fastbp.losses import LOSSES

STEP = 1e-6
CLOSE = {"rtol": 1e-7, "atol": 1e-8}        # h^2 and 1e-16 / h

LAYERS = {
    "dense": [5, 8, 3],
    "no hidden layer": [5, 3],
    "everything": [5, Scale(), Dense(8, normalization="batch", dropout=0.4), Dense(8, residual=True),
                   Dense(6, normalization="layer"), 3],
}


def differences(f, X):
    """d f(X)[i] / d X[i], with the inputs in the last place."""
    sides = [(f(X + STEP * direction), f(X - STEP * direction)) for direction in np.eye(X.shape[1])]
    return np.stack([(above - below) / (2 * STEP) for above, below in sides], axis=-1)


@pytest.fixture(params=LAYERS)
def net(request):
    """A network that has trained, so that its running statistics are none of the first."""
    net = Network(LAYERS[request.param], "tanh", dtype="float64", seed=0, input_noise=0.1, input_dropout=0.1)
    net.partial_fit(*samples(net, 40))
    return net


def test_jacobian(net):
    X, _ = samples(net, 7)
    J = net.jacobian(X)
    assert J.shape == (7, 3, 5) and J.dtype == np.float64
    np.testing.assert_allclose(J, differences(net.forward, X), **CLOSE)


def test_input_gradient(net):
    X, y = samples(net, 7)
    def losses(X):
        return np.array([net.evaluate(X[i:i + 1], y[i:i + 1])[0] for i in range(len(X))])
    found = net.input_gradient(X, y)
    assert found.shape == (7, 5)
    np.testing.assert_allclose(found, differences(losses, X), **CLOSE)


@pytest.mark.parametrize("loss", [*LOSSES, lambda raw, y: (((raw - y) ** 2).sum() / len(raw), 2 * (raw - y) / len(raw))])
def test_every_loss(loss):
    net = Network([5, 8, 3], "tanh", loss, "float64", seed=0)
    X, y = samples(net, 7)
    if net.loss == "softmax_cross_entropy":
        y = np.array([0, 1, 2, 0, 1, 2, 0])
    found = net.input_gradient(X, y)
    np.testing.assert_allclose(
        found, differences(lambda X: np.array([net.evaluate(X[i:i + 1], y[i:i + 1])[0] for i in range(len(X))]), X), **CLOSE)


def test_float32_and_labels():
    """In the network's own dtype, by the labels it has learned."""
    X, y = np.random.default_rng(0).standard_normal((20, 5)).astype("float32"), np.array(["cat", "dog"] * 10)
    net = Network([5, 8, 2], "tanh", seed=0)
    net.partial_fit(X, y)
    double = Network([5, 8, 2], "tanh", dtype="float64", seed=0)
    double.set_parameters(net.weights, net.biases)
    found = net.input_gradient(X, y)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, double.input_gradient(X, (y == "dog").astype(int)), rtol=1e-4, atol=1e-6)


def test_samples_have_nothing_to_do_with_each_other():
    net = Network([5, Dense(8, normalization="batch"), 3], seed=0)
    X, y = samples(net, 300)
    np.testing.assert_array_equal(net.input_gradient(X, y)[17:18], net.input_gradient(X[17:18], y[17:18]))
    np.testing.assert_array_equal(net.jacobian(X)[17:18], net.jacobian(X[17:18]))
    assert net.jacobian(X[:0]).shape == (0, 3, 5)


def test_threads_change_nothing():
    net = Network([40, 64, 64, 10], seed=0)
    X, y = samples(net, 700)
    for n_threads in (2, 3):
        np.testing.assert_array_equal(net.input_gradient(X, y, n_threads=n_threads), net.input_gradient(X, y, n_threads=1))
        np.testing.assert_array_equal(net.jacobian(X, n_threads=n_threads), net.jacobian(X, n_threads=1))


def test_nothing_else_changes():
    net = Network([5, Dense(8, normalization="batch"), 3], seed=0)
    X, y = samples(net, 7)
    parameters = net.get_parameters()
    net.input_gradient(X, y), net.jacobian(X)
    np.testing.assert_equal(net.get_parameters(), parameters)
    assert net.classes_ is None


def test_not_while_another_thread_trains():
    net = Network([5, 8, 3], seed=0)
    X, y = samples(net, 7)
    trains, looked, errors = threading.Event(), threading.Event(), []
    def wait(net, history):
        trains.set()
        looked.wait(30)
    thread = threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 1, "callbacks": [wait]})
    thread.start()
    assert trains.wait(30)
    for look in (lambda: net.jacobian(X), lambda: net.input_gradient(X, y)):
        try:
            look()
        except RuntimeError as error:
            errors.append(str(error))
    looked.set()
    thread.join()
    assert len(errors) == 2 and all("another thread is training" in error for error in errors)


@pytest.mark.parametrize("call, words", [
    (lambda net: net.jacobian(np.ones((2, 4))), "X must have 5 columns"),
    (lambda net: net.input_gradient(np.ones((2, 5)), [0, 1, 2]), "y must have one entry a sample"),
    (lambda net: net.input_gradient(np.ones((2, 5)), [0, 7]), "y has 2 distinct labels|no class")])
def test_wrong_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(Network([5, 3], seed=0))
