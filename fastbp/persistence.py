"""Model files on the disk: a network's parameters and configuration, whole or not at all.

`write` and `read` move arrays and a configuration; `save` and `load` move what a network is made of. The
bytes are `_modelfile`'s and the disk is `_files`'s: here whatever is wrong with a file becomes one
FormatError that names it.
"""
import contextlib
import os

import numpy as np

from fastbp._description import Model, describe, to_model
from fastbp._files import open_regular, replace_file
from fastbp._modelfile import decode, encode
from fastbp.errors import FormatError


def write(path, tensors: dict[str, np.ndarray], config: dict, keep=None) -> None:
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
    keep : str, optional
        A path in the same directory, under which the file that was there is kept.

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
    replace_file(path, chunks, keep)


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
        If ``net.classes_`` is of a dtype other than bool, integer, float, str or bytes.
    FormatError
        If `load` would refuse the file, as when a parameter is infinite or NaN; nothing is written then.
    OSError
        If the file cannot be written.
    """
    with _naming(os.fsdecode(path)):
        tensors, config = describe(net)
        to_model(tensors, config)  # what `load` would refuse is refused now
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
        return to_model(tensors, config)


@contextlib.contextmanager
def _naming(path):
    """Turn whatever is wrong with a model into one FormatError that names its file."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path!r}: {error}") from None
