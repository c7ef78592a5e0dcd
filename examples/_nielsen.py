"""The conventions of Michael Nielsen, Neural Networks and Deep Learning (2015), in the words of fastbp.

- His costs are sums over outputs and means over a mini-batch, as ours: his eta is `learning_rate`, unchanged.
- He shrinks weights, not biases, by 1 - eta lambda / n, with n the size of the training set: `l2` is lambda / n.
- Quadratic cost: a sigmoid layer under `squared_error`, which carries the 1/2. Cross-entropy: `binary_cross_entropy`, which
  owns the sigmoid. Both learn one-hot targets, and the largest output is the answer.
- "Large" start: weights and biases N(0, 1). "Default" start: weights N(0, 1 / n_in), biases N(0, 1). Of his program
  network3: hidden weights N(0, 1 / n_out), biases N(0, 1), and a softmax layer of zeros.
- Of the 60,000 training images the last 10,000 are for validation. Pixels are k / 256.
"""
import numpy as np
from _mnist import read_mnist

from fastbp import Dense, Network

LOSSES = {"quadratic": "squared_error", "cross-entropy": "binary_cross_entropy", "log-likelihood": "softmax_cross_entropy"}


def read_split(path):
    """Images and labels: dict of "train", "validation" and "test" to (X, y)."""
    X, y, X_test, y_test = read_mnist(path, white=256)
    n = len(X) * 5 // 6
    return {"train": (X[:n], y[:n]), "validation": (X[n:], y[n:]), "test": (X_test, y_test)}


def network(hidden, cost, dtype="float32", seed=0):
    """Sigmoid layers under one of his costs."""
    last = Dense(10, "sigmoid") if cost == "quadratic" else 10
    return Network([784, *hidden, last], activation="sigmoid", loss=LOSSES[cost], dtype=dtype, seed=seed)


def targets(y, cost):
    """Labels as his costs take them."""
    return y if cost == "log-likelihood" else np.eye(10)[y]


def draw(sizes, start, rng):
    """Weights (n_in, n_out) and biases; drawn in his order, all biases first and matrices by rows of W^T."""
    biases = [rng.normal(size=n_out) for n_out in sizes[1:]]
    weights = [rng.normal(size=(n_out, n_in)).T for n_in, n_out in zip(sizes, sizes[1:])]
    if start == "default":
        weights = [W / np.sqrt(len(W)) for W in weights]
    elif start == "network3":
        weights = [W / np.sqrt(W.shape[1]) for W in weights]
        weights[-1], biases[-1] = np.zeros_like(weights[-1]), np.zeros_like(biases[-1])
    return weights, biases


def hits(net, X, y):
    """How many images are answered right."""
    return int((net.forward(X).argmax(axis=1) == y).sum())
