"""What `fit` is asked for: its arguments, read and checked before anything changes."""

from dataclasses import dataclass

from fastbp import _validate, full_batch
from fastbp.callbacks import read_callbacks
from fastbp.checkpoint import Checkpoint
from fastbp.lbfgs import LBFGS
from fastbp.optimizers import read_optimizer
from fastbp.reports import ProgressBar
from fastbp.sources import Arrays, Stream, is_stream
from fastbp.training import Data


@dataclass(frozen=True)
class Plan:
    """How to train."""

    epochs: int
    batch_size: int
    optimizer: object
    shuffle: bool
    callbacks: list             #: all but the checkpoints, which are written after them
    checkpoints: list
    n_threads: int | None
    health: bool


def read_plan(net, epochs, batch_size, optimizer, shuffle, callbacks, n_threads, verbose, health):
    """The settings of a fit."""
    epochs, batch_size = _validate.positive_int("epochs", epochs), _validate.positive_int("batch_size", batch_size)
    given = _validate.sequence("callbacks", callbacks, "callables taking (net, history)")
    checkpoints = [callback for callback in given if isinstance(callback, Checkpoint)]
    callbacks = read_callbacks(callback for callback in given if not isinstance(callback, Checkpoint))
    if _validate.count("verbose", verbose):
        callbacks.insert(0, ProgressBar())
    plan = Plan(epochs, batch_size, read_optimizer(optimizer), _validate.flag("shuffle", shuffle), callbacks, checkpoints,
                n_threads, _validate.flag("health", health))
    if isinstance(plan.optimizer, LBFGS):
        full_batch.check(net, plan.health)
    return plan


def read_source(net, plan, X, y, sample_weight, class_weight, classes, rows):
    """The samples, and the classes that their labels stand for."""
    if not is_stream(X, y):
        return _read_arrays(net, plan, X, y, sample_weight, class_weight, classes, rows)
    if rows is not None:
        raise ValueError("rows must be None for chunks; let each hold what is to be trained on")
    if sample_weight is not None:
        raise ValueError("sample_weight must be None for chunks; let each be a triple (X, y, sample_weight)")
    if isinstance(class_weight, str):
        raise ValueError(f"class_weight must be a dict or None for chunks, not {class_weight!r}: nobody has seen all labels")
    if isinstance(plan.optimizer, LBFGS):
        raise ValueError("LBFGS needs all samples at once, as arrays, not in chunks")
    found = [classes]

    def read(called, X, y, sample_weight=None):
        data, found[0] = net._read_samples(X, y, sample_weight, class_weight, found[0], called)
        return data

    return Stream(X, plan.epochs, read), found[0]


def _read_arrays(net, plan, X, y, sample_weight, class_weight, classes, rows):
    if rows is None:
        data, classes = net._read_samples(X, y, sample_weight, class_weight, classes)
        return Arrays(data), classes
    X = _validate.rows("X", X, net.sizes[0], net.dtype)
    rows = _validate.places("rows", rows, len(X))
    data, classes = net._read_samples(X, y, sample_weight, class_weight, classes, rows=rows)
    if isinstance(plan.optimizer, LBFGS):               # which goes through all that there is
        return Arrays(Data(*(None if array is None else array[rows] for array in data))), classes
    return Arrays(data, rows), classes


def read_validation(net, given, classes):
    """The validation data, or None."""
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(f"validation_data must be a pair (X, y), or (X, y, sample_weight), not {type(given).__name__}")
    X = _validate.rows("validation_data X", given[0], net.sizes[0], net.dtype)
    _validate.some_samples("validation_data X", X)
    return net._encode(X, given[1], given[2] if len(given) == 3 else None, None, classes, "validation_data {}")
