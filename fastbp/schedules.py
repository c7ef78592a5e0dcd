"""Learning rates that change from step to step; what all of them share is in `_rates`.

A schedule is a pure function: the rates of some steps, counted from 0, out of the number of steps of the whole fit and the
metric that it watches, one value an epoch. So a fit that is resumed goes on with the very same rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastbp._rates import LearningRate, monitor_of, rates_of, read_learning_rate
from fastbp._rates import Schedule as Schedule
from fastbp._typing import Array, Steps


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Schedule):
    """One learning rate for all steps.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.
    """

    learning_rate: float

    def __post_init__(self):
        self._numbers("learning_rate", above=0)

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return np.full(len(steps), self.learning_rate)


@dataclass(frozen=True, eq=False, repr=False)
class StepDecay(Schedule):
    """learning_rate factor^floor(t / every) at step t.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.
    every : int
        Steps from one change to the next.
    factor : float, default 0.1
        In (0, 1).
    """

    learning_rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self):
        self._numbers("learning_rate", above=0)
        self._numbers("factor", above=0, below=1)
        self._positive_ints("every")

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return self.learning_rate * self.factor ** (steps // self.every)


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(StepDecay):
    """learning_rate factor^(t / every) at step t: `StepDecay` without the steps.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.
    every : int
        Steps in which the rate falls by `factor`.
    factor : float, default 0.1
        In (0, 1).
    """

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return self.learning_rate * self.factor ** (steps / self.every)


@dataclass(frozen=True, eq=False, repr=False)
class InverseScaling(Schedule):
    """learning_rate / (1 + t / every)^power at step t; with power 1, Robbins and Monro 1951.

    Parameters
    ----------
    learning_rate : float
        Greater than 0.
    power : float, default 0.5
        Greater than 0.
    every : int, default 1
        Step at which the rate is 2^-power of the first.
    """

    learning_rate: float
    power: float = 0.5
    every: int = 1

    def __post_init__(self):
        self._numbers("learning_rate", "power", above=0)
        self._positive_ints("every")

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return self.learning_rate / (1 + steps / self.every) ** self.power


@dataclass(frozen=True, eq=False, repr=False)
class Cosine(Schedule):
    """Half a cosine down, and up again at each restart: SGDR, Loshchilov and Hutter 2017.

    With p from 0 to 1 over a period, lowest + (learning_rate - lowest) (1 + cos(pi p)) / 2.

    Parameters
    ----------
    learning_rate : float
        The highest. Greater than 0.
    lowest : float, default 0.0
        From 0 to `learning_rate`.
    period : int, optional
        Steps from the start to the first restart. Default: the whole fit, without a restart.
    growth : int, default 1
        Each period is so many times as long as the one before.
    """

    learning_rate: float
    lowest: float = 0.0
    period: int | None = None
    growth: int = 1

    def __post_init__(self):
        self._numbers("learning_rate", above=0)
        self._numbers("lowest", at_least=0, at_most=self.learning_rate)
        self._positive_ints("growth", *(["period"] if self.period is not None else []))

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        progress = _progress(self, steps, total) if self.period is None else self._place(steps)
        return self.lowest + (self.learning_rate - self.lowest) * (1 + np.cos(np.pi * progress)) / 2

    def _place(self, steps):
        """How far in its period each step is, from 0 to 1."""
        if self.growth == 1:
            return steps % self.period / self.period
        starts = [0]
        while starts[-1] <= steps.max(initial=0):
            starts.append(starts[-1] + self.period * self.growth ** (len(starts) - 1))
        starts = np.array(starts)
        at = np.searchsorted(starts, steps, side="right") - 1
        return (steps - starts[at]) / np.diff(starts)[at]


@dataclass(frozen=True, eq=False, repr=False)
class OneCycle(Schedule):
    """Up to the learning rate and far down again, both in half cosines; Smith and Topin 2018.

    Parameters
    ----------
    learning_rate : float
        The highest. Greater than 0.
    rise : float, default 0.3
        Share of the fit that goes up, in (0, 1).
    first, last : float, default 0.04, 4e-6
        Rates of the first and last step, in parts of `learning_rate`, in [0, 1].
    """

    learning_rate: float
    rise: float = 0.3
    first: float = 0.04
    last: float = 4e-6

    def __post_init__(self):
        self._numbers("learning_rate", above=0)
        self._numbers("rise", above=0, below=1)
        self._numbers("first", "last", at_least=0, at_most=1)

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        progress = _progress(self, steps, None if total is None else max(total - 1, 1))
        rising = progress < self.rise
        end = np.where(rising, self.first, self.last)
        distance = np.where(rising, 1 - progress / self.rise, (progress - self.rise) / (1 - self.rise))
        return self.learning_rate * (end + (1 - end) * (1 + np.cos(np.pi * distance)) / 2)


@dataclass(frozen=True, eq=False, repr=False)
class CosLog4(Schedule):
    """Four cosine waves, each twice as long as the one before: learning_rate (1 - cos(2 pi log2(1 + 15 p))) / 2, with p from
    0 to 1 over the fit. RealMLP's; Holzmüller, Grinsztajn and Steinwart 2024.

    Parameters
    ----------
    learning_rate : float
        The highest. Greater than 0.
    """

    learning_rate: float

    def __post_init__(self):
        self._numbers("learning_rate", above=0)

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return self.learning_rate * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * _progress(self, steps, total)))) / 2


@dataclass(frozen=True, eq=False, repr=False)
class ReduceOnPlateau(Schedule):
    """The rate is multiplied by a factor whenever a metric has not become better for some epochs.

    Parameters
    ----------
    learning_rate : float
        The first. Greater than 0.
    monitor : {"val_loss", "val_metric", "loss", "metric"}, default "val_loss"
        What should become better: a loss lower, a metric higher. The first two need validation data.
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        Epochs in a row without a better value after which the rate is reduced.
    min_delta : float, default 0.0
        A value is better if it beats the best by more than this. At least 0.
    lowest : float, default 0.0
        No rate is below it. From 0 to `learning_rate`.
    """

    learning_rate: float
    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 0.0
    lowest: float = 0.0

    def __post_init__(self):
        self._numbers("learning_rate", above=0)
        self._one_of("monitor", ("val_loss", "val_metric", "loss", "metric"))
        self._numbers("factor", above=0, below=1)
        self._positive_ints("patience")
        self._numbers("min_delta", at_least=0)
        self._numbers("lowest", at_least=0, at_most=self.learning_rate)

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        return np.full(len(steps), max(self.learning_rate * self.factor ** self.n_reductions(values), self.lowest))

    def n_reductions(self, values: Sequence[float]) -> int:
        """How often the rate has been reduced after these values. NaN is never better."""
        sign = 1 if self.monitor.endswith("loss") else -1
        best, waited, n_reductions = np.inf, 0, 0
        for value in values:
            if sign * value < best - self.min_delta:
                best, waited = sign * value, 0
            else:
                waited += 1
            if waited == self.patience:
                waited, n_reductions = 0, n_reductions + 1
        return n_reductions


@dataclass(frozen=True, eq=False, repr=False)
class Warmup(Schedule):
    """A straight line up, and then any learning rate: (t + 1) / (n_steps + 1) of its first one; Goyal et al. 2017.

    Parameters
    ----------
    then : float, Schedule or callable
        From step `n_steps` on; its own steps are counted from there, over what is left of the fit.
    n_steps : int
        Steps of the warm-up.
    """

    then: LearningRate
    n_steps: int

    def __post_init__(self):
        self._set("then", read_learning_rate("then", self.then))
        self._positive_ints("n_steps")

    @property
    def monitor(self) -> str | None:
        return monitor_of(self.then)

    def rates(self, steps: Steps, total: int | None, values: Sequence[float]) -> Array:
        left = None if total is None else max(total - self.n_steps, 1)
        first = rates_of(self.then, np.zeros(1, np.int64), left, values)[0]
        later = rates_of(self.then, np.maximum(steps - self.n_steps, 0), left, values)
        return np.where(steps < self.n_steps, first * (steps + 1) / (self.n_steps + 1), later)


def _progress(schedule, steps, total):
    """From 0 at the first step to 1 at step `total`, and no further."""
    if total is None:
        raise ValueError(f"{type(schedule).__name__} follows the length of a fit, which is unknown here; use a schedule by steps")
    return np.minimum(steps / total, 1.0)


#: name -> class
SCHEDULES = {
    "constant": Constant, "step": StepDecay, "exponential": Exponential, "inverse_scaling": InverseScaling, "cosine": Cosine,
    "one_cycle": OneCycle, "coslog4": CosLog4, "plateau": ReduceOnPlateau, "warmup": Warmup,
}
