"""Callbacks: anything that can be called as `callback(net, history)` after an epoch."""

import numpy as np

from fastbp import _validate


def read_callbacks(callbacks):
    """A list of callables."""
    callbacks = _validate.sequence("callbacks", callbacks, "callables taking (net, history)")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callables taking (net, history), not {callback!r}")
    return callbacks


def says_stop(answer):
    """Whether a callback returned True, Python's or NumPy's."""
    return isinstance(answer, (bool, np.bool_)) and bool(answer)
