"""What a network is made of: layers as users give them, checked, and as the core reads them."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from fastbp import _settings, _validate
from fastbp._typing import Doubles
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS, default_for

MAX_PARAMS = 2**40      # far beyond any memory, and far from where sizes in bytes overflow

NORMALIZATIONS = {None: 0, "layer": 1, "batch": 2}      #: name -> code in the core


@dataclass(frozen=True, eq=False, repr=False)
class Dense(_settings.Settings):
    """A dense layer, a = f(x W + b), where a network's own settings do not suit it.

    Parameters
    ----------
    n_out : int
        Width of the layer.
    activation : str, optional
        The function f. Default: the network's for a hidden layer, "identity" for the last.
    dropout : float, default 0.0
        In training each number of a is dropped with this probability, and the others are divided by 1 less it;
        Srivastava et al. 2014. In [0, 1).
    normalization : {None, "layer", "batch"}, default None
        a = f(gain u + b), where u is x W with mean 0 and variance 1: over the units of a sample (Ba, Kiros and Hinton 2016);
        or for each unit over the samples of a batch, and outside of training by running statistics (Ioffe and Szegedy 2015).
        In training also a layer that is not trainable takes the statistics of the batch; its running ones stay.
    residual : bool, default False
        Add the layer's input to its output, after dropout; He et al. 2016. The layer must be as wide as its input.
    initializer : str, optional
        One of ``fastbp.initializers.INITIALIZERS``, or "auto". Default: the network's.
    trainable : bool, default True
        If False, no parameter of the layer ever changes in training.
    learning_rate_factor : float, default 1.0
        The learning rate of W is so many times the optimizer's. At least 0.
    bias_learning_rate_factor : float, optional
        Of b and of the gain. Default: as W.
    decay_factor : float, default 1.0
        The optimizer's ``l1``, ``l2`` and ``weight_decay`` are so many times as large here. At least 0.
    max_norm : float, optional
        After each update, the weights into a unit are scaled down to this norm if theirs is larger; Srivastava et al. 2014.
        An optimizer's ``average`` is taken before.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind, unknown, or out of its range.
    """

    name: ClassVar[str] = "dense"
    n_out: int
    activation: str | None = None
    _: dataclasses.KW_ONLY
    dropout: float = 0.0
    normalization: str | None = None
    residual: bool = False
    initializer: str | None = None
    trainable: bool = True
    learning_rate_factor: float = 1.0
    bias_learning_rate_factor: float | None = None
    decay_factor: float = 1.0
    max_norm: float | None = None

    def __post_init__(self):
        self._positive_ints("n_out")
        if self.activation is not None:
            self._one_of("activation", ACTIVATIONS)
        if self.normalization is not None:
            self._one_of("normalization", ("layer", "batch"))
        if self.initializer is not None:
            self._one_of("initializer", ("auto", *INITIALIZERS))
        self._flags("residual", "trainable")
        self._numbers("dropout", at_least=0, below=1)
        self._numbers("learning_rate_factor", "decay_factor", at_least=0)
        self._numbers_or_none("bias_learning_rate_factor", at_least=0)
        self._numbers_or_none("max_norm", above=0)

    def n_params(self, n_in: int) -> int:
        """Numbers that training may change."""
        return (n_in + 1 + (self.normalization is not None)) * self.n_out

    def initial_weights(self, rng: "np.random.Generator", n_in: int) -> Doubles:
        """W (n_in, n_out) to start from, of a layer that `read_layers` returned."""
        return INITIALIZERS[cast(str, self.initializer)](rng, n_in, self.n_out)

    def resolved(self, where: str, n_in: int, activation: str, initializer: str) -> "Dense":
        """The layer with nothing left open, after n_in inputs."""
        if self.residual and n_in != self.n_out:
            raise ValueError(f"{where} has residual=True and must be as wide as its input: n_out is {self.n_out}, not {n_in}")
        activation, initializer = self.activation or activation, self.initializer or initializer
        initializer = default_for(activation) if initializer == "auto" else initializer
        return dataclasses.replace(self, activation=activation, initializer=initializer)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Scale(_settings.Settings):
    """A layer that scales and shifts each of its inputs by itself, a = f(x s + b). It starts as s = 1, b = 0.

    In front of a network it learns which inputs matter; Holzmüller, Grinsztajn and Steinwart 2024.

    Parameters
    ----------
    activation : str, default "identity"
    trainable : bool, default True
    learning_rate_factor : float, default 1.0
    bias_learning_rate_factor : float, optional
        As in `Dense`, for s and b. No decay reaches either.
    n_out : int, optional
        Default, and the only width there is: that of the layer's input.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind, unknown, or out of its range.
    """

    name: ClassVar[str] = "scale"
    activation: str = "identity"
    trainable: bool = True
    learning_rate_factor: float = 1.0
    bias_learning_rate_factor: float | None = None
    n_out: int | None = None

    def __post_init__(self):
        self._one_of("activation", ACTIVATIONS)
        self._flags("trainable")
        self._numbers("learning_rate_factor", at_least=0)
        self._numbers_or_none("bias_learning_rate_factor", at_least=0)
        if self.n_out is not None:
            self._positive_ints("n_out")

    def n_params(self, n_in: int) -> int:
        """Numbers that training may change."""
        return 2 * n_in

    def initial_weights(self, rng: "np.random.Generator", n_in: int) -> Doubles:
        """s (1, n_in) to start from."""
        return np.ones((1, n_in))

    def resolved(self, where: str, n_in: int, activation: str, initializer: str) -> "Scale":
        """The layer with its width, after n_in inputs."""
        if self.n_out not in (None, n_in):
            raise ValueError(f"{where} is a Scale layer and must be as wide as its input: n_out is {self.n_out}, not {n_in}")
        return dataclasses.replace(self, n_out=n_in)


LAYERS = {layer.name: layer for layer in (Dense, Scale)}        #: name -> class, in the order of the core's codes


def read_layers(layers, activation, initializer="auto"):
    """Sizes, and layers with nothing left open, of what the user gave.

    Returns
    -------
    sizes : tuple of int
        Widths from input to output.
    layers : tuple of Dense and Scale
    """
    if not isinstance(layers, (list, tuple, range, np.ndarray)) or len(layers) < 2:
        raise ValueError(f"layers must be the number of inputs and at least one layer, such as [784, 128, 10], not {layers!r}")
    if isinstance(layers[0], tuple(LAYERS.values())):
        raise ValueError(f"layers[0] must be the number of inputs, an integer, not a {type(layers[0]).__name__} layer")
    sizes, made = [_validate.positive_int("layers[0]", layers[0])], []
    for i, layer in enumerate(layers[1:], 1):
        if not isinstance(layer, tuple(LAYERS.values())):
            layer = Dense(_validate.positive_int(f"layers[{i}]", layer))
        default = "identity" if i == len(layers) - 1 else activation
        made.append(layer.resolved(f"layers[{i}]", sizes[-1], default, initializer))
        sizes.append(made[-1].n_out)
    n_params = sum(layer.n_params(n_in) for n_in, layer in zip(sizes, made))
    if n_params > MAX_PARAMS:
        raise ValueError(f"layers make {n_params:,} parameters; at most {MAX_PARAMS:,} can be addressed")
    return tuple(sizes), tuple(made)


def layer_spec(layer):
    """The core's `LayerSpec` of a layer that `read_layers` returned."""
    bias_factor = layer.bias_learning_rate_factor
    spec = {
        "kind": list(LAYERS).index(layer.name), "n_out": layer.n_out, "activation": ACTIVATIONS[layer.activation],
        "norm": 0, "residual": False, "trainable": layer.trainable, "dropout": 0.0, "rate": layer.learning_rate_factor,
        "bias_rate": layer.learning_rate_factor if bias_factor is None else bias_factor, "decay": 0.0, "max_norm": 0.0,
    }
    if isinstance(layer, Scale):
        return spec
    return spec | {"norm": NORMALIZATIONS[layer.normalization], "residual": layer.residual, "dropout": layer.dropout,
                   "decay": layer.decay_factor, "max_norm": layer.max_norm or 0.0}


def to_config(layer):
    """A layer as a dict that JSON holds: {"name": "dense", "n_out": 128, ...}."""
    return _settings.to_config(layer)


def from_config(config):
    """The layer that `to_config` described.

    Raises
    ------
    ValueError
        If no layer has such a description.
    """
    return _settings.from_config("layer", config, LAYERS)
