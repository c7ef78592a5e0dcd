"""What the benchmarks share: the cases, and data made once a process, the same on every machine.

Append only: to change a case, its data or a seed is to end the history of every benchmark that uses it.
fastbp is imported inside functions, so that this file loads whatever version is being measured.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter

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
    "adamw": ("AdamW", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "nadam": ("NAdam", {}),
    "adagrad": ("AdaGrad", {}),
    "rmsprop": ("RMSprop", {}),
    "lion": ("Lion", {}),
    "rprop": ("Rprop", {}),
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


@lru_cache(maxsize=8)
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
    """A row of OPTIMIZERS; n/a for versions that lack it."""
    import fastbp

    kind, settings = OPTIMIZERS[name]
    rule = getattr(fastbp, kind, None)
    fields = getattr(rule, "__dataclass_fields__", {})
    skip_unless(rule and all(setting in fields for setting in settings), f"this fastbp has no {name}")
    return rule(learning_rate, **settings)


def skip_unless(condition, reason):
    """Called in `setup`: asv shows n/a for what this version or this machine does not have."""
    if not condition:
        raise NotImplementedError(reason)


def enum_names(file, enum):
    """Members of an enum of the core, in the checkout that these suites stand in: one list for every version measured."""
    text = (Path(__file__).parents[2] / "fastbp" / "_core" / file).read_text(encoding="utf-8")
    return re.search(rf"^cpdef enum {enum}:\n((?:    \w+\n)+)", text, re.MULTILINE)[1].lower().split()


CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def use_cores(n=None):
    """Binds the process to n cores, or to all that it was given; n/a on a machine with fewer."""
    import fastbp

    if CPUS:
        os.sched_setaffinity(0, CPUS)
    if n is not None:
        skip_unless(fastbp.get_num_threads() >= n, f"this machine gives fewer than {n} threads")
        if CPUS:
            os.sched_setaffinity(0, CPUS[:n])


SAMPLE_FLOPS = 2.5e8    # a few milliseconds
CALL_FLOPS = 2e5        # what a call costs before it computes anything, in FLOPs of the same time


class Calls:
    """Base of suites whose call is too short for a clock. A sample is `self.calls` of them; the figure is of one.

    asv does not choose a number of calls by itself where there is a `setup`, which it runs before each sample.
    """

    repeat = (5, 10, 2.0)

    def use_calls(self, flops):
        """As many as fill a sample with calls of so many FLOPs: the same number on every machine."""
        n = max(1, round(SAMPLE_FLOPS / (flops + CALL_FLOPS)))
        self.calls = range(n)
        self.timer = lambda: perf_counter() / n
