"""Read the tables that the command line takes.

A table is an `.npz` file, an `.npy` file of X with one of y beside it, or a `.csv` file. Nothing here
unpickles, and whatever is wrong with a file is a ValueError that names the file and the place in it.
"""
import csv
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

CSV_ROWS_AT_ONCE = 4096  # bounds the memory that cells take as text


class Table(NamedTuple):
    """Arrays of one data set; None where the file has none."""

    X: np.ndarray
    y: np.ndarray | None
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None


def open_table(paths, target=None):
    """Read the samples and targets to train on, and the test set if the file brings one.

    Parameters
    ----------
    paths : list of str
        One .npz (X and y, or x_train and y_train; x_test and y_test if there is a test set), one .csv, or two
        .npy files, X and y. The X of an .npy file is mapped into memory, not read.
    target : str, optional
        The column of y in a .csv file: a name in its header, or an index from 0, or from -1 for the last.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If a file is not what its name says, or holds no usable X and y.
    OSError
        If a file cannot be opened.
    """
    kind = _kind(paths, target)
    if kind == ".csv" and target is None:
        raise ValueError(f"{paths[0]} needs --target, the column of y: a name in its header, or an index "
                         "from 0, or -1 for the last")
    if kind == ".npy" and len(paths) == 1:
        raise ValueError(f"{paths[0]} is X alone: give a second .npy file, y")
    if kind != ".npz":
        return _read_plain(paths, target)
    with _open_npz(paths[0]) as archive:
        X, y = archive.first_pair(("X", "y"), ("x_train", "y_train"))
        X_test, y_test = archive.get("x_test"), archive.get("y_test")
    if y is None:
        raise ValueError(f"{paths[0]} holds an X without its y")
    if (X_test is None) != (y_test is None):
        raise ValueError(f"{paths[0]} holds one of x_test and y_test without the other")
    if X_test is None:
        return Table(*_checked(paths[0], X, y))
    if X_test.shape[1:] != X.shape[1:]:
        raise ValueError(f"{paths[0]}: a sample to train on has shape {X.shape[1:]}, "
                         f"one of x_test {X_test.shape[1:]}")
    return Table(*_checked(paths[0], X, y), *_checked(paths[0], X_test, y_test))


def open_samples(paths, target=None):
    """Read the samples to predict, and their targets if they are there.

    Parameters
    ----------
    paths, target
        As for `open_table`. An .npz is read for x_test and y_test, or else for X and y; y may be missing.

    Returns
    -------
    X : ndarray
    y : ndarray or None
    is_test_set : bool
        Whether X is the file's x_test.
    """
    if _kind(paths, target) != ".npz":
        return *_read_plain(paths, target)[:2], False
    with _open_npz(paths[0]) as archive:
        X, y = archive.first_pair(("x_test", "y_test"), ("X", "y"))
        is_test_set = "x_test" in archive
    return *_checked(paths[0], X, y), is_test_set


def _kind(paths, target):
    suffixes = [Path(path).suffix.lower() for path in paths]
    if suffixes not in ([".npz"], [".csv"], [".npy"], [".npy", ".npy"]):
        raise ValueError("DATA must be one .npz file, one .csv file or two .npy files (X and y), "
                         f"got {' '.join(map(str, paths))}")
    if target is not None and suffixes != [".csv"]:
        raise ValueError(f"--target names a column of a .csv file, and {paths[0]} has no columns to name")
    return suffixes[0]


def _read_plain(paths, target):
    if Path(paths[0]).suffix.lower() == ".csv":
        return Table(*_checked(paths[0], *_read_csv(paths[0], target)))
    with _naming(paths[0]):
        X = np.lib.format.open_memmap(paths[0], mode="r")
    return Table(*_checked(paths[0], X, _read_npy(paths[1]) if len(paths) == 2 else None))


# .npz and .npy

@contextmanager
def _naming(path):
    """Turn every way in which a damaged or hostile file can fail to be read into one error that names it."""
    try:
        yield
    except Exception as error:  # NumPy, zipfile and zlib raise a dozen types between them
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file cannot be opened, and that error names it
        raise ValueError(f"{path} is not a readable {Path(path).suffix} file: {error}") from error


def _read_npy(path):
    with open(path, "rb") as file, _naming(path):
        return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _open_npz(path):
    with open(path, "rb") as file:  # np.load leaves a file open that is no archive
        with _naming(path):
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single .npy array")
        with archive:
            yield _Npz(path, archive)


