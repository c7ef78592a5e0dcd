"""A network as tensors and a configuration, which is what its file holds; and back, trusting nothing."""

import math
import reprlib
import sys
from dataclasses import dataclass

import numpy as np

from fastbp import layers, losses
from fastbp._modelfile import is_count
from fastbp._version import VERSION
from fastbp.activations import ACTIVATIONS
from fastbp.errors import FormatError
from fastbp.losses import Loss

TRAINING = "training."      # begins the names of a checkpoint's tensors that are no part of the network


@dataclass(frozen=True, eq=False)
class Model:
    """A network as a file holds it: all that it takes to make the same one."""

    sizes: tuple                #: from input to output
    layers: tuple               #: of Dense and Scale, with nothing left open
    loss: Loss | None           #: None for one of the user's own, which no file holds
    dtype: str                  #: "float32" or "float64", of all parameters
    seed: int | None
    epochs: int                 #: trained so far
    input_dropout: float
    input_noise: float
    classes: np.ndarray | None  #: labels of the outputs
    rows: list                  #: of each layer W (n_in, n_out), then b, gain, running mean, running variance as it has them


def describe(net) -> tuple[dict[str, np.ndarray], dict]:
    """Tensors and configuration of a network, as they go into its file."""
    tensors: dict[str, np.ndarray] = {}
    for i, rows in enumerate(net._rows(net._stack.get_rows)):
        n = len(rows) - (1, 2, 4)[_n_norms(net.layers[i])]
        parts = [rows[:n], *rows[n:]]
        tensors |= {f"layers.{i}.{name}": part for name, part in zip(_PARTS, parts)}
    config = {"layers": list(net.sizes), "activations": list(net.activations), "loss": net.loss, "dtype": net.dtype.name,
              "seed": net.seed, "classes": None, "epochs": int(net.n_epochs), "fastbp": VERSION,
              "layer_settings": [layers.to_config(layer) for layer in net.layers], "loss_settings": losses.to_config(net._loss),
              "input_dropout": net.input_dropout, "input_noise": net.input_noise}
    if net.classes_ is not None:
        config["classes"], tensors["classes"] = _pack_classes(net.classes_)
    return tensors, config


_PARTS = ("W", "b", "gain", "mean", "variance")     # names of a layer's tensors, in the order of its rows


def _n_norms(layer):
    """How a layer normalises: 0 not, 1 each sample, 2 over batches."""
    return layers.NORMALIZATIONS[getattr(layer, "normalization", None)]


def to_model(tensors, config) -> Model:
    """The model that tensors and configuration describe; a ValueError if they describe none."""
    _check_config(config)
    sizes, made = _read_layers(config)
    _check_parameters(tensors, config, made)
    rows = [np.concatenate([np.atleast_2d(tensors[f"layers.{i}.{name}"]) for name in _PARTS if f"layers.{i}.{name}" in tensors])
            for i in range(len(made))]
    return Model(
        sizes=sizes, layers=made, loss=_read_loss(config), dtype=config["dtype"], seed=config["seed"], epochs=config["epochs"],
        input_dropout=float(config.get("input_dropout", 0)), input_noise=float(config.get("input_noise", 0)),
        classes=_unpack_classes(tensors, config), rows=rows)


def _is_sizes(value):
    return isinstance(value, list) and len(value) > 1 and all(is_count(size) and size for size in value)


def _is_list_of_activations(value):
    return isinstance(value, list) and all(isinstance(name, str) and name in ACTIVATIONS for name in value)


def _is_number(value, below=math.inf):
    return type(value) in (int, float) and 0 <= value < below


_LOSSES = (*losses.LOSSES, losses.CustomLoss.name)

# What `load` needs to find under each key; it ignores all others, which later versions may add.
_CONFIG = {
    "layers": (_is_sizes, "a list of at least two positive whole numbers"),
    "activations": (_is_list_of_activations, f"a list out of {', '.join(ACTIVATIONS)}"),
    "loss": (lambda value: isinstance(value, str) and value in _LOSSES, ", ".join(_LOSSES)),
    "dtype": (lambda value: value in ("float32", "float64"), "float32, float64"),
    "seed": (lambda value: value is None or is_count(value) and value < 2**64, "null or 0 to 2**64 - 1"),
    "classes": (lambda value: value is None or isinstance(value, str), "null, or the name of a NumPy dtype"),
    "epochs": (is_count, "a whole number, not negative"),
}

# What files of before there were such settings do without.
_OPTIONAL = {
    "layer_settings": (lambda value: isinstance(value, list), "a list of objects, one a layer"),
    "loss_settings": (lambda value: isinstance(value, dict), "an object"),
    "input_dropout": (lambda value: _is_number(value, below=1), "a number from 0 to below 1"),
    "input_noise": (_is_number, "a number, not negative"),
}


