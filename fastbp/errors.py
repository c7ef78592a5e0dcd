"""The errors that are this package's own; everything else raises the built-in ones.

Each is also the built-in error that fits it, so that code which knows nothing of fastbp can catch it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastbp.history import History


class FormatError(ValueError):
    """A model file is not valid, or a model cannot be put into one. The message names the file."""


class DivergenceError(ArithmeticError):
    """Training left the finite numbers: the loss or a parameter became infinite or NaN.

    The network keeps its last finite parameters.

    Attributes
    ----------
    epoch, step : int
        Where, counted from 0; ``step`` within the epoch. The parameters are those before this step.
    layer : int or None
        First layer whose output is not finite; -1 for X itself, ``n_layers`` for the loss alone, None when it was an
        update that overflowed.
    history : History
        Of the fit, if it was `fastbp.Network.fit` that raised this: the epochs before.
    """

    history: "History"

    def __init__(self, message: str, epoch: int | None = None, step: int | None = None, layer: int | None = None) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer = epoch, step, layer
