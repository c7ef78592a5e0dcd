"""L-BFGS: minimises a smooth function of a vector from its values and gradients, a few of which it remembers.

Nocedal and Wright, *Numerical Optimization* (2006): the two-loop recursion is algorithm 7.4, the line search for the strong
Wolfe conditions is algorithms 3.5 and 3.6. Vectors are float64, and sums have a fixed order: the same function gives the
same steps. A network appears here only as the function, which a full batch evaluates.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastbp._settings import Settings


@dataclass(frozen=True, eq=False, repr=False)
class LBFGS(Settings):
    r"""Limited-memory BFGS on the full batch, with a line search; Liu and Nocedal 1989.

    An epoch is one step along d = -H g, where H, an estimate of the inverse Hessian, is built from the last `n_pairs` pairs
    of steps s and changes y of the gradient. The step length a satisfies the strong Wolfe conditions
    f(w + a d) <= f(w) + c1 a g.d and abs(g(w + a d).d) <= c2 abs(g.d).

    `fit` refuses it, with ValueError, for a network with dropout, noise, batch normalisation, max-norm or factors of the
    learning rate, and with ``health=True``.

    Parameters
    ----------
    n_pairs : int, default 10
        Pairs that are remembered; memory is that many times twice the parameters, in float64.
    l2 : float, default 0.0
        Adds ``l2 / 2 |W|^2`` to the mean loss that is minimised.
    c1, c2 : float, default 1e-4, 0.9
        0 < c1 < c2 < 1.
    max_evaluations : int, default 20
        Losses and gradients that one line search may ask for.
    tolerance : float, default 1e-8
        No step is taken where no component of the gradient is larger. At least 0.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number, or out of its range.
    """

    n_pairs: int = 10
    l2: float = 0.0
    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 20
    tolerance: float = 1e-8

    def __post_init__(self):
        self._positive_ints("n_pairs", "max_evaluations")
        self._numbers("l2", "tolerance", at_least=0)
        self._numbers("c1", above=0, below=1)
        self._numbers("c2", above=self.c1, below=1)


@dataclass
class Point:
    """A place on a line w + length d: the loss there, its slope along d, and the gradient."""

    length: float
    loss: float
    slope: float
    gradient: np.ndarray


class Descent:
    """A minimisation that is under way.

    Parameters
    ----------
    f : callable
        f(w) gives the loss and the gradient, an array (n,) that is the caller's to keep. Beyond the function's domain it
        gives a loss that is not finite.
    w : ndarray (n,) of float64
        The start.
    settings : LBFGS

    Attributes
    ----------
    w, gradient : ndarray (n,) of float64
        Where it stands.
    loss : float
    n_evaluations : int
        Calls of f so far.
    """

    def __init__(self, f, w, settings):
        self._f, self.settings, self.n_evaluations = f, settings, 0
        self.w = np.array(w, dtype=np.float64)
        self.loss, self.gradient = self._evaluate(self.w)
        self._pairs = []

    @classmethod
    def restored(cls, f, state, settings):
        """The descent whose `state` was taken: it goes on bit for bit, without a call of f."""
        self = cls.__new__(cls)
        self._f, self.settings, self.n_evaluations = f, settings, int(state["n_evaluations"])
        self.w, self.gradient, self.loss = state["w"], state["gradient"], float(state["loss"])
        self._pairs = list(zip(state["s"], state["y"]))
        return self

    def state(self):
        """All that it remembers, as arrays by name, which nobody writes to."""
        s, y = (np.array([pair[i] for pair in self._pairs]).reshape(-1, len(self.w)) for i in (0, 1))
        return {"w": self.w, "gradient": self.gradient, "loss": np.float64(self.loss), "s": s, "y": y,
                "n_evaluations": np.int64(self.n_evaluations)}

    def step(self):
        """Goes one step. Returns whether it could: not where the gradient is zero, to the tolerance or to rounding."""
        if not np.abs(self.gradient).max(initial=0) > self.settings.tolerance:
            return False
        point, d = self._search()
        if point is None and self._pairs:           # the memory misleads: once more, straight down
            self._pairs = []
            point, d = self._search()
        if point is None:
            return False
        s, y = point.length * d, point.gradient - self.gradient
        self.w, self.loss, self.gradient = self.w + s, point.loss, point.gradient
        if _dot(s, y) > np.finfo(float).eps * _dot(y, y):       # else H would not stay positive definite
            self._pairs = [*self._pairs, (s, y)][-self.settings.n_pairs:]
        return True

    def _search(self):
        """The next point and the direction to it; None if nothing lower is found."""
        d = self._direction()
        start = Point(0.0, self.loss, _dot(self.gradient, d), self.gradient)
        first = 1.0 if self._pairs else min(1.0, 1 / math.sqrt(_dot(d, d)))     # without memory d has no scale
        return _Line(lambda length: self._at(d, length), start, self.settings).search(first), d

    def _direction(self):
        """-H g by the two-loop recursion."""
        q, weights = -self.gradient, []
        for s, y in reversed(self._pairs):
            weights.append(_dot(s, q) / _dot(s, y))
            q -= weights[-1] * y
        if self._pairs:
            q *= _dot(s := self._pairs[-1][0], y := self._pairs[-1][1]) / _dot(y, y)
        for (s, y), weight in zip(self._pairs, reversed(weights)):
            q += (weight - _dot(y, q) / _dot(s, y)) * s
        return q

    def _at(self, d, length):
        loss, gradient = self._evaluate(self.w + length * d)
        return Point(length, loss, _dot(gradient, d), gradient)

    def _evaluate(self, w):
        self.n_evaluations += 1
        loss, gradient = self._f(w)
        return float(loss), np.asarray(gradient, dtype=np.float64)


class _Line:
    """A search along a line for a point that satisfies the strong Wolfe conditions."""

    def __init__(self, at, start, settings):
        self.at, self.start, self.settings, self.left = at, start, settings, settings.max_evaluations

    def search(self, length):
        """Algorithm 3.5: go out until an interval holds such a point. None if nothing lower than the start is found."""
        before = self.start
        while self.left:
            point = self._evaluate(length)
            if not self._is_lower(point) or point.loss >= before.loss and before is not self.start:
                return self._zoom(before, point)
            if self._is_flat(point):
                return point
            if point.slope >= 0:
                return self._zoom(point, before)
            before, length = point, 2 * length
        return before if before is not self.start else None

    def _zoom(self, low, high):
        """Algorithm 3.6: narrow the interval from `low`, the lowest point so far, to `high`, where such a point must lie."""
        while self.left:
            point = self._evaluate(_between(low, high))
            if not self._is_lower(point) or point.loss >= low.loss:
                high = point
                continue
            if self._is_flat(point):
                return point
            if point.slope * (high.length - low.length) >= 0:
                high = low
            low = point
        return low if low is not self.start else None

    def _evaluate(self, length):
        self.left -= 1
        return self.at(length)

    def _is_lower(self, point):
        """The first Wolfe condition, sufficient decrease; false for a loss that is not finite."""
        bound = self.start.loss + self.settings.c1 * point.length * self.start.slope
        return math.isfinite(point.loss) and math.isfinite(point.slope) and point.loss <= bound

    def _is_flat(self, point):
        """The second, on the slope."""
        return abs(point.slope) <= -self.settings.c2 * self.start.slope


def _between(low, high):
    """Length of the lowest point of the cubic through both ends (formula 3.59), kept off them by a tenth; the middle, if
    there is no such cubic."""
    span = high.length - low.length
    with np.errstate(all="ignore"):
        d1 = low.slope + high.slope - 3 * np.float64(high.loss - low.loss) / span
        d2 = np.sign(span) * np.sqrt(d1 * d1 - low.slope * high.slope)
        share = 1 - (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2)
    return low.length + span * float(np.clip(share, 0.1, 0.9) if np.isfinite(share) else 0.5)


def _dot(a, b):
    return float((a * b).sum())     # NumPy's own order of summation, on any number of threads
