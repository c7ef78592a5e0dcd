"""The losses: what each asks of its targets, and what it says of its outputs. The formulas run in ``_core/losses.pxi``.

Each is a loss of one sample, summed over its outputs; training minimises its weighted mean over a batch. A network ends in
raw outputs, and the loss owns the link from them to predictions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from fastbp import _settings, _validate
from fastbp._dispatch import core
from fastbp._typing import Array

#: (raw, y) -> (mean loss, draw); or a PyCapsule, which no type tells from other objects
LossFunction = Callable[[Array, Array], tuple[float, Array]] | object


@dataclass(frozen=True, eq=False, repr=False)
class Loss(_settings.Settings):
    """Base of all losses.

    Attributes
    ----------
    name : str
    targets : {"labels", "binary", "values", "counts", "custom"}
        One class a sample; numbers in [0, 1]; any numbers; numbers not below 0; whatever the user's function reads. A NaN
        among values or counts leaves that output of that sample out.
    link : {"softmax", "sigmoid", "exp", "identity"}
        From raw outputs to predictions.
    metric : {"accuracy", "r2", "loss"}
        r2 is 1 - residual / total sum of squares, over all outputs together; "loss" is the loss itself.
    """

    name: ClassVar[str]
    targets: ClassVar[str] = "values"
    link: ClassVar[str] = "identity"
    metric: ClassVar[str] = "r2"

    def spec(self, n_out: int) -> dict[str, Any]:
        """The core's `LossSpec` for a network with so many outputs.

        Raises
        ------
        ValueError
            If the loss cannot stand over that many outputs.
        """
        code = int(core("float32").Loss.__members__[self.name.upper()])
        return {"code": code, "parameter": 0.0, "levels": (), "function": None}


@dataclass(frozen=True, eq=False, repr=False)
class SquaredError(Loss):
    """``|raw - y|^2 / 2``: the quadratic cost."""

    name: ClassVar[str] = "squared_error"


@dataclass(frozen=True, eq=False, repr=False)
class AbsoluteError(Loss):
    """``|raw - y|``, which outliers pull less and whose best constant is the median."""

    name: ClassVar[str] = "absolute_error"


@dataclass(frozen=True, eq=False, repr=False)
class Huber(Loss):
    """Quadratic near the target, linear beyond: e^2 / 2 for ``|e| <= delta``, else ``delta (|e| - delta / 2)``; Huber 1964.

    Parameters
    ----------
    delta : float, default 1.0
        Greater than 0.
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self):
        self._numbers("delta", above=0)

    def spec(self, n_out: int) -> dict[str, Any]:
        return super().spec(n_out) | {"parameter": self.delta}


@dataclass(frozen=True, eq=False, repr=False)
class LogCosh(Loss):
    """log cosh(raw - y): near e^2 / 2 for small errors e, ``|e| - log 2`` for large ones, and smooth in between."""

    name: ClassVar[str] = "log_cosh"


@dataclass(frozen=True, eq=False, repr=False)
class Quantile(Loss):
    """The pinball loss, whose best constant is a quantile: with u = y - raw, max(q u, (q - 1) u); Koenker, Bassett 1978.

    Parameters
    ----------
    levels : float or sequence of float, default (0.5,)
        Each in (0, 1). One level serves every output; of several each has an output of its own, and targets with one column
        are meant for all of them.
    """

    name: ClassVar[str] = "quantile"
    levels: float | Sequence[float] = (0.5,)

    def __post_init__(self):
        levels = self.levels if isinstance(self.levels, (list, tuple, np.ndarray)) else [self.levels]
        if len(levels) == 0:
            raise ValueError("levels must be at least one number in (0, 1), not none")
        self._set("levels", tuple(_validate.number(f"levels[{i}]", q, above=0, below=1) for i, q in enumerate(levels)))

    def spec(self, n_out: int) -> dict[str, Any]:
        levels = cast(tuple[float, ...], self.levels)       # since __post_init__
        if len(levels) not in (1, n_out):
            raise ValueError(f"quantile has {len(levels)} levels for {n_out} outputs; it needs one an output, or one level")
        return super().spec(n_out) | {"levels": levels * n_out if len(levels) == 1 else levels}


@dataclass(frozen=True, eq=False, repr=False)
class Poisson(Loss):
    """exp(raw) - y raw: the negative log-likelihood of counts y with mean exp(raw), but for a term of y alone."""

    name: ClassVar[str] = "poisson"
    targets: ClassVar[str] = "counts"
    link: ClassVar[str] = "exp"


