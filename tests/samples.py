"""Data for a network: inputs, and targets of the kind that its loss asks for."""

import numpy as np


def samples(net, n=20):
    """X (n, n_in) and y; the same for the same network."""
    rng = np.random.default_rng(0)
    X, shape, targets = rng.standard_normal((n, net.sizes[0])), (n, net.sizes[-1]), net._loss.targets
    if targets == "labels":
        return X, rng.integers(0, shape[1], n)
    if targets == "binary":
        return X, rng.integers(0, 2, shape)
    return X, rng.poisson(2, shape).astype(float) if targets == "counts" else rng.standard_normal(shape)
