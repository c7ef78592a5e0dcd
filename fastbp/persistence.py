"""Model files on the disk: a network's parameters and configuration, whole or not at all.

`write` and `read` move arrays and a configuration; `save` and `load` move what a network is made of. The
bytes are `_modelfile`'s and the disk is `_files`'s: here whatever is wrong with a file becomes one
FormatError that names it.
"""
import contextlib
import os
import reprlib
import sys
from dataclasses import dataclass

import numpy as np

from fastbp._files import open_regular, replace_file
from fastbp._modelfile import decode, encode, is_count
from fastbp._version import VERSION
from fastbp.activations import ACTIVATIONS
from fastbp.errors import FormatError
from fastbp.losses import LOSSES


@dataclass(frozen=True, eq=False)
class Model:
    """A network as a file holds it: all that it takes to make the same one."""

    sizes: list[int]            #: from input to output
    activations: list[str]      #: one a layer
    loss: str
    dtype: str                  #: "float32" or "float64", of weights and biases
    seed: int | None
    epochs: int                 #: trained so far
    classes: np.ndarray | None  #: labels of the outputs
    weights: list[np.ndarray]   #: (n_in, n_out) each
    biases: list[np.ndarray]    #: (n_out,) each


def write(path, tensors: dict[str, np.ndarray], config: dict) -> None:
    """Write arrays and a configuration to a model file.

    The bytes go to a temporary file beside `path`, which takes the place of `path` once they are on the disk.
    If anything fails before that, the temporary file is removed and what was at `path` is untouched.

    Parameters
    ----------
    path : str or path-like
        An existing file keeps its permissions. A symbolic link stays one: the file it leads to is replaced.
    tensors : dict of str to ndarray
        Names are letters, digits and underscores with single dots between them. Dtypes are bool, integers of
        8 to 64 bits and floats of 16 to 64 bits; at most 8 dimensions.
    config : dict
        Anything that JSON holds: str keys, no NaN, no infinity.

    Raises
    ------
    TypeError
        If a tensor's dtype, or the type of a value in `config`, cannot be stored.
    FormatError
        If `read` would refuse the file; nothing is written then.
    OSError
        If the file cannot be written. The new file is in place only if the very last act failed, which makes
        the replacement itself durable.
    """
    path = os.path.realpath(os.fsdecode(path))
    with _naming(path):
        chunks = encode(tensors, config)
    replace_file(path, chunks)


def read(path) -> tuple[dict[str, np.ndarray], dict]:
    """Read a model file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    tensors : dict of str to ndarray
        Writable arrays in native byte order, equal to the written ones bit for bit.
    config : dict

    Raises
    ------
    FormatError
        If this is not a regular file, not a valid model file, or one of a newer format version.
    OSError
        If there is no such file, or it cannot be opened or read.
    """
    path = os.fsdecode(path)
    with open_regular(path) as file, _naming(path):
        return decode(file, os.fstat(file.fileno()).st_size)


def save(net, path) -> None:
    """Save a network: its parameters, configuration, labels and number of epochs.

    Parameters
    ----------
    net : Network
    path : str or path-like
        A file of any name, `.safetensors` by custom. A file that is there already is replaced in one step.

    Raises
    ------
    TypeError
        If `net.classes_` is of a dtype other than bool, integer, float, str or bytes.
    FormatError
        If `load` would refuse the file, as when a parameter is infinite or NaN; nothing is written then.
    OSError
        If the file cannot be written.
    """
    tensors = {}
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        tensors[f"layers.{i}.W"], tensors[f"layers.{i}.b"] = W, b
    config = {"layers": [int(size) for size in net.sizes], "activations": list(net.activations),
              "loss": net.loss, "dtype": np.dtype(net.dtype).name,
              "seed": None if net.seed is None else int(net.seed), "classes": None,
              "epochs": int(net.n_epochs), "fastbp": VERSION}
    if net.classes_ is not None:
        config["classes"], tensors["classes"] = _pack_classes(net.classes_)
    with _naming(os.fsdecode(path)):
        _to_model(tensors, config)  # what `load` would refuse is refused now
    write(path, tensors, config)


