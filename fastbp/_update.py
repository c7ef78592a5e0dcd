"""What all update rules have in common: learning rate, penalties, clipping, averaging."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastbp._dispatch import core
from fastbp._rates import LearningRate, read_learning_rate
from fastbp._settings import Settings

SMALLEST_EPS = 1e-30        # which float32 can tell from 0


@dataclass(frozen=True, eq=False, repr=False)
class Optimizer(Settings):
    """Base of the update rules: what all of them share.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        Greater than 0; or one of ``fastbp.schedules``; or a callable that gives the rate of a step, counted from 0 over the
        whole fit.
    weight_decay : float, default 0.0
        Decoupled: every update first takes ``eta weight_decay w`` from w (Loshchilov and Hutter 2019). Neither this nor `l1`
        nor `l2` touches a bias, a gain, or the losses that are reported.
    l2 : float, default 0.0
        Adds ``l2 / 2 |W|^2`` to the mean loss that is minimised.
    l1 : float, default 0.0
        Adds ``l1 |W|_1`` likewise.
    clip_value : float, optional
        Each component of the gradient is clipped to [-clip_value, clip_value]; this before anything else.
    clip_layer_norm : float, optional
        A layer's gradient is scaled down to this norm if it is larger.
    clip_norm : float, optional
        The gradient of all layers together is scaled down to this norm if it is larger (Pascanu, Mikolov and Bengio 2013).
    average : float or "polyak", optional
        Also keep an average of the parameters over the updates: exponential with this decay, in [0, 1), which starts lower,
        as min(average, (1 + t) / (10 + t)); or with "polyak" the plain mean (Polyak and Juditsky 1992).
        It is taken before a layer's ``max_norm`` limits the weights.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind, or out of its range.
    """

    learning_rate: LearningRate
    _: KW_ONLY
    weight_decay: float = 0.0
    l2: float = 0.0
    l1: float = 0.0
    clip_value: float | None = None
    clip_layer_norm: float | None = None
    clip_norm: float | None = None
    average: float | str | None = None

    def __post_init__(self):
        self._set("learning_rate", read_learning_rate("learning_rate", self.learning_rate))
        self._numbers("weight_decay", "l2", "l1", at_least=0)
        self._numbers_or_none("clip_value", "clip_layer_norm", "clip_norm", above=0)
        if isinstance(self.average, str) and self.average != "polyak":
            raise ValueError(f"average must be a decay in [0, 1), 'polyak' or None, not {self.average!r}")
        if self.average != "polyak":
            self._numbers_or_none("average", at_least=0, below=1)

    def update(self) -> dict[str, Any]:
        """The core's `Update` struct. A learning rate that is no number stands there as 0: each step brings its own."""
        rule, settings = self._rule()
        return {
            "rule": int(core("float32").Rule.__members__[rule]),
            "learning_rate": self.learning_rate if isinstance(self.learning_rate, float) else 0.0,
            "momentum": 0.0, "beta1": 0.0, "beta2": 0.0, "eps": 0.0, "upper": 0.0,
            "weight_decay": self.weight_decay, "l2": self.l2, "l1": self.l1,
            "clip_value": self.clip_value or 0.0, "clip_layer": self.clip_layer_norm or 0.0, "clip_norm": self.clip_norm or 0.0,
            "average": -1.0 if self.average is None else 1.0 if self.average == "polyak" else self.average,
        } | settings

    def _rule(self):
        """Name of the rule in the core, and its own settings there."""
        raise NotImplementedError
