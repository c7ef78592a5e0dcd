"""The words of a `DivergenceError`: where training left the finite numbers, what is kept, and what to try."""

import numpy as np

from fastbp.errors import DivergenceError

KEPT = "the parameters are those before this step, all finite"
CURE = "try a smaller learning_rate, clip_norm, or scale X to about unit variance"


def divergence(stack, X, rows, epoch, step, n_steps, layer, overflowed):
    """The error for a step on some rows of X.

    `layer` is the first whose output is not finite (-1: X, n_layers: the loss alone), or None if it was the update that
    overflowed, in the layer `overflowed`.
    """
    where = f"epoch {epoch + 1}, step {step + 1}" + (f" of {n_steps}" if n_steps is not None else "")
    what = f"the loss of {where} is not finite" if layer is not None else (
        f"the update of {where} leaves numbers that are not finite in {_name(stack, overflowed, 'the optimizer')}")
    with np.errstate(over="ignore"):
        bad = next((i for i in rows if not np.isfinite(X[i].astype(stack.dtype)).all()), None)
    if bad is not None:
        message = f"{what}, because X row {bad} is not ({stack.dtype}); {KEPT}"
    elif layer is None:
        message = f"{what}; {KEPT}; {CURE}"
    else:
        message = f"{what}, first in {_name(stack, layer, 'the loss itself')}; {KEPT}; {CURE}"
    return DivergenceError(message, epoch=epoch, step=step, layer=layer)


def _name(stack, layer, otherwise):
    return f"layer {layer}" if layer < stack.n_layers else otherwise
