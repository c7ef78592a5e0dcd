"""A learning rate in any of its forms, a number, a schedule or a callable of the step: read, and made numbers for steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastbp import _validate
from fastbp._settings import Settings
from fastbp._typing import Array, Steps


@dataclass(frozen=True, eq=False, repr=False)
class Schedule(Settings):
    """Base of all schedules. One of your own derives from it and defines `rates`."""

    @property
    def monitor(self) -> str | None:
        """Name of the list in the fit's `fastbp.History` whose values it reads."""
        return None

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        """The learning rate of each step.

        Parameters
        ----------
        steps : ndarray (n,) of int64
            Counted from 0 over the whole fit.
        total : int or None
            Steps of the whole fit; None if nobody knows, as in ``partial_fit``.
        values : sequence of float
            The monitored metric, one value for each epoch so far.

        Returns
        -------
        ndarray (n,) of float64
        """
        raise NotImplementedError


LearningRate = float | Schedule | Callable[[int], float]


def read_learning_rate(name, value):
    """A number greater than 0, a schedule, or a callable of the step."""
    if isinstance(value, Schedule) or callable(value) and not isinstance(value, type):
        return value
    if isinstance(value, (type, str)) or value is None:
        raise TypeError(f"{name} must be a number, a schedule such as fastbp.schedules.Cosine(0.1), or a callable of the step; "
                        f"not {value!r}")
    return _validate.number(name, value, above=0)


def monitor_of(learning_rate):
    """Name of the list in the fit's `History` that decides the learning rate, or None."""
    return learning_rate.monitor if isinstance(learning_rate, Schedule) else None


def rates_of(learning_rate, steps, total, values):
    """The learning rate of each step, by a number, a schedule, or a callable of the step.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
    steps, total, values
        See `Schedule.rates`.

    Returns
    -------
    ndarray (n,) of float64

    Raises
    ------
    TypeError, ValueError
        If a rate is no number, not finite or below 0; the step is named.
    """
    steps = np.asarray(steps, dtype=np.int64)
    if isinstance(learning_rate, Schedule):
        rates = np.asarray(learning_rate.rates(steps, total, values), dtype=np.float64)
        if rates.shape != steps.shape:
            raise ValueError(f"rates of {learning_rate!r} must be one a step, shape {steps.shape}, not {rates.shape}")
    elif callable(learning_rate):
        return np.array([_validate.number(f"learning_rate of step {t}", learning_rate(t), at_least=0) for t in steps.tolist()],
                        dtype=np.float64)
    else:
        return np.full(len(steps), float(learning_rate))
    for i in np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))[:1]:
        _validate.number(f"learning_rate of step {steps[i]}", rates[i], at_least=0)
    return rates
