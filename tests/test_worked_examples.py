"""Worked examples that others have published, number by number, in float64.

Losses are sums over outputs and means over samples, and squared error carries the 1/2, here as there.
"""
import numpy as np
import pytest

import fastbp
from fastbp import SGD, Dense, Network
from fastbp.datasets import load_digits

EXACT = 1e-9        # relative: the numbers have 11 digits or more, and 10,000 steps add up roundings of 1e-16


def at(weights, biases, layers, loss):
    """A float64 network with these parameters."""
    net = Network(layers, loss=loss, dtype="float64", seed=0)
    net.set_parameters(weights, biases)
    return net


# Nielsen, Neural Networks and Deep Learning, chapter 3: a sigmoid neuron is to learn that 1 gives 0 ---

def neuron(start, loss):
    layers = [1, Dense(1, "sigmoid")] if loss == "squared_error" else [1, 1]
    return at([[[start[0]]]], [[start[1]]], layers, loss)


def neuron_output(net):
    """Squared error looks at the output of a sigmoid layer, the cross entropy owns the sigmoid."""
    return net.forward([[1.0]])[0, 0] if net.loss == "squared_error" else net.predict_proba([[1.0]])[0, 1]


@pytest.mark.parametrize("start, outputs", [    # before training and after each 50 steps
    ((0.6, 0.9), [0.817574476194, 0.38701044442, 0.210996253844, 0.152739885633, 0.123747421318,
                  0.106055783025, 0.093955694864]),
    ((2.0, 2.0), [0.982013790038, 0.975933396949, 0.964130846998, 0.933417472557, 0.788736296995,
                  0.357211829384, 0.202848424268])])
def test_a_neuron_learns_slowly_by_squared_error(start, outputs):
    net = neuron(start, "squared_error")
    found = [neuron_output(net)]
    net.fit([[1.0]], [0.0], epochs=300, optimizer=SGD(0.15), callbacks=[
        lambda net, history: found.append(neuron_output(net)) if history.n_epochs % 50 == 0 else None])
    assert found == pytest.approx(outputs, rel=EXACT)


@pytest.mark.parametrize("start, learning_rate, output", [
    ((0.6, 0.9), 0.005, 0.417679299599), ((2.0, 2.0), 0.005, 0.779587064206),
    ((0.6, 0.9), 0.15, 0.011638208969), ((2.0, 2.0), 0.15, 0.012008741511)])
def test_a_neuron_learns_fast_by_cross_entropy(start, learning_rate, output):
    net = neuron(start, "binary_cross_entropy")
    net.fit([[1.0]], [0.0], epochs=300, optimizer=SGD(learning_rate))
    assert neuron_output(net) == pytest.approx(output, rel=EXACT)


# Goodfellow, Bengio and Courville, Deep Learning, section 6.1: XOR in closed form ---------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_rectifiers_are_exclusive_or(dtype):
    net = Network([2, 2, 1], activation="relu", loss="squared_error", dtype=dtype, seed=0)
    net.set_parameters([[[1, 1], [1, 1]], [[1], [-2]]], [[0, -1], [0]])
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    assert net.predict(X).tolist() == y and net.evaluate(X, y) == (0, 1)
    loss, dW, db = net.loss_and_gradient(X, y)
    assert loss == 0 and not any(a.any() for a in dW + db)


# scikit-learn, test_mlp.py::test_fit: one step; its penalty is alpha/2 |W|^2 over the samples of the batch -

def test_one_step_of_scikit_learn():
    alpha, n_samples = 0.1, 1
    net = at([[[0.1, 0.2], [0.3, 0.1], [0.5, 0]], [[0.1], [0.2]]], [[0.1, 0.1], [1.0]],
             [3, Dense(2, "sigmoid"), 1], "binary_cross_entropy")
    x = [[0.6, 0.8, 0.7]]
    hidden = fastbp.dense_forward(x, net.weights[0], net.biases[0], "sigmoid")
    assert hidden[0] == pytest.approx([0.679178699175393, 0.574442516811659], rel=EXACT)
    assert net.predict_proba(x)[0, 1] == pytest.approx(0.76545202190952, rel=EXACT)
    net.partial_fit(x, [0], SGD(0.1, l2=alpha / n_samples))
    W1, W2 = net.weights
    np.testing.assert_allclose(W1, [
        [0.09799927101876635, 0.1957545466925248], [0.29566569469168846, 0.0960060622566997],
        [0.4938324828552274, -0.0026196955253877667]], rtol=EXACT)
    np.testing.assert_allclose(W2[:, 0], [0.04701212914783179, 0.15402918140357222], rtol=EXACT)
    np.testing.assert_allclose(net.biases[0], [0.09833211836461057, 0.09625757782087463], rtol=EXACT)
    assert net.biases[1][0] == pytest.approx(0.9234547978090479, rel=EXACT)
    assert net.predict_proba(x)[0, 1] == pytest.approx(0.7394919180486681, rel=EXACT)