@dataclass(frozen=True, eq=False, repr=False)
class BinaryCrossEntropy(Loss):
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(raw), for each output by itself: two classes, or many labels at once.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s in [0, 1): t = y (1 - s) + s / 2; Szegedy et al. 2016.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    targets: ClassVar[str] = "binary"
    link: ClassVar[str] = "sigmoid"
    metric: ClassVar[str] = "accuracy"
    label_smoothing: float = 0.0

    def __post_init__(self):
        self._numbers("label_smoothing", at_least=0, below=1)

    def spec(self, n_out: int) -> dict[str, Any]:
        return super().spec(n_out) | {"parameter": self.label_smoothing}


@dataclass(frozen=True, eq=False, repr=False)
class SoftmaxCrossEntropy(Loss):
    """-log p[label] with p = softmax(raw): one of several classes.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s in [0, 1): (1 - s) of it for the label, and s of the mean over all classes; Szegedy et al. 2016.
    """

    name: ClassVar[str] = "softmax_cross_entropy"
    targets: ClassVar[str] = "labels"
    link: ClassVar[str] = "softmax"
    metric: ClassVar[str] = "accuracy"
    label_smoothing: float = 0.0

    def __post_init__(self):
        self._numbers("label_smoothing", at_least=0, below=1)

    def spec(self, n_out: int) -> dict[str, Any]:
        if n_out < 2:
            raise ValueError("softmax_cross_entropy needs at least 2 outputs, one a class; for two classes in one output use "
                             "loss='binary_cross_entropy'")
        return super().spec(n_out) | {"parameter": self.label_smoothing}


@dataclass(frozen=True, eq=False, repr=False)
class Hinge(Loss):
    """max(0, 1 - s raw) with s = 2 y - 1, for y 0 or 1, of each output: the margin of a support vector machine."""

    name: ClassVar[str] = "hinge"
    targets: ClassVar[str] = "binary"
    metric: ClassVar[str] = "accuracy"


@dataclass(frozen=True, eq=False, repr=False)
class CustomLoss(Loss):
    """A loss of the user's own.

    Parameters
    ----------
    function : callable or PyCapsule
        A callable gets ``raw`` (n, n_out) and ``y`` (n, n_y), a batch in the network's dtype, and returns the mean loss and
        its gradient in raw, (n, n_out). A capsule named "fastbp.loss.float32" or "fastbp.loss.float64", as the network's
        dtype, holds a C function that computes a batch without the GIL: ::

            int f(void *context, ptrdiff_t n, ptrdiff_t n_out, ptrdiff_t n_y, const real *raw, const real *y,
                  double *losses, real *draw)

        It writes the loss of each sample and d(loss)/d(raw), row-major, and returns 0, or anything else for an error. The
        capsule's context is handed to it.
    """

    name: ClassVar[str] = "custom"
    targets: ClassVar[str] = "custom"
    metric: ClassVar[str] = "loss"
    function: LossFunction

    def __post_init__(self):
        if not _is_function(self.function):
            raise TypeError(f"function must be a callable (raw, y) -> (loss, draw), or a PyCapsule; not {self.function!r}")

    def spec(self, n_out: int) -> dict[str, Any]:
        return super().spec(n_out) | {"function": self.function}


def _is_function(value):
    return type(value).__name__ == "PyCapsule" or callable(value) and not isinstance(value, type)


#: name -> class, of all that a name alone gives
LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (SquaredError, AbsoluteError, Huber, LogCosh, Quantile, Poisson, BinaryCrossEntropy, SoftmaxCrossEntropy, Hinge)
}


def read_loss(loss: str | Loss | LossFunction) -> Loss:
    """The loss that a user means by a name, an object, or a function of his own."""
    if isinstance(loss, Loss):
        return loss
    if _is_function(loss):
        return CustomLoss(loss)
    return LOSSES[_validate.one_of("loss", loss, LOSSES)]()


def to_config(loss: Loss) -> dict[str, Any]:
    """The loss as a dict that JSON holds: {"name": "huber", "delta": 1.0}. Of a user's own only the name."""
    return {"name": loss.name} if isinstance(loss, CustomLoss) else _settings.to_config(loss)


def from_config(config: object) -> Loss:
    """The loss that `to_config` described.

    Raises
    ------
    ValueError
        If no loss has such a description, or it was a user's own, which no file holds.
    """
    if config == {"name": CustomLoss.name}:
        raise ValueError("the loss is a function of the user's own, which no file holds")
    return _settings.from_config("loss", config, LOSSES)
