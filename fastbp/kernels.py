"""The kernels by themselves: arrays in, NumPy out, for those who have a training loop of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import _threads, _validate
from fastbp._dispatch import core
from fastbp._typing import Array, ArrayLike, Place
from fastbp.activations import ACTIVATIONS
from fastbp.optimizers import SGD


def dense_forward(X: ArrayLike, W: ArrayLike, b: ArrayLike, activation: str = "identity", *, z: Place | None = None,
                  out: Place | None = None, n_threads: int | None = None) -> Array:
    """a = f(X W + b), in one pass.

    Parameters
    ----------
    X : array_like (n_samples, n_in)
    W : array_like (n_in, n_out)
        Its dtype, float32 or float64, is the dtype of the computation.
    b : array_like (n_out,)
    activation : str, default "identity"
    z : ndarray (n_samples, n_out), optional
        Takes X W + b, which `dense_backward` needs.
    out : ndarray (n_samples, n_out), optional
        Takes the result. Like `z`, any C-contiguous memory of W's dtype that may be written: also a tensor or a buffer.
    n_threads : int, optional
        At most so many threads; default: as many as the work is worth.

    Returns
    -------
    ndarray (n_samples, n_out)

    Raises
    ------
    TypeError, ValueError
        If an array is of another kind or shape, or outputs overlap.
    """
    W, X, dtype = _layer(W, X)
    b = _validate.matrix("b", b, (W.shape[1],), dtype)
    code = ACTIVATIONS[_validate.one_of("activation", activation, ACTIVATIONS)]
    shape = len(X), W.shape[1]
    z, out = _validate.output("z", z, shape, dtype), _validate.output("out", out, shape, dtype)
    _validate.apart(z=z, out=out)
    if len(X):
        threads = _threads.choose(n_threads, 2 * X.size * W.shape[1], core(dtype.name).openmp()[1])
        core(dtype.name).dense_forward(X, W, b, code, z, out, threads)
    return out


def dense_backward(X: ArrayLike, W: ArrayLike, da: ArrayLike, activation: str = "identity", z: ArrayLike | None = None, *,
                   out: Sequence[Place] | None = None, n_threads: int | None = None) -> tuple[Array, Array, Array]:
    """The gradients of `dense_forward`: dz = da * f'(z), dX = dz W^T, dW = X^T dz, db = sum of dz over the samples.

    Parameters
    ----------
    X, W
        As in `dense_forward`.
    da : array_like (n_samples, n_out)
        Gradient of the loss by the layer's output.
    activation : str, default "identity"
    z : array_like (n_samples, n_out)
        X W + b as `dense_forward` gave it; only the identity does without.
    out : tuple of three ndarrays, optional
        Take dX, dW and db; see `dense_forward`.
    n_threads : int, optional
        See `dense_forward`.

    Returns
    -------
    dX : ndarray (n_samples, n_in)
    dW : ndarray (n_in, n_out)
    db : ndarray (n_out,)

    Raises
    ------
    TypeError, ValueError
        If an array is of another kind or shape, or outputs overlap.
    """
    W, X, dtype = _layer(W, X)
    code = ACTIVATIONS[_validate.one_of("activation", activation, ACTIVATIONS)]
    n_out, n_samples = W.shape[1], len(X)
    da = _validate.matrix("da", da, (n_samples, n_out), dtype)
    if z is None and activation != "identity":
        raise ValueError(f"z must be given for {activation}: the X W + b that dense_forward(..., z=...) fills")
    z = da if z is None else _validate.matrix("z", z, (n_samples, n_out), dtype)
    if out is not None and (not isinstance(out, (tuple, list)) or len(out) != 3):
        raise TypeError(f"out must be three arrays (dX, dW, db), not {out!r}")
    dX, dW, db = out or (None, None, None)
    dX, dW = _validate.output("dX", dX, X.shape, dtype), _validate.output("dW", dW, W.shape, dtype)
    db = _validate.output("db", db, (n_out,), dtype)
    _validate.apart(dX=dX, dW=dW, db=db)
    if not n_samples:
        dW[:], db[:] = 0, 0
        return dX, dW, db
    a = np.empty_like(z)
    core(dtype.name).activation_forward(code, z.ravel(), a.reshape(-1))
    threads = _threads.choose(n_threads, 4 * X.size * n_out, core(dtype.name).openmp()[1])
    core(dtype.name).dense_backward(X, W, z, a, da, code, dX, dW, db, threads)
    return dX, dW, db


def sgd_update(w: Place, dw: ArrayLike, velocity: Place | None = None, *, learning_rate: float = 0.1, momentum: float = 0.0,
               nesterov: bool = False, weight_decay: float = 0.0, l2: float = 0.0) -> Array:
    """One step of `SGD` on an array, in place.

    Parameters
    ----------
    w : ndarray
        Parameters, float32 or float64, C-contiguous and writable; updated. Also a tensor or a buffer of such numbers.
    dw : array_like
        Their gradient, of the same shape.
    velocity : ndarray, optional
        Likewise, updated; needed with momentum. Starts at zero.
    learning_rate, momentum, nesterov, weight_decay, l2
        See `SGD`.

    Returns
    -------
    ndarray
        ``w``, or an array on its memory.

    Raises
    ------
    TypeError, ValueError
        If an array is of another kind or shape, w and velocity overlap, or a setting is out of its range.
    """
    learning_rate = _validate.number("learning_rate", learning_rate, above=0)       # one update has no schedule
    optimizer = SGD(learning_rate, momentum, nesterov, weight_decay=weight_decay, l2=l2)
    w = _validate.in_place("w", w)
    dw = _validate.matrix("dw", dw, w.shape, w.dtype)
    if velocity is None and momentum:
        raise ValueError("velocity must be given with momentum: an array like w, zero at first")
    velocity = _validate.output("velocity", velocity, w.shape, w.dtype).reshape(-1)
    _validate.apart(w=w, velocity=velocity)
    slots = np.zeros((3, w.size), w.dtype)     # as many as any rule has
    if momentum:
        slots[0] = velocity
    core(w.dtype.name).update(optimizer.update(), 1, w.reshape(-1), dw.reshape(-1), slots)
    if momentum:
        velocity[:] = slots[0]
    return w


def _layer(W: ArrayLike, X: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], np.dtype[Any]]:
    """W and X for the core, in W's own precision."""
    W = _validate.array("W", W)
    dtype = np.dtype(np.float32 if W.dtype.newbyteorder("=") == np.float32 else np.float64)
    W = _validate.matrix("W", W, (None, None), dtype)
    if 0 in W.shape:
        raise ValueError(f"W must have at least one row and one column, not shape {W.shape}")
    return W, _validate.rows("X", X, W.shape[0], dtype), dtype
