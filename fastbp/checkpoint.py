"""Checkpoints: files with all that a fit needs to go on, two generations of them.

A checkpoint is a model file (`persistence`) with more in it: `fastbp.load` reads the network, `fit(..., resume=path)` the
rest. Here is the file; what of a fit goes into it is in `resuming`.
"""

import contextlib
import os
import warnings
from dataclasses import dataclass
from typing import Any

from fastbp import _validate, persistence
from fastbp._files import remove_temporaries
from fastbp._typing import Path
from fastbp.errors import FormatError

PREVIOUS = ".previous"


class Checkpoint:
    """A callback that keeps a fit's whole state in a file, so that ``fit(..., resume=path)`` goes on from there to the last
    bit: parameters, optimizer, place in the epoch, history, best metric.

    The file is replaced in one step, and the one before is kept as ``path`` + ".previous": a kill at any moment, also amid
    the writing, leaves a whole one. It is also a model file, for `fastbp.load`. Written after all other callbacks, and when
    the fit ends.

    Parameters
    ----------
    path : str or path-like
        In a directory that exists. What is there is replaced.
    every : "epoch" or int, default "epoch"
        After every epoch, or after every so many steps.

    Raises
    ------
    TypeError, ValueError
        If every is neither.

    Examples
    --------
    One command that is simply started again after whatever stopped it::

        net.fit(X, y, epochs=100, callbacks=[fastbp.Checkpoint("run.safetensors", every=1000)], resume="run.safetensors")
    """

    def __init__(self, path: Path, every: int | str = "epoch") -> None:
        self.path = _validate.path("path", path)
        self.every = every if isinstance(every, str) and every == "epoch" else _validate.positive_int("every", every)
        self._keep: str | None = None

    def begin(self, resumed: "Saved | None") -> None:
        """A fit starts, from a `Saved` or, with None, from nothing."""
        self.path = os.path.realpath(self.path)
        if not os.path.isdir(os.path.dirname(self.path)):
            raise FileNotFoundError(f"Checkpoint: there is no directory {os.path.dirname(self.path)!r}")
        remove_temporaries(self.path)
        previous = self.path + PREVIOUS
        good = None if resumed is None else resumed.path
        if good not in (self.path, previous):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(previous)                     # of another fit
        # The previous generation is the next to go, unless it is the one that was good.
        self._keep = previous if good == self.path else None

    def write(self, tensors: dict[str, Any], config: dict[str, Any]) -> None:
        """Write the next generation."""
        persistence.write(self.path, tensors, config, keep=self._keep)
        self._keep = self.path + PREVIOUS


@dataclass(frozen=True, eq=False)
class Saved:
    """A checkpoint that has been read."""

    path: str
    tensors: dict[str, Any]
    config: dict[str, Any]


def read(path):
    """Read the newest whole generation of a checkpoint.

    Returns
    -------
    Saved or None
        None if there is no file yet.

    Raises
    ------
    FormatError
        If what is there is damaged, all of it, or no checkpoint. A damaged newest generation with a whole one before it is a
        UserWarning.
    OSError
        If a file cannot be opened or read.
    """
    path = os.path.realpath(_validate.path("resume", path))
    damage = None
    for generation in (path, path + PREVIOUS):
        try:
            saved = Saved(generation, *persistence.read(generation))
        except FileNotFoundError:
            continue
        except FormatError as error:
            damage = damage or error
            continue
        if "training" not in saved.config:
            raise FormatError(f"{generation!r}: a model, but no checkpoint of a fit; read it with fastbp.load")
        if damage is not None:
            warnings.warn(f"{damage}; going on from the generation before it, {generation!r}", UserWarning, stacklevel=4)
        return saved
    if damage is not None:
        raise damage
    return None
