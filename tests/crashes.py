"""Fits that break off: the network, the data and the crash that the tests of checkpoints share."""

import numpy as np

from fastbp import Dense, Network, Scale

N = 60
RNG = np.random.default_rng(0)
X, NUMBERS = RNG.standard_normal((N, 6)).astype("f4"), RNG.integers(0, 3, N)
VALUES = RNG.standard_normal((N, 3))
VALID = RNG.standard_normal((20, 6)), RNG.integers(0, 3, 20)


class Crash(Exception):
    pass


class CrashAt:
    """Breaks a fit off after so many steps of this life."""

    every = 1

    def __init__(self, n):
        self.left = n

    def __call__(self, net, history):
        self.left -= 1
        if self.left == 0:
            raise Crash


def network(loss="softmax_cross_entropy", seed=3, **options):
    layers = [6, Scale(), Dense(9, "gelu", dropout=0.3, normalization="batch"), Dense(9, "tanh", residual=True, max_norm=1.0), 3]
    return Network(layers, loss=loss, **{"seed": seed, "input_dropout": 0.1, "input_noise": 0.1} | options)


def bits(net):
    parts = net.get_parameters()
    arrays = [a for name in parts for its in parts[name] if its is not None for a in (its if isinstance(its, tuple) else [its])]
    return b"".join(a.tobytes() for a in arrays)


def record(history):
    """All of it but the seconds."""
    return [getattr(history, name) for name in ("loss", "metric", "val_loss", "val_metric", "learning_rate", "samples", "step")]