class _Npz:
    """The arrays of an .npz file by name, in any case; one is read only when it is asked for."""

    def __init__(self, path, archive):
        self.path = path
        self._archive = archive
        self._keys = {key.lower(): key for key in archive.files}

    def __contains__(self, name):
        return name.lower() in self._keys

    def get(self, name):
        """The array `name`, None if the file has none."""
        with _naming(self.path):
            return self._archive[self._keys[name.lower()]] if name in self else None

    def first_pair(self, *pairs):
        """X and y under the first pair of names whose X is there."""
        for X_name, y_name in pairs:
            if X_name in self:
                return self.get(X_name), self.get(y_name)
        accepted = ", or ".join(" and ".join(pair) for pair in pairs)
        names = ", ".join(self._keys.values()) or "nothing"
        raise ValueError(f"{self.path} must hold {accepted}; it holds {names}")


def _checked(path, X, y):
    """X and y if they can be samples and their targets, y (B, 1) made (B,)."""
    if X.ndim < 2 or X.size == 0 or X.dtype.kind not in "biuf":
        raise ValueError(f"{path}: X must be numbers of shape (samples, features, ...), none of them 0; "
                         f"got {X.dtype} of shape {X.shape}")
    if y is None:
        return X, None
    if y.ndim not in (1, 2) or len(y) != len(X) or y.size == 0 or y.dtype.kind not in "biufSU":
        raise ValueError(f"{path}: y must be one label or one row of values for each of the {len(X)} samples "
                         f"of X; got {y.dtype} of shape {y.shape}")
    return X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


# .csv

def _read_csv(path, target):
    """X (B, I) float64 and y of a .csv file; y is None if there is no target."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            return _parse_csv(csv.reader(file, skipinitialspace=True), target)
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: {error}") from error


def _parse_csv(reader, target):
    rows = ((reader.line_num, row) for row in reader if row)
    line, first = next(rows, (0, None))
    if first is None:
        raise ValueError("the file is empty")
    columns = [cell.strip() for cell in first]
    has_header = not any(map(_is_number, columns)) or (target in columns and not _is_number(target))
    if not has_header:
        columns, rows = [str(i) for i in range(len(first))], chain([(line, first)], rows)
    column = None if target is None else _column_of(columns, target)
    features = [name for i, name in enumerate(columns) if i != column]
    blocks, y = [], []
    while chunk := list(islice(rows, CSV_ROWS_AT_ONCE)):
        for line, row in chunk:
            if len(row) != len(columns):
                raise ValueError(f"line {line} has {len(row)} cells, the first line has {len(columns)}")
            if column is not None:
                y.append(_label(row.pop(column), line, target))
        blocks.append(_numbers(chunk, features))
    if not blocks:
        raise ValueError("there is a header and no sample under it")
    return np.concatenate(blocks), None if column is None else _labels_or_numbers(y)


def _column_of(columns, target):
    """The index of the column that the user calls `target`: the name first, then the number."""
    if target in columns:
        return columns.index(target)
    try:
        return range(len(columns))[int(target)]
    except (ValueError, IndexError):
        names = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
        raise ValueError(f"--target {target!r} is neither a column ({names}) nor an index "
                         f"from {-len(columns)} to {len(columns) - 1}") from None


def _label(cell, line, target):
    if not cell.strip():
        raise ValueError(f"line {line}, column {target}: the target is missing")
    return cell.strip()


def _labels_or_numbers(cells):
    """Cells as whole numbers if all of them are, or else as numbers, or else as the strings they are."""
    for dtype in (np.int64, np.float64):
        try:
            return np.array(cells, dtype=dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(cells)


def _numbers(chunk, features):
    """The cells (B, I) of a chunk as float64; the error names the first cell that is no finite number."""
    try:
        block = np.array([row for _, row in chunk], dtype=np.float64)
        if np.isfinite(block).all():
            return block
    except ValueError:
        pass
    line, name, cell = next((line, name, cell) for line, row in chunk for name, cell in zip(features, row)
                            if not _is_number(cell))
    raise ValueError(f"line {line}, column {name}: {cell!r} is not a finite number")


def _is_number(cell):
    try:
        return bool(np.isfinite(np.array(cell, dtype=np.float64)))
    except ValueError:
        return False
