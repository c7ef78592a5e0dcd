"""The update rules: w <- w - eta dL/dw and its variants. The formulas run in `_core/optimizers.pxi`."""

from dataclasses import dataclass

from fastbp import _validate
from fastbp._dispatch import core


@dataclass(frozen=True)
class SGD:
    r"""Stochastic gradient descent, with momentum if asked.

    With g the gradient of the mean loss over a batch plus ``l2`` w:

    - plain: w <- w - learning_rate g
    - momentum: v <- momentum v - learning_rate g;  w <- w + v
    - Nesterov: v likewise;  w <- w + momentum v - learning_rate g

    as in Goodfellow, Bengio and Courville, *Deep Learning* (2016), algorithms 8.1 to 8.3; the last in the form of
    Sutskever et al. (2013).

    Parameters
    ----------
    learning_rate : float, default 0.1
        Greater than 0.
    momentum : float, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Needs ``momentum`` greater than 0.
    weight_decay : float, default 0.0
        Decoupled: every step first takes ``learning_rate * weight_decay * w`` from w (Loshchilov and Hutter 2019).
    l2 : float, default 0.0
        Adds ``l2 / 2 |W|^2`` to the mean loss that is minimised; reported losses leave it out. Neither this nor
        ``weight_decay`` touches a bias.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number, or out of its range.
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    l2: float = 0.0

    def __post_init__(self):
        _validate.number("learning_rate", self.learning_rate, above=0)
        _validate.number("momentum", self.momentum, at_least=0, below=1)
        _validate.number("weight_decay", self.weight_decay, at_least=0)
        _validate.number("l2", self.l2, at_least=0)
        _validate.flag("nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum greater than 0, not 0")

    def update(self):
        """The core's `Update` struct."""
        return _update("NESTEROV" if self.nesterov else "MOMENTUM" if self.momentum else "SGD", self)


@dataclass(frozen=True)
class Adam:
    r"""Adam, with decoupled weight decay (AdamW) if asked.

    With g the gradient of the mean loss plus ``l2`` w, at update t = 1, 2, ...:

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Kingma and Ba 2015, algorithm 1; ``weight_decay`` as in Loshchilov and Hutter 2019.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Greater than 0.
    beta1, beta2 : float, default 0.9, 0.999
        In [0, 1).
    eps : float, default 1e-8
        At least 1e-30, which float32 can tell from 0.
    weight_decay, l2 : float, default 0.0
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number, or out of its range.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    l2: float = 0.0

    def __post_init__(self):
        _validate.number("learning_rate", self.learning_rate, above=0)
        _validate.number("beta1", self.beta1, at_least=0, below=1)
        _validate.number("beta2", self.beta2, at_least=0, below=1)
        _validate.number("eps", self.eps, at_least=1e-30)
        _validate.number("weight_decay", self.weight_decay, at_least=0)
        _validate.number("l2", self.l2, at_least=0)

    def update(self):
        """The core's `Update` struct."""
        return _update("ADAM", self)


_SETTINGS = ("learning_rate", "momentum", "beta1", "beta2", "eps", "weight_decay", "l2")


def _update(rule, optimizer):
    """The struct of a rule: its number and every setting, zero where the rule has none of the name."""
    code = int(core("float32").Rule.__members__[rule])
    return {"rule": code} | {name: float(getattr(optimizer, name, 0)) for name in _SETTINGS}


#: every class of update rule
OPTIMIZERS = {"sgd": SGD, "adam": Adam}


def read_optimizer(optimizer):
    """What the user gave, or the default."""
    if optimizer is None:
        return SGD()
    if not isinstance(optimizer, tuple(OPTIMIZERS.values())):
        names = ", ".join(f"fastbp.{kind.__name__}(...)" for kind in OPTIMIZERS.values())
        raise TypeError(f"optimizer must be one of {names}; not {optimizer!r}")
    return optimizer