def load(path) -> Model:
    """Load what `save` wrote; `fastbp.load` makes a network of it.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Model

    Raises
    ------
    FormatError
        If this is not a regular file, not a valid model file, or one of a newer format version.
    OSError
        If there is no such file, or it cannot be opened or read.
    """
    tensors, config = read(path)
    with _naming(os.fsdecode(path)):
        return _to_model(tensors, config)


def _to_model(tensors, config):
    """Return the model that tensors and config describe, if they do."""
    _check_config(config)
    _check_parameters(tensors, config)
    layers = range(len(config["activations"]))
    return Model(
        sizes=config["layers"], activations=config["activations"], loss=config["loss"], dtype=config["dtype"],
        seed=config["seed"], epochs=config["epochs"], classes=_unpack_classes(tensors, config),
        weights=[tensors[f"layers.{i}.W"] for i in layers], biases=[tensors[f"layers.{i}.b"] for i in layers])


def _is_sizes(value):
    return isinstance(value, list) and len(value) > 1 and all(is_count(size) and size for size in value)


def _is_list_of_activations(value):
    return isinstance(value, list) and all(isinstance(name, str) and name in ACTIVATIONS for name in value)


# What `load` needs to find under each key; it ignores all others, which later versions may add.
_CONFIG = {
    "layers": (_is_sizes, "a list of at least two positive whole numbers"),
    "activations": (_is_list_of_activations, f"a list out of {', '.join(ACTIVATIONS)}"),
    "loss": (lambda value: isinstance(value, str) and value in LOSSES, ", ".join(LOSSES)),
    "dtype": (lambda value: value in ("float32", "float64"), "float32, float64"),
    "seed": (lambda value: value is None or is_count(value) and value < 2**64, "null or 0 to 2**64 - 1"),
    "classes": (lambda value: value is None or isinstance(value, str), "null, or the name of a NumPy dtype"),
    "epochs": (is_count, "a whole number, not negative"),
}


def _check_config(config):
    for key, (accepts, accepted) in _CONFIG.items():
        if key not in config:
            raise FormatError(f"the config has no {key!r}")
        if not accepts(config[key]):
            raise FormatError(f"{key!r} in the config is {reprlib.repr(config[key])}; accepted: {accepted}")
    n_layers, n_activations = len(config["layers"]) - 1, len(config["activations"])
    if n_activations != n_layers:
        raise FormatError(f"the config has {n_activations} activations for {n_layers} layers")
    if LOSSES[config["loss"]].targets == "labels" and config["layers"][-1] < 2:
        raise FormatError(f"the config has {config['loss']} on one output; it needs at least 2")


def _check_parameters(tensors, config):
    sizes = config["layers"]
    n_found, n_needed = len(tensors.keys() - {"classes"}), 2 * (len(sizes) - 1)
    if n_found != n_needed:
        raise FormatError(f"the config asks for {n_needed} tensors of parameters, the file has {n_found}")
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        for name, shape in ((f"layers.{i}.W", (n_in, n_out)), (f"layers.{i}.b", (n_out,))):
            tensor = tensors.get(name)
            if tensor is None:
                raise FormatError(f"there is no tensor {name!r}")
            if tensor.shape != shape or tensor.dtype != config["dtype"]:
                raise FormatError(f"tensor {name!r} is {tensor.dtype} of shape {tensor.shape}; "
                                  f"the config asks for {config['dtype']} of shape {shape}")
            if not np.isfinite(tensor).all():
                raise FormatError(f"tensor {name!r} holds a value that is infinite or NaN")


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


@contextlib.contextmanager
def _naming(path):
    """Turn whatever is wrong with a model into one FormatError that names its file."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path!r}: {error}") from None
