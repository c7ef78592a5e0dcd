"""From the arrays of a table to those that `Network` takes: scaled, labels told from values, a part held out.

Nothing is learned from the data here: a rule looks at a dtype alone, and `predict` repeats what `train` did.
"""
import numpy as np

from fastbp.datasets import DIGITS_WHITE, load_digits
from fastbp.tables import Table

EXACT_WHOLE_NUMBERS = 2**53    # float64 holds every whole number up to here
VALUE_LOSS = "squared_error"   # fits values; every other loss tells labels apart


def digits(dtype):
    """The embedded digits, from 0 (black) to 1 (white)."""
    X, y = load_digits()
    return Table(np.divide(X, DIGITS_WHITE, dtype=dtype), y)


def as_features(X, dtype):
    """X as a network takes it, (B, I) of `dtype`: samples flattened, uint8 divided by 255."""
    X = X.reshape(len(X), -1)
    if X.dtype == np.uint8:
        return np.divide(X, 255, dtype=dtype)
    return _cast("X", X, dtype)


def as_target(y):
    """y with a dtype that tells labels (integers, strings) from values (float64): 3.0 is a label, 3.5 not."""
    if y.dtype.kind == "b":
        return y.astype(np.int64)
    if y.dtype.kind != "f":
        return y.astype(str) if y.dtype.kind == "S" else y
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError(f"y must be finite, and y of sample {np.argwhere(~np.isfinite(y))[0, 0]} is not")
    are_labels = y.ndim == 1 and np.all(np.abs(y) <= EXACT_WHOLE_NUMBERS) and np.all(y == np.rint(y))
    return y.astype(np.int64) if are_labels else y


def natural_loss(y):
    """The loss for a y of `as_target`."""
    return "softmax_cross_entropy" if y.ndim == 1 and y.dtype.kind != "f" else VALUE_LOSS


def n_outputs(y, loss):
    """How many outputs a network needs to learn y under `loss`."""
    if y.ndim == 2:
        return y.shape[1]
    return len(np.unique(y)) if loss == "softmax_cross_entropy" else 1


def hold_out(X, y, fraction, seed):
    """Split off a fraction of the samples, drawn by `seed`; 0 leaves X where it is and copies nothing."""
    if fraction == 0:
        return Table(X, y)
    n_held_out = round(fraction * len(X))
    if not 0 < n_held_out < len(X):
        raise ValueError(f"--validation {fraction:g} of {len(X)} samples leaves {n_held_out} to hold out and "
                         f"{len(X) - n_held_out} to train on; give more samples or another fraction")
    order = np.random.default_rng(seed).permutation(len(X))
    held_out, rest = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])  # sorted: read as the file lies
    return Table(X[rest], y[rest], X[held_out], y[held_out])


def for_training(data, loss, dtype):
    """The Table that `fit` takes, from one whose y and y_test are of `as_target`."""
    X, y = as_features(data.X, dtype), _learnable(data.y, loss, dtype)
    if loss != VALUE_LOSS and y.ndim == 1 and len(np.unique(y)) < 2:
        raise ValueError(f"--loss {loss} tells labels apart, and y holds only {y[0]}")
    if data.X_test is None:
        return Table(X, y)
    y_test = _learnable(data.y_test, loss, dtype)
    if loss != VALUE_LOSS and y.ndim == 1 and (unknown := np.setdiff1d(y_test, y)).size:
        raise ValueError(f"label {unknown[0]} is held out and not among the samples to train on")
    return Table(X, y, as_features(data.X_test, dtype), y_test)


def for_scoring(y, net):
    """y as the predictions of a network are: labels of the kind of its classes, or values."""
    y = as_target(y)
    if net.classes_ is None:
        return _learnable(y, VALUE_LOSS, net.dtype)
    if net.classes_.dtype.kind == "U":
        return y.astype(str)
    if y.dtype.kind == "U" or y.dtype.kind == "f" or y.ndim != 1:
        raise ValueError(f"the model predicts labels such as {net.classes_[0]}, and y holds {y.flat[0]}")
    return y


def _learnable(y, loss, dtype):
    if loss != VALUE_LOSS and y.ndim == 1:
        if y.dtype.kind == "f":
            raise ValueError(f"--loss {loss} tells labels apart, and y holds numbers such as {y[0]:g}")
        return y
    if y.dtype.kind == "U":
        raise ValueError(f"--loss {loss} needs numbers, and y holds strings such as {y.flat[0]}")
    return _cast("y", y, dtype)


def _cast(name, array, dtype):
    """The array as `dtype`, itself if it is that already; NumPy would make infinities of what does not fit."""
    try:
        with np.errstate(over="raise"):
            return np.asarray(array, dtype=dtype)
    except FloatingPointError:
        raise ValueError(f"{name} holds a number that is too large for {dtype}") from None
