"""Callbacks: what is called while a network trains, as ``callback(net, history)``; one that returns True ends the fit.

Any callable will do: it is called after every epoch, or after every so many steps if it has an attribute ``every``, an
integer. What else it may have, all optional: ``begin(net, history)`` before the first step, ``tick(progress)`` some twenty
times a second with the epochs done so far (True ends the fit), ``finish(net, history)`` after a fit that was not broken off,
``close()`` after every fit; ``get_state()`` and ``set_state(state)``, a dict of JSON's values and arrays, for checkpoints.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import _validate
from fastbp.history import History

if TYPE_CHECKING:
    from fastbp.network import Network

Callback = Callable[["Network", History], object]

MONITORS = ("val_loss", "val_metric", "loss", "metric")


class EarlyStopping:
    """Ends a fit when what it watches no longer gets better, and goes back to the best parameters.

    Parameters
    ----------
    monitor : {"val_loss", "val_metric", "loss", "metric"} or callable, default "val_loss"
        What is looked at after each epoch: a list of the `History`, or a function of the network that returns a number.
    patience : int, default 10
        Epochs in a row without a better value after which the fit ends.
    min_delta : float, default 0.0
        A value is better if it beats the best by more than this.
    mode : {"auto", "min", "max"}, default "auto"
        Whether a smaller or a larger value is better. "auto" knows it of the names; a callable needs one of the others.
    target : float, optional
        The fit ends as soon as a value is as good as this.
    restore_best : bool, default True
        At the end of the fit, whatever ended it short of an error, the network gets the parameters of the best epoch.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int or None
        Its epoch, counted from 0.

    Raises
    ------
    TypeError, ValueError
        If a setting is not as described; `fit` raises ValueError if a ``"val_..."`` monitor finds no validation data.
    """

    best: float | None
    best_epoch: int | None

    def __init__(self, monitor: str | Callable[["Network"], float] = "val_loss", patience: int = 10, min_delta: float = 0.0,
                 mode: str = "auto", target: float | None = None, restore_best: bool = True) -> None:
        if not callable(monitor):
            _validate.one_of("monitor", monitor, MONITORS)
        _validate.one_of("mode", mode, ("auto", "min", "max"))
        if callable(monitor) and mode == "auto":
            raise ValueError("mode must be 'min' or 'max' for a monitor that is a callable, not 'auto'")
        self.monitor, self.mode = monitor, mode
        self.patience = _validate.positive_int("patience", patience)
        self.min_delta = _validate.number("min_delta", min_delta, at_least=0)
        self.target = None if target is None else _validate.number("target", target)
        self.restore_best = _validate.flag("restore_best", restore_best)
        self._forget()

    def _forget(self):
        self.best = self.best_epoch = self._parameters = None
        self._waited = 0

    def begin(self, net: "Network", history: History) -> None:
        self._forget()
        if isinstance(self.monitor, str) and self.monitor.startswith("val_") and not history.is_validated:
            raise ValueError(f"EarlyStopping(monitor={self.monitor!r}) needs validation_data; or watch 'loss' or 'metric'")

    def __call__(self, net: "Network", history: History) -> bool:
        value = float(self.monitor(net) if callable(self.monitor) else getattr(history, self.monitor)[-1])
        if self.best is None or self._gain(value, self.best) > self.min_delta:
            if not math.isnan(value):
                self.best, self.best_epoch, self._waited = value, history.n_epochs - 1, -1
                self._parameters = net.get_parameters() if self.restore_best else None
        self._waited += 1
        reached = self.target is not None and self._gain(value, self.target) >= 0
        return reached or self._waited >= self.patience

    def _gain(self, value, other):
        """By how much a value is better than another; no NaN is."""
        smaller_is_better = self.mode == "min" or self.mode == "auto" and self.monitor.endswith("loss")
        return other - value if smaller_is_better else value - other

    def finish(self, net: "Network", history: History) -> None:
        if self._parameters is not None:
            net.set_parameters(**self._parameters)

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self._waited, "parameters": self._parameters}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch, self._waited = state["best"], state["best_epoch"], state["waited"]
        self._parameters = state["parameters"]


class TimeLimit:
    """Ends a fit after some seconds of wall-clock time, in the midst of an epoch too; within about 0.1 s, or a step.

    A fit that it ends is only interrupted for a `Checkpoint`: with `resume`, the next call goes on from there, with so many
    seconds of its own.

    Parameters
    ----------
    seconds : float
        Greater than 0, from the start of `fit`.
    """

    suspends = True

    def __init__(self, seconds: float) -> None:
        self.seconds = _validate.number("seconds", seconds, above=0)
        self._deadline = math.inf

    def begin(self, net: "Network", history: History) -> None:
        self._deadline = time.monotonic() + self.seconds

    def tick(self, progress: float) -> bool:
        return time.monotonic() >= self._deadline

    def __call__(self, net: "Network", history: History) -> bool:
        return self.tick(history.n_epochs)


def read_callbacks(callbacks):
    """A list of callables, checked."""
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callables taking (net, history), not {callback!r}")
        every = getattr(callback, "every", "epoch")
        if not isinstance(every, str) or every != "epoch":
            _validate.positive_int(f"every of {callback!r}", every)
    return callbacks


def steps_between(callback):
    """After how many steps a callback is called each time; None for after every epoch."""
    every = getattr(callback, "every", "epoch")
    return None if every == "epoch" else int(every)


def steps_to_next(callbacks, step):
    """How many steps after this one the next of them is due; infinite if all are called after every epoch."""
    return min((every - step % every for every in map(steps_between, callbacks) if every is not None), default=math.inf)


def is_due(callback, step):
    """Whether one that is called every so many steps is called after this one."""
    every = steps_between(callback)
    return every is not None and step % every == 0


def call_each(callbacks, method, *arguments):
    """The answers of those callbacks that have a method of this name, as pairs (callback, answer)."""
    return [(callback, getattr(callback, method)(*arguments)) for callback in callbacks if hasattr(callback, method)]


def says_stop(answer):
    """Whether a callback returned True, Python's or NumPy's."""
    return isinstance(answer, (bool, np.bool_)) and bool(answer)
