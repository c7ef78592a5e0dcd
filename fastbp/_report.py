"""What the command line prints: rows of a name and a text, a line an epoch, predictions, or a JSON object."""
import csv
import json
import math
import sys
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np

from fastbp._config import config
from fastbp.reports import open_bar

OUTPUT_SUFFIXES = (".npy", ".csv", ".txt")
HISTORY = ("loss", "metric", "val_loss", "val_metric", "seconds")
METRIC_NAMES = {"r2": "R2"}   # in print; a metric that is not here has its own name


class Score(NamedTuple):
    """How well a network does `on` samples: "held-out", "training", or "" if it may have seen them."""

    on: str
    metric: str
    value: float
    n_samples: int
    n_correct: int | None

    def row(self):
        """The row that `train` and `predict` both end in, alike to the digit."""
        samples = f"{self.n_samples} samples"
        count = samples if self.n_correct is None else f"{self.n_correct} of {self.n_samples}"
        return f"{self.on} {_name(self.metric)}".strip(), f"{_measured(self.metric, self.value)}  ({count})"


def print_rows(rows):
    """Print names and texts in two columns."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name:<{width}} {text}")


def print_json(result):
    """Print one JSON object; a number that is not finite is null, for JSON has no other word for it."""
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        value = value.item() if hasattr(value, "item") else value   # a NumPy scalar
        return None if isinstance(value, float) and not math.isfinite(value) else value
    print(json.dumps(plain(result), allow_nan=False))


def print_predictions(predictions, file=None):
    """Print a line a sample, values of several outputs with commas between them."""
    csv.writer(file or sys.stdout, lineterminator="\n").writerows(predictions.reshape(len(predictions), -1))


def save_predictions(path, predictions):
    """Write predictions to a file: as an array to .npy, or else as lines."""
    if path.endswith(".npy"):
        return np.save(path, predictions)
    with open(path, "w", newline="", encoding="utf-8") as file:
        print_predictions(predictions, file)


def describe(net):
    """A network in one line: 784-128-10 relu, softmax_cross_entropy, float32, 101,770 parameters."""
    widths = "-".join(map(str, net.sizes))
    activations = "/".join(dict.fromkeys(net.activations[:-1])) or "linear"
    return f"{widths} {activations}, {net.loss}, {net.dtype}, {net.n_params:,} parameters"


def model_rows(path, net):
    """The rows of `fastbp info MODEL`."""
    labels = [] if net.classes_ is None else [("classes", " ".join(map(str, net.classes_[:20])))]
    layers = zip(net.sizes, net.sizes[1:], net.activations)
    return [("model", path), ("network", describe(net)), *labels] + [
        (f"layer {i}", f"{n_in:>6} x {n_out:<6} {name:<12} {(n_in + 1) * n_out:>12,} parameters")
        for i, (n_in, n_out, name) in enumerate(layers)]


def train_header(args, name, net, data):
    """The rows above the epochs: what is learned, by what, how and where."""
    held_out = "" if data.X_test is None else f" and {len(data.X_test):,} held out"
    machine = config()
    n_threads = min(args.threads or math.inf, machine["threads"])
    return [
        ("data", f"{name}: {len(data.X):,} samples to train on{held_out}, {_shape(net)}"),
        ("network", describe(net)),
        ("training", f"{args.epochs} epochs, batches of {args.batch_size}, learning rate "
                     f"{args.learning_rate:g}, momentum {args.momentum:g}, seed {args.seed}"),
        ("machine", f"{machine['isa']}, up to {_threads(n_threads)}")]


def train_footer(args, history):
    """The rows below the epochs, but for the score."""
    rows = [("time", f"{sum(history.seconds):.2f} s"),
            ("speed", f"{history.samples_per_second:,.0f} samples/s, {history.gflops:.1f} GFLOP/s"),
            ("machine", f"{history.isa}, {_threads(history.n_threads)}")]
    return rows + ([("saved", args.save)] if args.save else [])


def train_result(args, name, net, data, history, score):
    """All of it as one dict."""
    return {
        "data": name, "n_samples": len(data.X), "n_held_out": 0 if data.X_test is None else len(data.X_test),
        "sizes": net.sizes, "activations": net.activations, "loss": net.loss, "dtype": str(net.dtype),
        "classes": None if net.classes_ is None else net.classes_.tolist(), "n_params": net.n_params,
        "epochs": history.n_epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate,
        "momentum": args.momentum, "seed": args.seed, "score": score._asdict(), "saved": args.save,
        "seconds": sum(history.seconds), "samples_per_second": history.samples_per_second,
        "gflops": history.gflops, "n_threads": history.n_threads, "isa": history.isa,
        "history": {name: getattr(history, name) for name in HISTORY}}


def _shape(net):
    """What goes in and comes out; a network that tells two classes apart does so with one output."""
    n_in, n_out = net.sizes[0], net.sizes[-1]
    if net.metric_name == "accuracy":
        return f"{n_in:,} features, {max(2, n_out):,} classes"
    return f"{n_in:,} features, {n_out:,} value{'s' * (n_out != 1)}"


@contextmanager
def epoch_rows(epochs, metric, is_validated):
    """Give a callback for `fit` that prints a row an epoch, above a bar if there is tqdm and a terminal."""
    metric_width = max(9, len("val " + metric) if is_validated else 0)
    width = max(5, 2 * len(str(epochs)) + 1)
    heads = [f"{'epoch':>{width}}", f"{'loss':>9}", f"{_name(metric):>9}"]
    if is_validated:
        heads += [f"{'val loss':>9}", f"{'val ' + _name(metric):>{metric_width}}"]
    bar = open_bar(epochs)
    show = _print_at_once if bar is None else bar.write
    show("\n" + "  ".join(heads))

    def row(net, history):
        cells = [f"{f'{len(history.loss)}/{epochs}':>{width}}", f"{_loss(history.loss[-1]):>9}",
                 f"{_measured(metric, history.metric[-1]):>9}"]
        if is_validated:
            cells += [f"{_loss(history.val_loss[-1]):>9}",
                      f"{_measured(metric, history.val_metric[-1]):>{metric_width}}"]
        show("  ".join(cells))
        if bar is not None:
            bar.update()

    with nullcontext() if bar is None else bar:
        yield row
    print()


def _threads(n):
    return "1 thread" if n == 1 else f"{n} threads"


def _print_at_once(line):
    print(line, flush=True)


def _name(metric):
    return METRIC_NAMES.get(metric, metric)


def _measured(metric, value):
    return f"{100 * value:.2f} %" if metric == "accuracy" else f"{value:.4f}"


def _loss(value):
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
