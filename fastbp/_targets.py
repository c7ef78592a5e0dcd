"""Between the targets that a user has and those that the core reads: labels of any kind, numbers, and back."""

import numpy as np

from fastbp import _validate


def find_classes(y, loss, n_out, name="y"):
    """The classes that labels y stand for, sorted; None where targets are no labels.

    Integers that all lie in 0..n_out-1 stand for themselves, so that a part of the data that lacks a class still fits.
    """
    if not are_labels(y, loss, n_out, name):
        return None
    n_classes = 2 if loss.targets == "binary" else n_out
    y = _label_array(name, y)
    if y.dtype.kind in "iuf" and y.size and y.min() >= 0 and y.max() < n_classes:
        return np.arange(n_classes)
    classes = np.unique(y)
    if len(classes) != n_classes:
        shown = ", ".join(map(repr, classes[:8].tolist())) + (", ..." if len(classes) > 8 else "")
        raise ValueError(f"{name} has {len(classes)} distinct labels ({shown}); this network tells {n_classes} apart")
    return classes


def told_classes(told, known, loss, n_out):
    """The classes that the user told of, which must be those that are known already."""
    if loss.targets == "values" or loss.targets == "binary" and n_out > 1:
        raise ValueError(f"classes must be None for {loss.name} with {n_out} outputs, which has no labels")
    classes = find_classes(told, loss, n_out, "classes")
    if known is not None and not np.array_equal(classes, known):
        raise ValueError(f"classes must stay {known.tolist()}, those of the first fit; not {np.asarray(told).tolist()}")
    return classes


def are_labels(y, loss, n_out, name="y"):
    """Whether y holds labels under this loss: always for "labels"; for "binary" with one output, if whole."""
    if loss.targets == "binary":
        y = _validate.array(name, y)
        one_column = n_out == 1 and (y.ndim == 1 or y.ndim == 2 and y.shape[1] == 1)
        return one_column and not (y.dtype.kind == "f" and np.any(y != np.floor(y)))
    return loss.targets == "labels"


def encode(y, loss, n_out, classes, dtype, name="y"):
    """Targets as the core reads them: int64 class numbers (n,), or numbers (n, n_out) of `dtype`."""
    if classes is not None and len(classes) != max(2, n_out):
        raise ValueError(f"classes_ must be {max(2, n_out)} labels for {n_out} outputs, not {len(classes)}")
    if loss.targets == "labels":
        return _class_numbers(_label_array(name, y), classes, name)
    if classes is not None and are_labels(y, loss, n_out, name):
        return _class_numbers(_label_array(name, y), classes, name).astype(dtype)[:, None]
    values = _validate.array(name, y)
    if values.ndim == 1 and n_out == 1:
        values = values[:, None]
    values = _validate.matrix(name, values, (None, n_out), dtype)
    _validate.finite(name, values)
    if loss.targets == "binary" and values.size and not (0 <= values.min() and values.max() <= 1):
        row = np.argwhere((values < 0) | (values > 1))[0][0]
        raise ValueError(f"{name} must lie in [0, 1] for {loss.name}; row {row} is {values[row].tolist()}")
    return values


def _label_array(name, y):
    """Labels (n,): integers, booleans, strings, or floats that are whole."""
    y = _validate.array(name, y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"{name} must hold one label a sample, shape (n_samples,), not {y.shape}")
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y):
        return y.astype(str)
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        _validate.finite(name, y)
        if np.any(y != np.floor(y)):
            raise ValueError(f"{name} must hold labels; row {np.argmax(y != np.floor(y))} is {y[y != np.floor(y)][0]:g}")
        return y.astype(np.int64) if np.all(np.abs(y) < 2**53) else y
    if y.dtype.kind not in "biuUS":
        raise TypeError(f"{name} must hold labels (integers or strings), not {y.dtype}")
    return y


def _class_numbers(y, classes, name):
    """Place of each label in the sorted `classes`."""
    if (y.dtype.kind in "US") != (classes.dtype.kind in "US"):
        raise ValueError(f"{name} holds {y.dtype} labels, the network's classes_ are {classes.dtype}")
    with np.errstate(invalid="ignore"):         # a float that is no int64 is no class either
        same = y if y.dtype.kind in "US" else y.astype(classes.dtype)   # a search in two dtypes goes through float64
    place = np.searchsorted(classes, same)
    known = (classes[np.minimum(place, len(classes) - 1)] == same) & (same == y)
    if not np.all(known):
        row = int(np.argmin(known))
        shown = ", ".join(map(repr, classes[:12].tolist())) + (", ..." if len(classes) > 12 else "")
        raise ValueError(f"{name} row {row} is {y[row].item()!r}, which is no class of this network: {shown}")
    return place.astype(np.int64)


def total_sum_of_squares(values):
    """Sum of (y - mean)^2 over all outputs: the denominator of R^2."""
    blocks = [values[i:i + 8192] for i in range(0, len(values), 8192)]       # y may be as large as X: no copy of it
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / len(values)
    return float(sum(((block - mean) ** 2).sum() for block in blocks))
