"""Whole fits beside scikit-learn's: the same estimator, parameters, data and dtype, and a score on samples held out.

    python -m asv_benchmarks.sklearn_fits [--cases digits ...] [--rounds 5] [--dtype float32] [--threads N] [--mnist FILE.npz]

In each round each library fits in turn, a tenth of a second after the other, whose threads may spin on for a while; the best
round counts, the median stands beside it. Threads: as many as each chooses, or N for both. MNIST (x_train, y_train, x_test,
y_test) is read from the file or $FASTBP_MNIST; without, it is left out.
"""

import argparse
import contextlib
import os
import statistics
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

PAUSE = 0.1


def split(X, y, n_test):
    """X and y to train on, X and y to score."""
    return X[:-n_test], y[:-n_test], X[-n_test:], y[-n_test:]


def digits():
    """1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return split(X[order] / 16, y[order], 360)


def synthetic():
    """Two classes in 8 dimensions, parted by a curved surface."""
    X = np.random.default_rng(0).standard_normal((220_000, 8))
    return split(X, (X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + X[:, 3] > 0).astype(int), 20_000)


def houses():
    """20,000 x 8 numbers like those of California's houses: one target, noisy, of inputs with and without influence."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((22_000, 8))
    y = 2 + X[:, 0] + 0.5 * np.tanh(X[:, 1] * X[:, 2]) + 0.3 * np.abs(X[:, 3] + X[:, 4]) + 0.3 * rng.standard_normal(len(X))
    return split(X, y, 2_000)


def mnist(path):
    with np.load(path) as file:
        arrays = [file[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    return tuple(a.reshape(len(a), -1) / 255 if name == "x" else a for name, a in zip("xyxy", arrays))


#: name -> data, estimator, parameters
CASES = {
    "digits": (digits, "MLPClassifier", {}),
    "synthetic": (synthetic, "MLPClassifier", {"hidden_layer_sizes": (128, 32), "batch_size": 70, "max_iter": 5}),
    "houses": (houses, "MLPRegressor", {"max_iter": 50}),
    "mnist": (mnist, "MLPClassifier", {"hidden_layer_sizes": (100, 100), "max_iter": 10}),
}


class Contestant:
    """A library's estimator of one case."""

    def __init__(self, make, parameters):
        self.make, self.parameters, self.seconds = make, parameters, []

    def fit(self, X, y):
        self.mlp = self.make(random_state=0, **self.parameters)
        time.sleep(PAUSE)
        started = time.perf_counter()
        self.mlp.fit(X, y)
        self.seconds.append(time.perf_counter() - started)


def compare(name, options):
    from sklearn import neural_network

    from fastbp import sklearn as ours

    make, kind, parameters = CASES[name]
    X, y, X_test, y_test = make(options.mnist) if name == "mnist" else make()
    X, X_test = X.astype(options.dtype), X_test.astype(options.dtype)
    both = [Contestant(getattr(ours, kind), parameters | {"n_jobs": options.threads}),
            Contestant(getattr(neural_network, kind), parameters)]
    with threadpool_limits(options.threads) if options.threads else contextlib.nullcontext():
        for _ in range(options.rounds):
            for each in both:
                each.fit(X, y)
    mine, theirs = both
    best = [min(each.seconds) for each in both]
    median = [statistics.median(each.seconds) for each in both]
    scores = [each.mlp.score(X_test, y_test) for each in both]
    print(f"{name:10} {best[0]:9.3f} {best[1]:12.3f} {best[1] / best[0]:7.1f} {median[1] / median[0]:7.1f} "
          f"{mine.mlp.n_iter_:4d} {theirs.mlp.n_iter_:6d} {scores[0]:8.4f} {scores[1]:12.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.sklearn_fits", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, help="default: as many as each library chooses")
    parser.add_argument("--mnist", default=os.environ.get("FASTBP_MNIST"), metavar="FILE.npz")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{options.dtype}, {options.threads or 'automatic'} thread(s), best of {options.rounds} rounds; seconds of a fit")
    print(f"{'case':10} {'fastbp':>9} {'scikit-learn':>12} {'ratio':>7} {'median':>7} {'epochs':>11} {'score':>8} "
          f"{'scikit-learn':>12}")
    for name in options.cases:
        if name == "mnist" and options.mnist is None:
            print("mnist      left out: no file, see --mnist")
        else:
            compare(name, options)


if __name__ == "__main__":
    main()
