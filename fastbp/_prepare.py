"""From the arrays of a table to those that `Network` takes: scaled, labels told from values, a part held out.

Nothing is learned from the data here: a rule looks at a dtype alone, and `predict` repeats what `train` did.
"""
import numpy as np

from fastbp.datasets import DIGITS_WHITE, load_digits
from fastbp.losses import LOSSES
from fastbp.tables import Table

EXACT_WHOLE_NUMBERS = 2**53  # float64 holds every whole number up to here


def digits(dtype):
    """The embedded digits, from 0 (black) to 1 (white)."""
    X, y = load_digits()
    return Table(np.divide(X, DIGITS_WHITE, dtype=dtype), y)


def as_features(X, dtype):
    """X (B, I): samples flattened, uint8 divided by 255 into `dtype`, anything else as and where it is."""
    X = X.reshape(len(X), -1)
    return np.divide(X, 255, dtype=dtype) if X.dtype == np.uint8 else X


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
    return "softmax_cross_entropy" if y.ndim == 1 and y.dtype.kind != "f" else "squared_error"


def n_outputs(y, loss):
    """How many outputs a network needs to learn y under `loss`."""
    if LOSSES[loss].targets != "labels":
        return 1 if y.ndim == 1 else y.shape[1]
    labels = np.unique(y)
    if len(labels) < 2:
        raise ValueError(f"--loss {loss} tells labels apart, and y holds only {labels[0]}")
    return len(labels)


def hold_out(data, fraction, seed):
    """Split off a fraction of the samples, drawn by `seed`; 0 leaves X where it is and copies nothing."""
    if fraction == 0:
        return data
    n_samples = len(data.X)
    n_held_out = round(fraction * n_samples)
    if not 0 < n_held_out < n_samples:
        raise ValueError(f"--validation {fraction:g} of {n_samples} samples leaves {n_held_out} to hold out and "
                         f"{n_samples - n_held_out} to train on; give more samples or another fraction")
    order = np.random.default_rng(seed).permutation(n_samples)
    held_out, rest = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])  # sorted: read as the file lies
    return Table(data.X[rest], data.y[rest], data.X[held_out], data.y[held_out])


def check_target(y, loss):
    """Refuse strings where `loss` calculates with y."""
    if y.dtype.kind == "U" and (LOSSES[loss].targets not in ("labels", "binary") or y.ndim == 2):
        raise ValueError(f"{loss} needs numbers, and y holds strings such as {y.flat[0]}")


def check_labels(y, y_test, loss):
    """Refuse labels to test on that there are none of to learn from."""
    if LOSSES[loss].targets in ("labels", "binary") and y.ndim == 1 and y.dtype.kind != "f":
        unknown = np.setdiff1d(y_test, y)
        if unknown.size:
            raise ValueError(f"label {unknown[0]} is held out and not among the samples to train on")
