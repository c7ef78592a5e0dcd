"""Many networks at once: 16 fits by `fit_many`, one after the other, and by scikit-learn's GridSearchCV.

    python -m asv_benchmarks.many [--samples 4000] [--epochs 20] [--rounds 9] [--threads 2]

The 16 fits are 8 learning rates on 2 folds: a network 20-64-64-2, batches of 32, plain SGD, float32. All three train the same
epochs on the same samples and score the fold held out; scikit-learn, if it is installed, has 1 output where there are 2. They
take turns in each round, a tenth of a second one after the other, since threads may spin on for a while; the best and the median
round count, and each ratio is that of the best.
"""

import argparse
import os
import statistics
import time

import numpy as np

SIZES, BATCH_SIZE, CV = (20, 64, 64, 2), 32, 2
RATES = np.geomspace(0.01, 0.1, 8)
PAUSE = 0.1         # seconds
ALIKE = 0.1         # of mean final losses: another order, one output for two


def data(n_samples):
    """Labels that a network can learn, of which 15 % are wrong, so that all end near the same loss."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, SIZES[0]), dtype=np.float32)
    return X, ((X[:, 0] + X[:, 1] * X[:, 2] > 0) ^ (rng.uniform(size=n_samples) < 0.15)).astype(int)


class Ours:
    """The fits, one after the other or all at once."""

    def __init__(self, X, y, epochs, n_threads):
        import fastbp

        self.fastbp, self.X, self.y, self.n_threads = fastbp, X, y, n_threads
        self.settings = {"epochs": epochs, "batch_size": BATCH_SIZE}
        halves = np.array_split(np.random.default_rng(1).permutation(len(X)), CV)
        self.folds = [(halves[1], halves[0]), (halves[0], halves[1])]
        self.each = [{"optimizer": fastbp.SGD(float(rate)), "rows": train} for rate in RATES for train, _ in self.folds]
        self.networks = self.histories = None

    def serially(self):
        self._start()
        self.histories = [net.fit(self.X, self.y, n_threads=1, **self.settings, **own)
                          for net, own in zip(self.networks, self.each)]
        return self._scores(1)

    def at_once(self):
        self._start()
        self.histories = self.fastbp.fit_many(self.networks, self.X, self.y, each=self.each, n_threads=self.n_threads,
                                              **self.settings)
        return self._scores(self.n_threads)

    def _start(self):
        self.networks = [self.fastbp.Network(list(SIZES), seed=seed, initializer="glorot_uniform")      # as scikit-learn
                         for seed in range(len(self.each))]

    def _scores(self, n_threads):
        held_out = [(self.X[test], self.y[test]) for _, test in self.folds] * len(RATES)
        return [net.evaluate(*pair, n_threads=n_threads)[1] for net, pair in zip(self.networks, held_out)]

    def bits(self):
        return [array.tobytes() for net in self.networks for array in (*net.weights, *net.biases)]


class ScikitLearn:
    """GridSearchCV over the same rates and folds; its processes stay from round to round."""

    def __init__(self, ours, n_jobs):
        from sklearn.model_selection import GridSearchCV
        from sklearn.neural_network import MLPClassifier

        self.ours, self.epochs = ours, ours.settings["epochs"]
        self.mlp = MLPClassifier(SIZES[1:-1], solver="sgd", momentum=0.0, nesterovs_momentum=False, alpha=0.0, tol=0.0,
                                 batch_size=BATCH_SIZE, max_iter=self.epochs, n_iter_no_change=self.epochs + 1, random_state=0)
        self.grid = GridSearchCV(self.mlp, {"learning_rate_init": RATES.tolist()}, cv=ours.folds, n_jobs=n_jobs, refit=False)

    def search(self):
        self.grid.fit(self.ours.X, self.ours.y)
        return np.ravel([self.grid.cv_results_[f"split{i}_test_score"] for i in range(CV)], order="F")

    def alone(self, number):
        """One of the fits: epochs, steps and final loss."""
        from sklearn.base import clone

        own = self.ours.each[number]
        mlp = clone(self.mlp).set_params(learning_rate_init=own["optimizer"].learning_rate)
        mlp.fit(self.ours.X[own["rows"]], self.ours.y[own["rows"]])
        return mlp.n_iter_, mlp.t_ // len(own["rows"]), mlp.loss_


def without_warnings(call):
    """scikit-learn says at the end of every fit that it could go on; its processes take this from the environment."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def check(ours, theirs):
    """That all do the same work."""
    ours.serially()
    alone, losses = ours.bits(), [history.loss[-1] for history in ours.histories]
    ours.at_once()
    if ours.bits() != alone:
        raise SystemExit("fit_many gives other bits than fit")
    if theirs is None:
        return
    epochs = ours.settings["epochs"]
    found = [without_warnings(lambda number=number: theirs.alone(number)) for number in range(len(losses))]
    if any(their_epochs != epochs or passes != epochs for their_epochs, passes, _ in found):
        raise SystemExit(f"scikit-learn trains other epochs: {found}")
    mean, other = statistics.mean(losses), statistics.mean(loss for *_, loss in found)
    print(f"mean final loss: fastbp {mean:.4f}, scikit-learn {other:.4f}")
    if abs(mean - other) > ALIKE * mean:
        raise SystemExit("the final losses are not alike")


def measure(calls, rounds):
    """Seconds of each call, in turns; the first round warms up."""
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            time.sleep(PAUSE)
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: its[1:] for name, its in seconds.items()}


def report(seconds, n_steps):
    first = min(next(iter(seconds.values())))
    print(f"{'16 fits':34} {'best':>9} {'median':>9} {'us a step':>10} {'speed':>7}")
    for name, its in seconds.items():
        best = min(its)
        print(f"{name:34} {best:8.3f}s {statistics.median(its):8.3f}s {best / n_steps * 1e6:10.2f} {first / best:6.2f}x")
    many = min(seconds["fastbp.fit_many"])
    for name, its in seconds.items():
        if name != "fastbp.fit_many":
            print(f"fit_many is {min(its) / many:.2f} times as fast as {name}")


def main():
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.many", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4000, help="of which each fit trains on half")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="of fit_many, and processes of GridSearchCV")
    options = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore"         # of the processes that GridSearchCV starts
    ours = Ours(*data(options.samples), options.epochs, options.threads)
    calls = {"fastbp, one after the other": ours.serially, "fastbp.fit_many": ours.at_once}
    try:
        theirs = ScikitLearn(ours, options.threads)
    except ImportError:
        print("scikit-learn is not installed: without it")
        theirs = None
    else:
        calls[f"sklearn GridSearchCV(n_jobs={options.threads})"] = lambda: without_warnings(theirs.search)
    check(ours, theirs)
    n_steps = len(ours.each) * options.epochs * -(-(options.samples // CV) // BATCH_SIZE)
    report(measure(calls, options.rounds), n_steps)


if __name__ == "__main__":
    main()
