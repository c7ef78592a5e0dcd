"""Between a table as it comes and numbers that suit a network: columns and targets, centred and scaled."""

from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from fastbp import _targets, _validate
from fastbp._typing import Array, ArrayLike, Doubles
from fastbp.losses import SoftmaxCrossEntropy


class RobustScaler:
    """Makes columns alike, whatever their units and outliers.

    With u = (x - median) / (75 % quantile - 25 % quantile), x becomes u / sqrt(1 + (u / 3)^2), which lies in (-3, 3). Where
    those quantiles are equal, half the range takes the place of their difference; a constant column becomes 0.
    """

    def fit(self, X: ArrayLike) -> Self:
        """Measure the columns.

        Parameters
        ----------
        X : array_like (n_samples, n_columns)

        Returns
        -------
        RobustScaler
            Itself.

        Raises
        ------
        TypeError, ValueError
            If X is no table of finite numbers, or is empty.
        """
        X = read_table("X", X)
        low, self.medians, high = np.quantile(X, (0.25, 0.5, 0.75), axis=0)
        spread = np.where(high > low, high - low, (X.max(axis=0) - X.min(axis=0)) / 2)
        self.factors = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        return self

    def transform(self, X: ArrayLike, dtype: DTypeLike = "float32") -> Array:
        """The columns as the network gets them.

        Parameters
        ----------
        X : array_like (n_samples, n_columns)
            With the columns that `fit` saw.
        dtype : {"float32", "float64"}, default "float32"
            The network's.

        Returns
        -------
        ndarray (n_samples, n_columns)

        Raises
        ------
        TypeError, ValueError
            If X is not such a table, or dtype is another.
        """
        u = (read_table("X", X, len(self.medians)) - self.medians) * self.factors
        return (u / np.hypot(1, u / 3)).astype(_validate.dtype("dtype", dtype), copy=False)


class LabelTargets:
    """Targets of a classification; the network knows what to do with them."""

    def __init__(self, y):
        try:
            self.n_out = len(np.unique(y))
        except TypeError:
            raise TypeError(f"y must hold labels, integers or strings, not a mixture of kinds ({y.dtype})") from None
        if self.n_out < 2:
            raise ValueError(f"y must hold labels of 2 classes or more, not {self.n_out}")
        self.classes = _targets.find_classes(y, SoftmaxCrossEntropy(), self.n_out)

    def measure(self, y):
        return self

    def encode(self, name, y):
        return y

    def decode(self, labels):
        return labels


class NumberTargets:
    """Targets of a regression, for which the network learns numbers with mean 0 and deviation 1."""

    classes = None

    def __init__(self, y):
        self.shape = y.shape[1:] if y.ndim == 2 else ()
        self.n_out = y.shape[1] if y.ndim == 2 else 1
        self._read("y", y)

    def measure(self, y):
        """Mean and deviation of those that are trained on."""
        y = self._read("y", y)
        self.mean, self.deviation = y.mean(axis=0), y.std(axis=0)
        return self

    def encode(self, name, y):
        """A constant becomes 0."""
        return (self._read(name, y) - self.mean) / np.where(self.deviation > 0, self.deviation, 1)

    def decode(self, values):
        return values.reshape(-1, *self.shape) * self.deviation + self.mean

    def _read(self, name, y):
        y = _validate.matrix(name, y, (None, *self.shape), np.float64)
        _validate.finite(name, y)
        return y


def read_table(name: str, X: ArrayLike, n_columns: int | None = None) -> Doubles:
    """Finite float64 numbers (n_samples, n_columns); None takes any number of columns."""
    X = _validate.matrix(name, X, (None, n_columns), np.float64)
    _validate.some_samples(name, X)
    _validate.finite(name, X)
    return X
