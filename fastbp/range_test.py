"""Which learning rate? The range test of Smith (Cyclical Learning Rates for Training Neural Networks, 2017).

A copy of the network trains while its rate rises from very small to very large: too small a rate leaves the loss where it is, a
good one lets it fall, too large a one throws it up again.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp import _threads, _validate, gradients
from fastbp._typing import ArrayLike, Doubles
from fastbp._update import Optimizer
from fastbp.optimizers import LBFGS, Rprop, read_optimizer

if TYPE_CHECKING:
    from fastbp.network import Network

#: The smoothed loss is an exponential mean over this share of the steps.
WINDOW = 0.05

#: The suggestion is the rate of the lowest smoothed loss over this: Gugger's rule (How Do You Find a Good Learning Rate,
#: 2018). On 36 networks (digits, MNIST and a regression; 1, 2 and 4 hidden layers; relu, sigmoid and tanh; SGD, momentum
#: and Adam) none diverged at it, and the loss after 3 epochs was 1.2 times that of the best rate of a grid in the median,
#: at most 3 times in nine of ten. It is careful for plain SGD, which often stands half of the lowest. The other rule in
#: use, the steepest fall of the loss, took noise at the smallest rates for a fall on 4 of the 27 classifiers.
BELOW_LOWEST = 10


@dataclass(frozen=True)
class RangeTest:
    """What `learning_rate_range_test` found.

    Attributes
    ----------
    rates, losses : ndarray (n_steps,)
        Learning rate of each step, and the loss of its batch before it. They end where the loss was no longer finite.
    window : float
        Steps over which the losses are smoothed.
    smoothed : ndarray (n_steps,)
        The smoothed losses: an exponential mean.
    start : float
        Mean loss of the first tenth of the steps, in which nothing is learned yet.
    lowest : float
        The rate where the smoothed loss was lowest after those: about the largest that still learns.
    suggestion : float or None
        A tenth of that; None if the loss fell nowhere by more than batches differ.
    """

    rates: Doubles
    losses: Doubles
    window: float

    @cached_property
    def smoothed(self) -> Doubles:
        return _smooth(self.losses, self.window)

    @property
    def start(self) -> float:
        return float(self.losses[:self._n_first].mean())

    @property
    def lowest(self) -> float:
        return float(self.rates[self.lowest_step])

    @property
    def suggestion(self) -> float | None:
        steps = np.diff(self.losses[:self.lowest_step + 1])
        variance = (steps**2).mean() / 2                # of a batch, since the loss itself moves slowly
        noise = np.sqrt(variance / (2 * self.window - 1) + variance / self._n_first)    # of the two means
        fell = self.start - self.smoothed[self.lowest_step] > 3 * noise
        return self.lowest / BELOW_LOWEST if fell else None

    @property
    def lowest_step(self) -> int:
        """Where the smoothed loss was lowest."""
        return self._n_first + int(np.argmin(self.smoothed[self._n_first:]))

    @property
    def _n_first(self):
        return min(max(2, len(self.losses) // 10), len(self.losses) - 1)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the rates; see `fastbp.plots.plot_range_test`. Needs matplotlib."""
        from fastbp import plots
        return plots.plot_range_test(self, ax)

    def __str__(self):
        tried = f"{len(self.rates)} rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        if self.suggestion is None:
            return f"at none of {tried} did the loss fall: look at the data, or at history.verdict() after fit(..., health=True)"
        return f"learning_rate={self.suggestion:.2g}: of {tried}, the loss was lowest at {self.lowest:.2g}"


def learning_rate_range_test(net: "Network", X: ArrayLike, y: ArrayLike, optimizer: Optimizer | None = None, *,
                             batch_size: int = 32, lowest: float = 1e-6, highest: float = 100.0, n_steps: int = 200,
                             n_threads: int | None = None) -> RangeTest:
    """Train a copy of the network for some steps at rising learning rates.

    Parameters
    ----------
    net : Network
        Stays as it is.
    X, y : array_like
        See `Network.fit`. They are gone through as often as the steps need.
    optimizer : optimizer, default SGD()
        With all its settings but the learning rate. Neither LBFGS nor Rprop, which find their own steps.
    batch_size : int, default 32
        That of the training to come: a good rate depends on it.
    lowest, highest : float, default 1e-6, 100.0
        The rate rises from one to the other by the same factor each step.
    n_steps : int, default 200
        At least 20. The test ends early if the loss is no longer finite.
    n_threads : int, optional
        See `Network.fit`.

    Returns
    -------
    RangeTest
        ``test.suggestion`` is a rate; ``test.plot()`` shows how it came about.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the loss is not finite at the start.
    """
    rule = read_optimizer(optimizer)
    if isinstance(rule, (LBFGS, Rprop)):
        raise ValueError(f"optimizer must be one whose steps follow a learning rate, not {type(rule).__name__}")
    lowest = _validate.number("lowest", lowest, above=0)
    highest = _validate.number("highest", highest, above=lowest)
    n_steps = int(_validate.number("n_steps", _validate.positive_int("n_steps", n_steps), at_least=20))
    X, y, _ = net._read_data(X, y)
    batch_size = min(_validate.positive_int("batch_size", batch_size), len(X))
    n_threads = _threads.choose(n_threads, net._flops(batch_size, training=True), net._openmp_limit())
    rates = np.geomspace(lowest, highest, n_steps)
    losses = _train(gradients.copy_stack(net, net.dtype.name), X, y, _order(net.seed, len(X), n_steps * batch_size), batch_size,
                    rule.update(), rates, n_threads)
    if len(losses) < 2:
        raise ValueError(f"X and y must give a finite loss for a range test; it is not, at learning rate {rates[len(losses)]:g}")
    return RangeTest(rates[:len(losses)], losses, WINDOW * n_steps)


def _order(seed, n_samples, n_places):
    """Samples in a new order each time through."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.concatenate([rng.permutation(n_samples) for _ in range(-(-n_places // n_samples))]).astype(np.int64)


def _train(stack, X, y, order, batch_size, rule, rates, n_threads):
    """Mean loss of each batch before its step, as far as they are finite."""
    stack.reset_slots(rule)
    losses = []
    for step in range(len(rates)):
        totals = np.zeros(3)
        _, diverged = stack.train(X, y, None, order, batch_size, step, step + 1, rule, rates, 0, np.inf, totals, n_threads)
        if diverged:
            break
        losses.append(totals[0] / totals[2])
    return np.array(losses)


def _smooth(losses, window):
    """Exponential mean over some steps, corrected for its start from 0 as Adam's is."""
    keep, mean, smoothed = 1 - 1 / window, 0.0, []
    for t, loss in enumerate(losses, 1):
        mean = keep * mean + (1 - keep) * loss
        smoothed.append(mean / (1 - keep**t))
    return np.array(smoothed)
