"""Callbacks that tell how a fit is going: on a terminal, in a file, or in TensorBoard.

A log holds exactly the epochs of the `History`, also after a fit was killed and resumed: it is written anew when a fit
begins, and a line is added after each epoch.
"""

import csv
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from fastbp import _validate
from fastbp._typing import Path
from fastbp.history import History

if TYPE_CHECKING:
    from fastbp.network import Network


class ProgressBar:
    """What ``verbose=1`` shows: a line an epoch, above a bar where there is tqdm and a terminal."""

    def __init__(self) -> None:
        self._bar = None

    def begin(self, net: "Network", history: History) -> None:
        self._bar = open_bar(history.epochs)
        self.tick(history.n_epochs)

    def tick(self, progress: float) -> None:
        if self._bar is not None:
            self._bar.update(progress - self._bar.n)

    def __call__(self, net: "Network", history: History) -> None:
        line = f"epoch {history.n_epochs}/{history.epochs}  {history.line()}"
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)
            self.tick(history.n_epochs)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def open_bar(epochs):
    """A bar over so many epochs; None if there is no tqdm or no terminal."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=epochs, leave=False, bar_format="{percentage:3.0f} % {bar} {remaining} left")


class _Log:
    """A text file with something for each epoch."""

    def __init__(self, path: Path) -> None:
        self.path = _validate.path("path", path)

    def _start(self, file, history):
        """What stands above the epochs: nothing, where a line says all by itself."""

    def _add(self, file, row):
        raise NotImplementedError

    def begin(self, net: "Network", history: History) -> None:
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            self._start(file, history)
            for epoch in range(history.n_epochs):
                self._add(file, history.row(epoch))

    def __call__(self, net: "Network", history: History) -> None:
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            self._add(file, history.row(-1))


class CSVLog(_Log):
    """Writes a table with a row an epoch: epoch, loss, metric, those of the validation data, learning_rate, seconds.

    Parameters
    ----------
    path : str or path-like
        A file that is there already is overwritten.
    """

    def _start(self, file, history):
        csv.writer(file, lineterminator="\n").writerow(history.columns)

    def _add(self, file, row):
        csv.writer(file, lineterminator="\n").writerow(row.values())


class JSONLog(_Log):
    """Writes a JSON object an epoch, each on its line, with the keys that `CSVLog` has as columns.

    Parameters
    ----------
    path : str or path-like
        A file that is there already is overwritten.
    """

    def _add(self, file, row):
        finite = {key: value if math.isfinite(value) else None for key, value in row.items()}   # JSON has no NaN
        file.write(json.dumps(finite, allow_nan=False) + "\n")


class TensorBoard:
    """Writes scalars for TensorBoard, through the package tensorboardX.

    Parameters
    ----------
    directory : str or path-like
        Takes the event files.

    Raises
    ------
    ImportError
        When a fit begins, if tensorboardX is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = _validate.path("directory", directory)
        self._writer: Any = None

    def begin(self, net: "Network", history: History) -> None:
        from tensorboardX import SummaryWriter
        # What a killed fit wrote of the epochs that are now repeated is not shown; names have whole seconds alone.
        self._writer = SummaryWriter(self.directory, purge_step=history.n_epochs + 1 if history.n_epochs else None,
                                     filename_suffix=f".{os.getpid()}.{history.n_epochs}")

    def __call__(self, net: "Network", history: History) -> None:
        row = history.row(-1)
        epoch = row.pop("epoch")
        for name, value in row.items():
            self._writer.add_scalar(name, value, epoch)
        for layer, norms in enumerate(history.health[-1] if history.health else ()):
            for name, norm in zip(("dz", "dW", "dW_to_W", "saturated", "W", "dead"), norms.tolist()):
                self._writer.add_scalar(f"health/{name}/layer_{layer}", norm, epoch)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
