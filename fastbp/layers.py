"""What a network is made of: layers as users give them, checked."""

from dataclasses import dataclass

import numpy as np

from fastbp import _validate
from fastbp.activations import ACTIVATIONS

MAX_PARAMS = 2**40      # far beyond any memory, and far from where sizes in bytes overflow


@dataclass(frozen=True)
class Dense:
    """A dense layer, a = f(x W + b), where a network's own settings do not suit it.

    Parameters
    ----------
    n_out : int
        Width of the layer.
    activation : str, optional
        Default: the network's for a hidden layer, "identity" for the last.
    """

    n_out: int
    activation: str | None = None

    def __post_init__(self):
        _validate.positive_int("n_out", self.n_out)
        if self.activation is not None:
            _validate.one_of("activation", self.activation, ACTIVATIONS)


def read_layers(layers, activation):
    """Sizes and activations of what the user gave as layers."""
    if not isinstance(layers, (list, tuple, range, np.ndarray)) or len(layers) < 2:
        raise ValueError(f"layers must be the number of inputs and at least one layer, such as [784, 128, 10], not {layers!r}")
    if isinstance(layers[0], Dense):
        raise ValueError("layers[0] must be the number of inputs, an integer, not a Dense layer")
    sizes, activations = [_validate.positive_int("layers[0]", layers[0])], []
    for i, layer in enumerate(layers[1:], 1):
        if not isinstance(layer, Dense):
            layer = Dense(_validate.positive_int(f"layers[{i}]", layer))
        sizes.append(int(layer.n_out))
        activations.append(layer.activation or ("identity" if i == len(layers) - 1 else activation))
    n_params = sum((n_in + 1) * n_out for n_in, n_out in zip(sizes, sizes[1:]))
    if n_params > MAX_PARAMS:
        raise ValueError(f"layers make {n_params:,} parameters; at most {MAX_PARAMS:,} can be addressed")
    return tuple(sizes), tuple(activations)
