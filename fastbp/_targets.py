"""Between the targets that a user has and those that the core reads: labels of any kind, numbers, and how much each counts."""

import numpy as np

from fastbp import _validate

ALL = slice(None)       # of the rows


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
    if loss.targets not in ("labels", "binary") or loss.targets == "binary" and n_out > 1:
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
    """Targets as the core reads them: int64 class numbers (n,), or numbers of `dtype`, (n, n_out) or a user's (n, any)."""
    if classes is not None and len(classes) != max(2, n_out):
        raise ValueError(f"classes_ must be {max(2, n_out)} labels for {n_out} outputs, not {len(classes)}")
    if loss.targets == "labels":
        return _class_numbers(_label_array(name, y), classes, name)
    if classes is not None and are_labels(y, loss, n_out, name):
        return _class_numbers(_label_array(name, y), classes, name).astype(dtype)[:, None]
    values = _validate.array(name, y)
    if values.ndim == 1 and (n_out == 1 or loss.targets == "custom" or _serves_all_outputs(loss)):
        values = values[:, None]
    n_columns = None if loss.targets == "custom" else n_out
    if _serves_all_outputs(loss) and values.ndim == 2 and values.shape[1] == 1:
        values = np.broadcast_to(values, (len(values), n_out))
    values = _validate.matrix(name, values, (None, n_columns), dtype)
    if loss.targets != "custom":
        _check_domain(name, values, loss)
    return values


def _serves_all_outputs(loss):
    """Whether one column of targets is meant for every output, as where these are quantiles of it."""
    return len(getattr(loss, "levels", ())) > 1


def _check_domain(name, values, loss):
    """Numbers that the loss is defined for. A NaN leaves an output of a sample out where others are left."""
    unusable = ~np.isfinite(values)
    if loss.targets != "binary" and unusable.any():
        missing = np.isnan(values)
        unusable &= ~missing | missing.all(axis=1, keepdims=True)
    if unusable.any():
        row = int(np.argwhere(unusable)[0][0])
        hint = ": NaN leaves an output out, but none is left" if np.isnan(values[row]).all() and loss.targets != "binary" else ""
        raise ValueError(f"{name} must be finite; row {row} is not{hint}")
    if loss.targets == "counts":
        _refuse_rows(name, values, values < 0, f"be at least 0 for {loss.name}")
    elif loss.targets == "binary" and loss.link == "sigmoid":
        _refuse_rows(name, values, (values < 0) | (values > 1), f"lie in [0, 1] for {loss.name}")
    elif loss.targets == "binary":
        _refuse_rows(name, values, (values != 0) & (values != 1), f"be 0 or 1 for {loss.name}")


def _refuse_rows(name, values, bad, wanted):
    if bad.any():
        row = np.argwhere(bad)[0][0]
        raise ValueError(f"{name} must {wanted}; row {row} is {values[row].tolist()}")


def weights_of(sample_weight, class_weight, y, classes, loss, name="sample_weight", rows=ALL):
    """What each sample counts.

    Parameters
    ----------
    sample_weight : array_like (n_samples,) or None
        Finite, not negative, not all 0 unless these are not all samples.
    class_weight : dict, "balanced" or None
        By label, 1 for those that it lacks; or n_samples / (classes there are * samples of the class).
    y : ndarray
        Targets as `encode` returned them.
    classes : ndarray or None
        The labels that they stand for.
    loss : Loss
        A Python function returns the mean loss of a batch, which cannot be weighted afterwards.
    name : str, default "sample_weight"
        For messages; another one means that these are not all samples.
    rows : ndarray, optional
        Places of the samples that are trained on; "balanced" counts these.

    Returns
    -------
    ndarray (n_samples,) of float64, or None where every sample counts 1
    """
    if sample_weight is None and class_weight is None:
        return None
    if loss.targets == "custom" and callable(loss.function):
        raise ValueError("sample_weight and class_weight must be None for a Python function as loss, which weights its own mean; "
                         "pass the weights to it as a column of y")
    weights = np.ones(len(y)) if sample_weight is None else sample_weights(name, sample_weight, len(y))
    if class_weight is not None:
        if classes is None:
            raise ValueError("class_weight must be None where y is no labels, one a sample")
        places = y.reshape(len(y)).astype(np.int64)
        weights = weights * _class_weights(class_weight, places[rows], classes)[places]
    if len(y) and name == "sample_weight" and not weights[rows].any():
        raise ValueError("sample_weight and class_weight must leave a sample that counts more than 0")
    return weights


def sample_weights(name, sample_weight, n_samples):
    """As float64, checked one by one."""
    weights = _validate.matrix(name, sample_weight, (None,), np.float64)
    _validate.same_length(name, weights, n_samples)
    _validate.finite(name, weights)
    if weights.min(initial=0) < 0:
        row = int(np.argmax(weights < 0))
        raise ValueError(f"{name} must be at least 0; row {row} is {weights[row]:g}")
    return weights


def _class_weights(class_weight, places, classes):
    """A weight for each class."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(places, minlength=len(classes))
        return len(places) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight must be a dict of label to weight, 'balanced' or None, not {class_weight!r}")
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in labels]
    if unknown:
        shown = ", ".join(map(repr, labels[:12])) + (", ..." if len(labels) > 12 else "")
        raise ValueError(f"class_weight has {unknown[0]!r}, which is no class of this network: {shown}")
    return np.array([_validate.number(f"class_weight of {label!r}", class_weight.get(label, 1), at_least=0) for label in labels])


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
    same = y
    if y.dtype.kind not in "US" and y.dtype != classes.dtype:           # a search in two dtypes goes through float64
        with np.errstate(invalid="ignore"):                             # a float that is no int64 is no class either
            same = y.astype(classes.dtype)
    place = np.searchsorted(classes, same)
    known = (classes[np.minimum(place, len(classes) - 1)] == same) & (same == y)
    if not np.all(known):
        row = int(np.argmin(known))
        shown = ", ".join(map(repr, classes[:12].tolist())) + (", ..." if len(classes) > 12 else "")
        raise ValueError(f"{name} row {row} is {y[row].item()!r}, which is no class of this network: {shown}")
    return place.astype(np.int64)


def total_sum_of_squares(values):
    """Sum of (y - mean)^2 over all outputs: the denominator of R^2. NaN is left out."""
    def blocks():
        for part in (values[i:i + 8192] for i in range(0, len(values), 8192)):     # y may be as large as X: no copy of it
            known = ~np.isnan(part)
            yield np.where(known, part, 0).astype(np.float64), known
    counts = sum(known.sum(axis=0) for _, known in blocks())
    mean = sum(y.sum(axis=0) for y, _ in blocks()) / np.maximum(counts, 1)
    return float(sum((known * (y - mean) ** 2).sum() for y, known in blocks()))
