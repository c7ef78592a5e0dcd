"""The small networks and data that the tests of `Network` share."""

import numpy as np

from fastbp import SGD, Network
from fastbp.losses import LOSSES

N, N_IN, N_OUT = 30, 5, 3
_RNG = np.random.default_rng(0)
X, X_VALID = _RNG.standard_normal((N, N_IN)), _RNG.standard_normal((11, N_IN))
MOMENTUM = SGD(0.1, momentum=0.9)
GOOD_W, GOOD_B = [np.ones((N_IN, 7)), np.ones((7, N_OUT))], [np.ones(7), np.ones(N_OUT)]
NUMBERS, TEXT = np.arange(N) % N_OUT, np.array(["a", "b", "c"] * 10)
NOT_FINITE = np.where(np.arange(N)[:, None] == 3, np.nan, X)


def targets(loss, n=N, n_out=N_OUT):
    """Some that a loss accepts."""
    values = np.random.default_rng(1).uniform(size=(n, n_out))
    return {"values": lambda: values, "counts": lambda: np.floor(4 * values), "binary": lambda: (values > 0.5) * 1.0,
            "labels": lambda: values.argmax(axis=1)}[LOSSES[loss].targets]()


def network(loss="softmax_cross_entropy", dtype="float64", seed=0, **options):
    return Network([N_IN, 7, N_OUT], activation="tanh", loss=loss, dtype=dtype, seed=seed, **options)


def state(net):
    """All of a network that lasts."""
    return [a.tobytes() for a in (*net.weights, *net.biases)], repr(net.classes_), net.n_epochs, repr(net)


def bits(net):
    """All its parameters, gains and running statistics too."""
    parts = net.get_parameters()
    arrays = [*parts["weights"], *parts["biases"], *(g for g in parts["gains"] if g is not None)]
    arrays += [a for pair in parts["running_statistics"] if pair is not None for a in pair]
    return b"".join(a.tobytes() for a in arrays)
