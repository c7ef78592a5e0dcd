"""The update rules: w <- w - eta dL/dw and its variants. The formulas run in ``_core/optimizers.pxi``; L-BFGS is in ``lbfgs``.

In all formulas eta is the learning rate, g the gradient of the mean loss over a batch, clipped and with its penalties, and
t = 1, 2, ... the number of the update.
"""

from dataclasses import dataclass, field

from fastbp._rates import LearningRate
from fastbp._update import SMALLEST_EPS
from fastbp._update import Optimizer as Optimizer
from fastbp.lbfgs import LBFGS as LBFGS


@dataclass(frozen=True, eq=False, repr=False)
class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if asked.

    - plain: w <- w - eta g
    - momentum: v <- momentum v - eta g;  w <- w + v
    - Nesterov: v likewise;  w <- w + momentum v - eta g

    as in Goodfellow, Bengio and Courville, *Deep Learning* (2016), algorithms 8.1 to 8.3; the last in the form of
    Sutskever et al. (2013).

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.1
    momentum : float, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Needs `momentum` greater than 0.
    **common
        See `fastbp.optimizers.Optimizer`, which also says what is raised.
    """

    learning_rate: LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._numbers("momentum", at_least=0, below=1)
        self._flags("nesterov")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum greater than 0, not 0")

    def _rule(self):
        return "NESTEROV" if self.nesterov else "MOMENTUM" if self.momentum else "SGD", {"momentum": self.momentum}


@dataclass(frozen=True, eq=False, repr=False)
class AdaGrad(Optimizer):
    r"""AdaGrad: rates that fall where gradients have been large; Duchi, Hazan and Singer 2011.

    r <- r + g^2;  w <- w - eta g / (sqrt(r) + eps)

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.01
    eps : float, default 1e-7
        At least 1e-30.
    **common
        See `fastbp.optimizers.Optimizer`.
    """

    learning_rate: LearningRate = 0.01
    eps: float = 1e-7

    def __post_init__(self):
        super().__post_init__()
        self._numbers("eps", at_least=SMALLEST_EPS)

    def _rule(self):
        return "ADAGRAD", {"eps": self.eps}


@dataclass(frozen=True, eq=False, repr=False)
class RMSprop(Optimizer):
    r"""RMSprop, with momentum if asked: AdaGrad with a fading memory; Tieleman and Hinton 2012.

    v <- rho v + (1 - rho) g^2;  u <- momentum u - eta g / (sqrt(v) + eps);  w <- w + u

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.001
    rho : float, default 0.9
        In [0, 1).
    momentum : float, default 0.0
        In [0, 1).
    eps : float, default 1e-7
        At least 1e-30.
    **common
        See `fastbp.optimizers.Optimizer`.
    """

    learning_rate: LearningRate = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    eps: float = 1e-7

    def __post_init__(self):
        super().__post_init__()
        self._numbers("rho", "momentum", at_least=0, below=1)
        self._numbers("eps", at_least=SMALLEST_EPS)

    def _rule(self):
        return "RMSPROP", {"beta2": self.rho, "momentum": self.momentum, "eps": self.eps}


@dataclass(frozen=True, eq=False, repr=False)
class _Moments(Optimizer):
    """Base of the rules with two fading means, of g and of g^2."""

    learning_rate: LearningRate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        self._numbers("beta1", "beta2", at_least=0, below=1)
        self._numbers("eps", at_least=SMALLEST_EPS)

    def _moments(self):
        return {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}


@dataclass(frozen=True, eq=False, repr=False)
class Adam(_Moments):
    r"""Adam; Kingma and Ba 2015, algorithm 1.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.001
    beta1, beta2 : float, default 0.9, 0.999
        In [0, 1).
    eps : float, default 1e-8
        At least 1e-30.
    amsgrad : bool, default False
        Divide by the largest v so far: AMSGrad; Reddi, Kale and Kumar 2018.
    **common
        See `fastbp.optimizers.Optimizer`.
    """

    amsgrad: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._flags("amsgrad")

    def _rule(self):
        return "AMSGRAD" if self.amsgrad else "ADAM", self._moments()


@dataclass(frozen=True, eq=False, repr=False)
class AdamW(Adam):
    r"""`Adam` with decoupled weight decay: w <- w - eta weight_decay w before each update; Loshchilov and Hutter 2019.

    Parameters
    ----------
    weight_decay : float, default 0.01
    **others
        See `Adam`.
    """

    weight_decay: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True, eq=False, repr=False)
class NAdam(_Moments):
    r"""Adam with Nesterov's look ahead; Dozat 2016, with a constant beta1.

    m and v as in `Adam`;
    w <- w - eta (beta1 m / (1 - beta1^(t+1)) + (1 - beta1) g / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    learning_rate, beta1, beta2, eps, **common
        See `Adam`.
    """

    def _rule(self):
        return "NADAM", self._moments()


@dataclass(frozen=True, eq=False, repr=False)
class Lion(Optimizer):
    r"""Lion: steps of one size, the sign of a momentum; Chen et al. 2023.

    w <- w - eta sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g

    Parameters
    ----------
    learning_rate : float, Schedule or callable, default 0.0001
        A third to a tenth of what suits Adam.
    beta1, beta2 : float, default 0.9, 0.99
        In [0, 1).
    **common
        See `fastbp.optimizers.Optimizer`.
    """

    learning_rate: LearningRate = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        self._numbers("beta1", "beta2", at_least=0, below=1)

    def _rule(self):
        return "LION", {"beta1": self.beta1, "beta2": self.beta2}


@dataclass(frozen=True, eq=False, repr=False)
class Rprop(Optimizer):
    r"""Resilient backpropagation, iRprop-: a step of its own for each weight, from signs alone; Igel and Hüsken 2003.

    With p the product of g and the g before: p > 0: s <- min(eta_plus s, step_max); p < 0: s <- max(eta_minus s, step_min)
    and g <- 0;  w <- w - sign(g) s. Signs of small batches contradict each other: it is meant for the full batch.

    Parameters
    ----------
    learning_rate : float, default 0.01
        The first s of every weight. A number, since the steps are the rule's own.
    eta_minus : float, default 0.5
        In (0, 1).
    eta_plus : float, default 1.2
        Greater than 1.
    step_min, step_max : float, default 1e-6, 50.0
        Greater than 0, and the second greater than the first.
    **common
        See `fastbp.optimizers.Optimizer`.
    """

    learning_rate: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    step_min: float = 1e-6
    step_max: float = 50.0

    def __post_init__(self):
        self._numbers("learning_rate", above=0)
        super().__post_init__()
        self._numbers("eta_minus", above=0, below=1)
        self._numbers("eta_plus", above=1)
        self._numbers("step_min", at_least=SMALLEST_EPS)
        self._numbers("step_max", above=self.step_min)

    def _rule(self):
        return "RPROP", {"beta1": self.eta_minus, "beta2": self.eta_plus, "eps": self.step_min, "upper": self.step_max}


#: name -> class
OPTIMIZERS: dict[str, type[Optimizer] | type[LBFGS]] = {
    "sgd": SGD, "adagrad": AdaGrad, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW, "nadam": NAdam, "lion": Lion,
    "rprop": Rprop, "lbfgs": LBFGS,
}


def read_optimizer(optimizer: Optimizer | LBFGS | None) -> Optimizer | LBFGS:
    """What the user gave, or the default."""
    if optimizer is None:
        return SGD()
    if not isinstance(optimizer, tuple(OPTIMIZERS.values())):
        names = ", ".join(f"fastbp.{kind.__name__}(...)" for kind in OPTIMIZERS.values())
        raise TypeError(f"optimizer must be one of {names}; not {optimizer!r}")
    return optimizer
