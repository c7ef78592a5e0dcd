"""Where the samples of an epoch come from: arrays, which are one chunk, or a stream of chunks that need not fit in memory."""

from collections.abc import Iterator

import numpy as np

from fastbp import _targets


class Arrays:
    """All samples at once, or those of them at `rows`, int64 places that an order is taken from."""

    is_stream = False

    def __init__(self, data, rows=None):
        self.first, self.rows = data, rows

    def chunks(self):
        """The chunks of an epoch."""
        return iter([self.first])

    @property
    def n_samples(self):
        return len(self.first.X if self.rows is None else self.rows)


class Stream:
    """Chunks that a user's function, or anything else that can be gone through anew, gives for each epoch.

    `read(called, *chunk)` checks one, whose X is `called.format("X")` in messages. The first is read at once, so that it is
    known what to train on.
    """

    is_stream, rows = True, None

    def __init__(self, chunks, epochs, read):
        if isinstance(chunks, Iterator) and epochs > 1:
            raise ValueError(f"X is an iterator, which can be gone through once, and epochs is {epochs}; give the function that "
                             "makes it, as in fit(batches) instead of fit(batches())")
        self._source, self._read = chunks, read
        self._opened = self._open()
        self.first = self._next(self._opened, 0)
        if self.first is None:
            raise ValueError("X must give at least one chunk (X, y)")

    def chunks(self):
        """The chunks of an epoch."""
        if self._opened is not None:                # the first epoch's, of which the first chunk has been read
            opened, self._opened, chunk, self.first = self._opened, None, self.first, None
        else:
            opened = self._open()
            chunk = self._next(opened, 0)
            if chunk is None:
                raise ValueError("X gave no chunk in this epoch; it must give a new iterator each time")
        number = 0
        while chunk is not None:
            yield chunk
            number += 1
            chunk = self._next(opened, number)

    def _open(self):
        chunks = self._source() if callable(self._source) else self._source
        try:
            return iter(chunks)
        except TypeError:
            raise TypeError(f"X must give chunks (X, y), not {chunks!r}") from None

    def _next(self, opened, number):
        try:
            chunk = next(opened)
        except StopIteration:
            return None
        if not isinstance(chunk, (tuple, list)) or len(chunk) not in (2, 3):
            raise ValueError(f"chunk {number} of X must be a pair (X, y) or a triple (X, y, sample_weight), not "
                             f"{type(chunk).__name__}" + (f" of {len(chunk)}" if isinstance(chunk, (tuple, list)) else ""))
        return self._read(f"{{}} of chunk {number}", *chunk)


def is_stream(X, y):
    """Whether these are no arrays: y is missing, and X a function or a collection of chunks."""
    return y is None and not hasattr(X, "shape") and (callable(X) or hasattr(X, "__iter__")) and not isinstance(X, (str, bytes))


class Spread:
    """Sum of (y - mean)^2 over all outputs: the denominator of r2, for chunks by the formula of Chan, Golub and LeVeque
    (1979). NaN is left out."""

    def __init__(self):
        self.n_samples, self._n, self._mean, self._squares = 0, 0.0, 0.0, 0.0

    def add(self, y):
        known = ~np.isnan(y)
        n, values = known.sum(axis=0), np.where(known, y, 0).astype(np.float64)
        mean = values.sum(axis=0) / np.maximum(n, 1)
        both = np.maximum(self._n + n, 1)
        shift = np.where(n > 0, mean - self._mean, 0)
        self._squares = self._squares + (known * (values - mean) ** 2).sum(axis=0) + shift**2 * self._n * n / both
        self._mean = self._mean + shift * n / both
        self._n, self.n_samples = self._n + n, self.n_samples + len(y)

    def r2(self, score, n_samples):
        """1 - residual / spread of so many of the samples."""
        return r2(score, float(np.sum(self._squares)) * n_samples / self.n_samples)


class WholeSpread:
    """The same of an array that may be large, once."""

    def __init__(self, y):
        self.n_samples, self._total = len(y), _targets.total_sum_of_squares(y)

    def r2(self, score, n_samples):
        """1 - residual / spread of so many of the samples."""
        return r2(score, self._total * n_samples / self.n_samples)


def r2(residual, spread):
    """1 - residual / total sum of squares; of a constant 1 if there is no residual, else 0."""
    return 1 - residual / spread if spread > 0 else float(residual == 0)
