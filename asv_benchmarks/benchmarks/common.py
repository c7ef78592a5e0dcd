"""What the benchmarks share: the cases, and data made once a process, the same on every machine.

Append only: to change a case, its data or a seed is to end the history of every benchmark that uses it.
fastbp is imported inside functions, so that this file loads whatever version is being measured.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DTYPES = ["float32", "float64"]
THREADS = [1, 2]

#: An optimizer of fastbp each, with settings that cost
OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "weight_decay": ("SGD", {"weight_decay": 1e-4}),
    "l2": ("SGD", {"l2": 1e-4}),
    "adam": ("Adam", {}),
}


@dataclass(frozen=True)
class Case:
    """A classifier with ReLU, trained by plain SGD on softmax cross-entropy."""

    name: str
    sizes: tuple
    batch_size: int
    n_steps: int        #: of an epoch: at least 5, and enough that what comes once an epoch hardly shows

    @property
    def n_samples(self):
        return self.n_steps * self.batch_size

    @property
    def flops(self):
        """Of a step: 2 batch n_in n_out a layer for each of forward, dW and, but for the first layer, dX."""
        products = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:])]
        return 2 * self.batch_size * (3 * sum(products) - products[0])


CASES = {
    case.name: case
    for case in (
        Case("tiny", (20, 64, 64, 2), 32, 2048),
        Case("small", (784, 128, 10), 64, 256),
        Case("medium", (784, 512, 256, 10), 128, 64),
        Case("large", (1024, 2048, 2048, 1000), 256, 16),
        Case("wide", (4096, 4096, 4096, 10), 512, 5),
    )
}


@lru_cache(maxsize=2)
def samples(n_samples, n_in, n_classes, dtype):
    """Normal X, and labels in turn: the first n_classes samples hold every class."""
    X = np.random.default_rng(0).standard_normal((n_samples, n_in), dtype=dtype)
    return X, np.arange(n_samples) % n_classes


def data(case, dtype):
    """X and y of an epoch of a case."""
    return samples(case.n_samples, case.sizes[0], case.sizes[-1], dtype)


def parameters(case, dtype):
    """Starting (W, b) of every layer of a case; biases differ from zero, so that one left out shows."""
    rng, pairs = np.random.default_rng(1), []
    for n_in, n_out in zip(case.sizes, case.sizes[1:]):
        W, b = rng.standard_normal((n_in, n_out)) / np.sqrt(n_in), 0.01 * rng.standard_normal(n_out)
        pairs.append((W.astype(dtype), b.astype(dtype)))
    return pairs


@lru_cache(maxsize=1)
def network(sizes, dtype, **settings):
    """A network; asv runs `setup` before every sample, hence the cache."""
    import fastbp

    return fastbp.Network(list(sizes), dtype=dtype, seed=0, **settings)


def learning_rate(case):
    """Small enough for the widest layer that no case diverges, however long it is trained."""
    return 1 / max(case.sizes)


def optimizer(name, learning_rate):
    """A row of OPTIMIZERS; asv shows n/a for versions that lack it."""
    import fastbp

    kind, settings = OPTIMIZERS[name]
    if not hasattr(fastbp, kind):
        raise NotImplementedError(f"this fastbp has no {kind}")
    return getattr(fastbp, kind)(learning_rate, **settings)


def skip_unless_threads(n_threads):
    """Called in `setup`: asv shows n/a where the machine has fewer."""
    import fastbp

    if fastbp.get_num_threads() < n_threads:
        raise NotImplementedError(f"this machine gives fewer than {n_threads} threads")