def _check_config(config):
    for key, (accepts, accepted) in (_CONFIG | _OPTIONAL).items():
        if key in _CONFIG and key not in config:
            raise FormatError(f"the config has no {key!r}")
        if key in config and not accepts(config[key]):
            raise FormatError(f"{key!r} in the config is {reprlib.repr(config[key])}; accepted: {accepted}")
    n_layers = len(config["layers"]) - 1
    for key in ("activations", "layer_settings"):
        if len(config.get(key, config["activations"])) != n_layers:
            raise FormatError(f"the config has {len(config[key])} {key} for {n_layers} layers")


def _read_layers(config):
    """Sizes and layers."""
    given = [layers.from_config(its) for its in config["layer_settings"]] if "layer_settings" in config else [
        layers.Dense(n_out, activation) for n_out, activation in zip(config["layers"][1:], config["activations"])]
    for i, layer in enumerate(given):
        if (layer.n_out, layer.activation) != (config["layers"][i + 1], config["activations"][i]):
            raise FormatError(f"the settings of layer {i} contradict its width or activation in the config")
    return layers.read_layers([config["layers"][0], *given], "identity")


def _read_loss(config):
    """The loss, if a file can hold it; it has been found to suit the number of outputs."""
    settings = config.get("loss_settings", {"name": config["loss"]})
    if settings.get("name") != config["loss"]:
        raise FormatError("the loss_settings in the config are those of another loss")
    if config["loss"] == losses.CustomLoss.name:
        return None
    loss = losses.from_config(settings)
    loss.spec(config["layers"][-1])
    return loss


def _check_parameters(tensors, config, made):
    shapes = {}
    for i, (layer, n_in) in enumerate(zip(made, config["layers"])):
        n = 2 + (0, 1, 3)[_n_norms(layer)]
        n_rows = 1 if isinstance(layer, layers.Scale) else n_in
        shapes |= {f"layers.{i}.{name}": (n_rows, layer.n_out) if name == "W" else (layer.n_out,) for name in _PARTS[:n]}
    n_found = sum(name != "classes" and not name.startswith(TRAINING) for name in tensors)
    if n_found != len(shapes):
        raise FormatError(f"the config asks for {len(shapes)} tensors of parameters, the file has {n_found}")
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if tensor is None:
            raise FormatError(f"there is no tensor {name!r}")
        if tensor.shape != shape or tensor.dtype != config["dtype"]:
            raise FormatError(f"tensor {name!r} is {tensor.dtype} of shape {tensor.shape}; "
                              f"the config asks for {config['dtype']} of shape {shape}")
        if not np.isfinite(tensor).all():
            raise FormatError(f"tensor {name!r} holds a value that is infinite or NaN")
        if name.endswith(".variance") and tensor.min() < 0:
            raise FormatError(f"tensor {name!r} holds a variance below 0")


# Labels that are text: kind in the config -> (NumPy's letter, dtype of one character)
_TEXT = {"str": ("U", np.dtype(np.uint32)), "bytes": ("S", np.dtype(np.uint8))}


def _pack_classes(classes):
    """Return the kind of the labels for the config, and the tensor that carries them.

    There can be too many labels for a header, and they must come back with the same dtype: NumPy's text
    is rows of characters of one length, and is stored as just that.
    """
    classes = np.ascontiguousarray(classes)
    classes = classes.astype(classes.dtype.newbyteorder("="), copy=False)
    for kind, (letter, character) in _TEXT.items():
        if classes.dtype.kind == letter:
            width = classes.itemsize // character.itemsize
            return kind, classes.view(character).reshape(classes.size, width)
    if classes.dtype.kind not in "biuf":
        raise TypeError(f"classes_ has dtype {classes.dtype}; accepted: bool, integer, float, str and bytes")
    return classes.dtype.name, classes


def _unpack_classes(tensors, config):
    """Return the labels, or None if the network has none."""
    kind, tensor, n_out = config["classes"], tensors.get("classes"), config["layers"][-1]
    if kind is None and tensor is None:
        return None
    if kind is None or tensor is None:
        raise FormatError("the config and the tensors disagree on whether there are classes")
    labels = _unpack_text(kind, tensor) if kind in _TEXT else tensor
    if labels.ndim != 1 or (kind not in _TEXT and kind != labels.dtype.name):
        raise FormatError(f"tensor 'classes' is {tensor.dtype} of shape {tensor.shape}; "
                          f"the config asks for {reprlib.repr(kind)}")
    if len(labels) != n_out and (len(labels), n_out) != (2, 1):
        raise FormatError(f"there are {len(labels)} classes for {n_out} outputs")
    if not np.all(labels[:-1] < labels[1:]):
        raise FormatError("the classes are not in rising order")
    return labels


def _unpack_text(kind, tensor):
    letter, character = _TEXT[kind]
    if tensor.dtype != character or tensor.ndim != 2 or tensor.max(initial=0) > sys.maxunicode:
        raise FormatError(f"tensor 'classes' is no table of the characters of {kind}")
    return tensor.view(f"{letter}{max(tensor.shape[1], 1)}").reshape(-1)
