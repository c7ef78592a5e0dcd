"""Sparse samples for the estimators of `fastbp.sklearn`, whose core reads dense rows: made dense in parts, never as a whole."""

import numpy as np
from scipy.sparse import issparse

from fastbp.training import Data

AT_ONCE = 2**22         # numbers that are made dense together


def rows_at_once(X):
    """How many rows of a sparse X are made dense together; of a dense one, all."""
    return max(1, AT_ONCE // X.shape[1]) if issparse(X) else max(1, X.shape[0])


def parts(X):
    """The rows of X in parts, dense, with the place of each in the whole."""
    size = rows_at_once(X)
    for first in range(0, X.shape[0], size):
        place = slice(first, first + size)
        yield place, X[place].toarray() if issparse(X) else X


def dense_parts(data):
    """Samples in parts whose X is dense; those of a dense X as they are."""
    for place, X in parts(data.X):
        yield Data(X, data.y[place], None if data.weights is None else data.weights[place])


def take(data, rows):
    """Data with a dense X, and the places in it of some of the samples."""
    if not issparse(data.X):
        return data, rows
    weights = None if data.weights is None else data.weights[rows]
    return Data(data.X[rows].toarray(), data.y[rows], weights), np.arange(len(rows))