@pytest.mark.parametrize("n_samples", [1, 5, 32])
def test_l2_is_alpha_of_scikit_learn_over_the_samples_of_the_batch(n_samples):
    neural_network = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n_samples, 4)), rng.standard_normal((n_samples, 2))
    theirs = neural_network.MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", solver="sgd", alpha=0.3,
                                         learning_rate_init=0.1, momentum=0, random_state=0)
    theirs.partial_fit(X, Y)        # draws the weights
    net = at(theirs.coefs_, theirs.intercepts_, [4, Dense(3, "tanh"), 2], "squared_error")
    theirs.partial_fit(X, Y)
    net.partial_fit(X, Y, SGD(0.1, l2=0.3 / n_samples))
    for ours, its in zip(net.weights + net.biases, theirs.coefs_ + theirs.intercepts_):
        np.testing.assert_allclose(ours, its, rtol=EXACT)


# Mazur, A Step by Step Backpropagation Example: 2-2-2 sigmoid, learning rate 0.5 ----------------------------

X, T = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
WEIGHTS = [[[0.15, 0.25], [0.20, 0.30]], [[0.40, 0.50], [0.45, 0.55]]]     # w1 w3, w2 w4; w5 w7, w6 w8
BIASES = [[0.35, 0.35], [0.60, 0.60]]


def mazur():
    return at(WEIGHTS, BIASES, [2, Dense(2, "sigmoid"), Dense(2, "sigmoid")], "squared_error")


class MazurByKernels:
    """The same network and its training, of the kernels alone."""

    def __init__(self):
        self.W, self.b = [np.array(W) for W in WEIGHTS], [np.array(b) for b in BIASES]
        self.z = [np.empty((1, 2)), np.empty((1, 2))]

    def forward(self):
        hidden = fastbp.dense_forward(X, self.W[0], self.b[0], "sigmoid", z=self.z[0])
        return hidden, fastbp.dense_forward(hidden, self.W[1], self.b[1], "sigmoid", z=self.z[1])

    def loss(self):
        return ((self.forward()[1] - T) ** 2).sum() / 2

    def step(self):
        """Returns the gradients of the biases, which stay."""
        hidden, out = self.forward()
        dh, dW2, db2 = fastbp.dense_backward(hidden, self.W[1], out - T, "sigmoid", self.z[1])
        _, dW1, db1 = fastbp.dense_backward(X, self.W[0], dh, "sigmoid", self.z[0])
        for W, dW in zip(self.W, (dW1, dW2)):
            fastbp.sgd_update(W, dW, learning_rate=0.5)
        return db1, db2


PUBLISHED = [0.298371109, 0.291027924, 0.0000351085]        # the post rounds on its way
LOSSES = [0.2983711087600027, 0.29102777369359933, 3.510187782978859e-05]


def test_mazur_on_the_kernels():
    net = MazurByKernels()
    losses = [net.loss()]
    net.step()
    losses.append(net.loss())
    assert (net.W[0][0, 0], net.W[1][0, 0]) == pytest.approx((0.149780716, 0.35891648), abs=1e-8)
    for _ in range(9999):
        net.step()
    losses.append(net.loss())
    assert losses == pytest.approx(LOSSES, rel=EXACT) and losses == pytest.approx(PUBLISHED, abs=1e-6)
    outputs = net.forward()[1][0]
    assert outputs == pytest.approx([0.01591362044, 0.98406427351], rel=EXACT)
    assert outputs == pytest.approx([0.015912196, 0.984065734], abs=2e-6)


def test_mazur_on_a_network():
    net, losses = mazur(), []
    for _ in range(10_000):
        losses.append(net.partial_fit(X, T, SGD(0.5)))
        net.set_parameters(net.weights, BIASES)     # the post leaves the biases alone
    assert [*losses[:2], net.evaluate(X, T)[0]] == pytest.approx(LOSSES, rel=EXACT)


def test_mazur_with_one_trained_bias_a_layer():
    """As the post draws it: both neurons of a layer share a bias, whose gradient is the sum of theirs."""
    net, losses = MazurByKernels(), []
    for _ in range(10_000):
        losses.append(net.loss())
        for b, db in zip(net.b, net.step()):
            b -= 0.5 * db.sum()
    assert [*losses[:2], net.loss()] == pytest.approx(
        [LOSSES[0], 0.2857508866992965, 4.355321066163751e-06], rel=EXACT)


def test_mazur_with_a_trained_bias_a_neuron():
    net = mazur()
    history = net.fit(X, T, epochs=10_000, optimizer=SGD(0.5))
    assert [*history.loss[:2], net.evaluate(X, T)[0]] == pytest.approx(
        [LOSSES[0], 0.28047144679143016, 2.4475622359322627e-06], rel=EXACT)    # by a replay in NumPy


# scikit-learn, test_mlp.py: every activation learns the first digits, and a larger penalty shrinks weights -

@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "relu"])
def test_every_activation_of_scikit_learn_learns_the_first_digits(activation):
    X, y = (a[:150] for a in load_digits())
    net = Network([64, 50, 10], activation, dtype="float64", seed=1)
    net.fit(X / 16, y, epochs=150, batch_size=10, optimizer=SGD(0.1, momentum=0.9))
    assert net.evaluate(X / 16, y)[1] > 0.95


def test_a_larger_penalty_leaves_smaller_weights():
    X, y = (a[:100] for a in load_digits())
    sums = []
    for l2 in (0, 0.01, 0.1, 1):
        net = Network([64, 10, 10], "tanh", dtype="float64", seed=1)
        net.fit(X / 16, y, epochs=20, batch_size=10, optimizer=SGD(0.1, l2=l2))
        sums.append(sum(np.abs(W).sum() for W in net.weights))
    assert sums == sorted(sums, reverse=True)
