"""The only place that converts, copies or rejects what a user passed. Below it everything is trusted (contract 4).

Every error names the argument, what came, and what is accepted.
"""

import itertools
import numbers
import operator
import os

import numpy as np


def number(name, value, *, above=None, at_least=None, below=None, at_most=None):
    """A finite real number within its bounds, as float."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        value = float(value)
    except OverflowError:
        value = np.inf
    bounds = [("greater than", above, operator.gt), ("at least", at_least, operator.ge), ("less than", below, operator.lt),
              ("at most", at_most, operator.le)]
    wanted = [f"{words} {bound:g}" for words, bound, _ in bounds if bound is not None]
    if not np.isfinite(value) or not all(test(value, bound) for _, bound, test in bounds if bound is not None):
        raise ValueError(f"{name} must be finite{''.join(' and ' + words for words in wanted)}, not {value:g}")
    return value


def positive_int(name, value):
    """An integer, 1 or more."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        integer = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer of at least 1, not {value!r}") from None
    if integer < 1:
        raise ValueError(f"{name} must be at least 1, not {integer}")
    return integer


def one_of(name, value, names):
    """A name that is in the list."""
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; not {value!r}")
    return value


def count(name, value):
    """An integer, 0 or more; a bool counts as 0 or 1."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    try:
        return positive_int(name, value) if value != 0 else 0
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be 0 or a positive integer, not {value!r}") from None


def seed(value):
    """An integer of 64 bits."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
        raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, or None, not {value!r}")
    return int(value)


def sequence(name, value, what):
    """A list, tuple or array."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(f"{name} must be a list or tuple of {what}, not {value!r}")
    return value


def path(name, value):
    """A path, as str."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name} must be a path, not {value!r}") from None


def flag(name, value):
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def array(name, value):
    """A plain NumPy array of it, without a copy where NumPy needs none."""
    if value is None:
        raise TypeError(f"{name} must be an array, not None")
    if hasattr(value, "todense") or hasattr(value, "toarray"):
        raise TypeError(f"{name} must be a dense array, not {type(value).__name__}; call its toarray()")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, not a masked one; fill it first")
    try:
        return np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} cannot be made an array: {error}") from error


def _numeric(name, x):
    if x.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, not {x.dtype}")


def _converted(x, dtype):
    """x as an aligned C-contiguous array of `dtype`; what is too large for it becomes infinite, and that is found later
    where it matters, by name."""
    with np.errstate(over="ignore"):
        return np.require(x, dtype=dtype, requirements=["C", "A"])


def rows(name, value, n_columns, dtype):
    """Samples (n, n_columns) as the core reads them: float32 or float64, aligned, each row contiguous.

    Such an array is used where it stands, read-only or memory-mapped, whatever the distance between its rows; any other
    is converted to `dtype`, once.
    """
    x = array(name, value)
    _numeric(name, x)
    if x.ndim != 2:
        hint = f"; reshape one sample to (1, {x.size})" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have two dimensions (n_samples, {n_columns}), not shape {x.shape}{hint}")
    if x.shape[1] != n_columns:
        raise ValueError(f"{name} must have {n_columns} columns, one for each input; it has {x.shape[1]}")
    if x.dtype not in (np.float32, np.float64) or not x.dtype.isnative:
        return _converted(x, dtype)
    if not x.flags.aligned or x.strides[1] != x.itemsize:
        return np.array(x, order="C")
    return x


def matrix(name, value, shape, dtype):
    """A C-contiguous array of this shape and dtype, copied only if it is another; None in shape takes any length."""
    x = array(name, value)
    _numeric(name, x)
    if x.ndim != len(shape) or any(want is not None and have != want for have, want in zip(x.shape, shape)):
        wanted = "(" + ", ".join("n" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}, not {x.shape}")
    return _converted(x, dtype)


def output(name, value, shape, dtype):
    """An array to write into: exactly this shape and dtype, C-contiguous, writable. Never a copy."""
    if value is None:
        return np.empty(shape, dtype)
    good = isinstance(value, np.ndarray) and value.shape == tuple(shape) and value.dtype == dtype
    if not good or not value.flags.carray:
        came = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} must be a writable C-contiguous {np.dtype(dtype)} array of shape {tuple(shape)}, not {came}")
    return value


def apart(**outputs):
    """Outputs that share no memory with each other."""
    for (name, array), (other, another) in itertools.combinations(outputs.items(), 2):
        if np.may_share_memory(array, another):
            raise ValueError(f"{name} must not overlap {other} in memory")


def same_length(name, y, n_samples):
    if len(y) != n_samples:
        raise ValueError(f"{name} must have one entry a sample: X has {n_samples} samples, {name} has {len(y)}")


def some_samples(name, X):
    if len(X) == 0:
        raise ValueError(f"{name} must have at least one sample, not 0")


def finite(name, x):
    """Numbers without NaN or infinity; the first bad row is named."""
    bad = ~np.isfinite(x)
    if bad.any():
        row = np.argwhere(bad)[0][0]
        raise ValueError(f"{name} must be finite; row {row} is not")
