"""The only place that converts, copies or rejects what a user passed. Below it everything is trusted (contract 4).

Every error names the argument, what came, and what is accepted.
"""

import inspect
import itertools
import numbers
import operator
import os
from collections.abc import Callable, Collection, Sized
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_CPU = 1        # DLPack's kDLCPU


def number(name: str, value: object, *, above: float | None = None, at_least: float | None = None, below: float | None = None,
           at_most: float | None = None) -> float:
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


def positive_int(name: str, value: Any) -> int:
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


def one_of(name: str, value: object, names: Collection[str]) -> str:
    """A name that is in the list."""
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; not {value!r}")
    return value


def dtype(name: str, value: DTypeLike) -> str:
    """"float32" or "float64", of any of NumPy's spellings."""
    return one_of(name, getattr(value, "__name__", None) or str(value), ("float32", "float64"))


def count(name: str, value: Any) -> int:
    """An integer, 0 or more; a bool counts as 0 or 1."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    try:
        return positive_int(name, value) if value != 0 else 0
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be 0 or a positive integer, not {value!r}") from None


def seed(value: object) -> int:
    """An integer of 64 bits."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
        raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, or None, not {value!r}")
    return int(value)


def seed_or_fresh(value: object) -> int:
    """The same, or for None one that nobody knows beforehand."""
    return int.from_bytes(os.urandom(8), "little") >> 1 if value is None else seed(value)


def sequence(name: str, value: Any, what: str) -> Any:
    """A list, tuple or array."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(f"{name} must be a list or tuple of {what}, not {value!r}")
    return value


def path(name: str, value: Any) -> str:
    """A path, as str."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name} must be a path, not {value!r}") from None


def flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def takes(function: Callable[..., object], *arguments: object, **named: object) -> bool:
    """Whether a function of the user's can be called so; one that does not tell cannot."""
    try:
        inspect.signature(function).bind(*arguments, **named)
    except (TypeError, ValueError):
        return False
    return True


def array(name: str, value: Any) -> NDArray[Any]:
    """A plain NumPy array of it, without a copy where NumPy needs none: of whatever lends its memory by the buffer protocol,
    DLPack or `__array__`, as of lists."""
    if value is None:
        raise TypeError(f"{name} must be an array, not None")
    if hasattr(value, "todense") or hasattr(value, "toarray"):
        raise TypeError(f"{name} must be a dense array, not {type(value).__name__}; call its toarray()")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, not a masked one; fill it first")
    _refuse_foreign(name, value)
    try:
        by_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
        return np.from_dlpack(value) if by_dlpack else np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} cannot be made an array: {error}") from error


def _refuse_foreign(name, value):
    """What arrays of other libraries may have that no NumPy array has: nulls, a gradient to follow, another device."""
    if isinstance(value, np.ndarray):
        return
    n_nulls = getattr(value, "null_count", 0)       # pyarrow's; a method elsewhere
    if isinstance(n_nulls, int) and n_nulls > 0:
        raise TypeError(f"{name} must have no nulls, not {n_nulls}; fill or drop them first")
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(f"{name} must not require a gradient, since autograd does not see what fastbp does; detach() it")
    if _is_elsewhere(value):
        raise TypeError(f"{name} must be in the CPU's memory, not on {getattr(value, 'device', 'another device')}; copy it there "
                        "first, as torch's cpu() does")


def _is_elsewhere(value):
    """Whether an object says by DLPack that its memory is another device's."""
    try:
        return hasattr(value, "__dlpack_device__") and value.__dlpack_device__()[0] != _CPU
    except Exception:       # one that DLPack has no number for, or a dtype: NumPy will say what is wrong with it
        return False


def _numeric(name, x):
    if x.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, not {x.dtype}")


def _converted(x, dtype):
    """x as an aligned C-contiguous array of `dtype`; what is too large for it becomes infinite, and that is found later
    where it matters, by name."""
    with np.errstate(over="ignore"):
        return np.require(x, dtype=dtype, requirements=["C", "A"])


def rows(name: str, value: object, n_columns: int, dtype: DTypeLike) -> NDArray[Any]:
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


def matrix(name: str, value: object, shape: tuple[int | None, ...], dtype: DTypeLike) -> NDArray[Any]:
    """A C-contiguous array of this shape and dtype, copied only if it is another; None in shape takes any length."""
    x = array(name, value)
    _numeric(name, x)
    if x.ndim != len(shape) or any(want is not None and have != want for have, want in zip(x.shape, shape)):
        wanted = "(" + ", ".join("n" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}, not {x.shape}")
    return _converted(x, dtype)


def output(name: str, value: object, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to write into: exactly this shape and dtype, C-contiguous, writable. Never a copy: NumPy's own, or the memory
    that an object lends by DLPack or the buffer protocol."""
    if value is None:
        return np.empty(shape, dtype)
    x = _lent(name, value)
    if x is None or x.shape != tuple(shape) or x.dtype != dtype or not x.flags.carray:
        raise ValueError(f"{name} must be a writable C-contiguous {np.dtype(dtype)} array of shape {tuple(shape)}, not "
                         f"{_described(value, x)}")
    return x


def in_place(name: str, value: object) -> NDArray[Any]:
    """An array to update where it stands: float32 or float64, C-contiguous, writable, of any shape."""
    x = _lent(name, value)
    if x is None or x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be a float32 or float64 array, not {_described(value, x)}")
    return output(name, x, x.shape, x.dtype)


def _lent(name, value):
    """The very memory of a value as an array; None if it lends none."""
    if isinstance(value, np.ndarray):
        return value
    _refuse_foreign(name, value)
    try:
        return np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(memoryview(value))
    except (TypeError, ValueError, BufferError, RuntimeError):
        return None


def _described(value, x):
    """An array that will not do, in words."""
    if x is None:
        return type(value).__name__
    return f"{'' if x.flags.writeable else 'read-only '}{x.dtype} {x.shape}"


def apart(**outputs: NDArray[Any]) -> None:
    """Outputs that share no memory with each other."""
    for (name, array), (other, another) in itertools.combinations(outputs.items(), 2):
        if np.may_share_memory(array, another):
            raise ValueError(f"{name} must not overlap {other} in memory")


def same_length(name: str, y: Sized, n_samples: int) -> None:
    if len(y) != n_samples:
        raise ValueError(f"{name} must have one entry a sample: X has {n_samples} samples, {name} has {len(y)}")


def places(name, value, n_samples):
    """Places of samples, in any order and with repeats, as int64."""
    x = array(name, value)
    if x.dtype.kind not in "iu" or x.ndim != 1 or len(x) == 0:
        hint = "; of a mask take np.flatnonzero" if x.dtype.kind == "b" else ""
        raise ValueError(f"{name} must be one integer or more, the places of samples, not {x.dtype} {x.shape}{hint}")
    if x.min() < 0 or x.max() >= n_samples:
        bad = x.min() if x.min() < 0 else x.max()
        raise ValueError(f"{name} must lie in 0..{n_samples - 1}, since X has {n_samples} samples; it has {bad}")
    return np.ascontiguousarray(x, np.int64)


def some_samples(name: str, X: Sized) -> None:
    if len(X) == 0:
        raise ValueError(f"{name} must have at least one sample, not 0")


def finite(name: str, x: NDArray[Any]) -> None:
    """Numbers without NaN or infinity; the first bad row is named."""
    bad = ~np.isfinite(x)
    if bad.any():
        row = np.argwhere(bad)[0][0]
        raise ValueError(f"{name} must be finite; row {row} is not")
