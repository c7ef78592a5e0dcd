"""What each feature costs when it is on: the time of a training step over that of the plain one, in percent.

    python -m asv_benchmarks.costs [--case medium] [--threads 1] [--rounds 15] [--features adam dropout ...]

The plain step is SGD with ReLU, float32. In each round every feature trains an epoch in turn, and then the plain network
again; the best round of each counts, the median stands beside it.
"""

import argparse
import statistics

import numpy as np

from .benchmarks.common import CASES, data, learning_rate

PLAIN = {"network": {}, "dense": {}, "optimizer": ("SGD", {}), "fit": {}}


def features():
    """Name -> what differs from the plain step: settings of the network, of its hidden layers, the optimizer, the fit."""
    import fastbp

    table = {}
    for name in fastbp.activations.ACTIVATIONS:
        if name not in ("identity", "relu"):
            table[name] = {"network": {"activation": name}}
    for name, kind, settings in (
        ("momentum", "SGD", {"momentum": 0.9}), ("nesterov", "SGD", {"momentum": 0.9, "nesterov": True}),
        ("adagrad", "AdaGrad", {}), ("rmsprop", "RMSprop", {}), ("adam", "Adam", {}), ("adamw", "AdamW", {}),
        ("nadam", "NAdam", {}), ("amsgrad", "Adam", {"amsgrad": True}), ("lion", "Lion", {}), ("rprop", "Rprop", {}),
        ("l2", "SGD", {"l2": 1e-4}), ("l1", "SGD", {"l1": 1e-6}), ("weight_decay", "SGD", {"weight_decay": 1e-4}),
        ("clip_value", "SGD", {"clip_value": 1.0}), ("clip_layer_norm", "SGD", {"clip_layer_norm": 1.0}),
        ("clip_norm", "SGD", {"clip_norm": 1.0}), ("average", "SGD", {"average": 0.999}),
        ("schedule", "SGD", {"schedule": True}),
    ):
        table[name] = {"optimizer": (kind, settings)}
    for name, settings in (("dropout", {"dropout": 0.2}), ("layer_norm", {"normalization": "layer"}),
                           ("batch_norm", {"normalization": "batch"}), ("max_norm", {"max_norm": 3.0})):
        table[name] = {"dense": settings}
    table["input_dropout"] = {"network": {"input_dropout": 0.2}}
    table["input_noise"] = {"network": {"input_noise": 0.1}}
    table["label_smoothing"] = {"network": {"loss": fastbp.losses.SoftmaxCrossEntropy(label_smoothing=0.1)}}
    table["sample_weight"] = {"fit": {"sample_weight": True}}
    table["health"] = {"fit": {"health": True}}
    return table


class Trained:
    """A network of the case with one feature on, and its epochs' seconds for each step."""

    def __init__(self, case, feature):
        import fastbp

        row = PLAIN | feature
        hidden = [fastbp.Dense(n, **row["dense"]) for n in case.sizes[1:-1]]
        settings = {"dtype": "float32", "seed": 0} | row["network"]
        self.net = fastbp.Network([case.sizes[0], *hidden, case.sizes[-1]], **settings)
        kind, settings = row["optimizer"]
        settings = dict(settings)
        rate = learning_rate(case) * (0.01 if kind not in ("SGD", "AdaGrad") else 1)
        if settings.pop("schedule", False):
            rate = fastbp.schedules.Cosine(rate)
        self.optimizer = getattr(fastbp, kind)(learning_rate=rate, **settings)
        self.fit = dict(row["fit"])
        if self.fit.get("sample_weight"):
            self.fit["sample_weight"] = np.ones(case.n_samples)
        self.seconds = []

    def epoch(self, case, X, y, n_threads):
        history = self.net.fit(X, y, 1, case.batch_size, self.optimizer, n_threads=n_threads, **self.fit)
        self.seconds.append(history.seconds[0] / case.n_steps)


def measure(case, table, n_threads, rounds):
    X, y = data(case, "float32")
    plain = Trained(case, {})
    trained = {name: Trained(case, feature) for name, feature in table.items()}
    for _ in range(rounds + 1):
        for each in trained.values():
            each.epoch(case, X, y, n_threads)
            plain.epoch(case, X, y, n_threads)
    base = plain.seconds[len(trained):]                 # the first round warms up
    print(f"{case.name}, {n_threads or 'automatic'} thread(s): plain step {min(base) * 1e6:.1f} us, "
          f"median {statistics.median(base) * 1e6:.1f} us")
    print(f"{'feature':16} {'best':>8} {'median':>8}")
    for name, each in trained.items():
        best = min(each.seconds[1:]) / min(base) - 1
        median = statistics.median(each.seconds[1:]) / statistics.median(base) - 1
        print(f"{name:16} {best:+8.1%} {median:+8.1%}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.costs", description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=list(CASES), default="medium")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--features", nargs="+", metavar="NAME", help="default: all")
    options = parser.parse_args()
    table = features()
    unknown = set(options.features or ()) - set(table)
    if unknown:
        parser.error(f"unknown features: {', '.join(sorted(unknown))}; there are {', '.join(table)}")
    measure(CASES[options.case], {name: table[name] for name in options.features or table}, options.threads, options.rounds)


if __name__ == "__main__":
    main()
