"""MLPRegressor: numbers, their losses and scores."""

import numpy as np
from scipy.special import xlogy
from sklearn import neural_network
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from fastbp.losses import CustomLoss, Quantile, read_loss
from fastbp.sklearn._base import BaseMLP
from fastbp.sklearn._settings import REGRESSOR


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for one or several numbers.

    Parameters
    ----------
    loss : str, Loss or callable, default "squared_error"
        scikit-learn's "squared_error" or "poisson", another of ``fastbp.losses.LOSSES`` for numbers, one with settings such
        as ``fastbp.losses.Quantile(0.9)``, or a function of your own, see `fastbp.losses.CustomLoss`. Several levels, as in
        ``Quantile([0.1, 0.5, 0.9])``, give an output each; then `score` is the mean over them of D^2, see
        ``sklearn.metrics.d2_pinball_score``.
    hidden_layer_sizes, activation, ... preset
        See `MLPClassifier`, for the attributes too.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> mlp = MLPRegressor("huber", (16,), "tanh", solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
    >>> mlp.score(X, X[:, 0] ** 2) > 0.99
    True
    """

    _twin = neural_network.MLPRegressor
    _splits_by_class = False
    _parameter_constraints = BaseMLP._parameter_constraints | REGRESSOR

    def __init__(self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
                 batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200,
                 shuffle=True, random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9,
                 nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-8, n_iter_no_change=10, max_fun=15000, dtype="input", dropout=0.0, clip_norm=None, scoring=None,
                 callbacks=(), max_time=None, n_jobs=None, preset=None):
        vars(self).update((name, value) for name, value in locals().items() if name != "self")

    @available_if(lambda mlp: mlp._check_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over X, with what the optimizer remembers of the calls before; arguments as in `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Numbers (n_samples,), or (n_samples, n_outputs)."""
        values = self._outputs(X)
        return values[:, 0] if values.shape[1] == 1 else values

    def score(self, X, y, sample_weight=None):
        """R^2 of the predictions; of several quantiles, the mean of D^2."""
        levels = self._levels()
        return _d2(y, self.predict(X), levels, sample_weight) if levels else super().score(X, y, sample_weight)

    def _validate(self, X, y, reset, classes):
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True,
                             dtype=(np.float64, np.float32), reset=reset)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self._loss().targets == "counts" and y.min() < 0:
            raise ValueError(f"y must be at least 0 for loss={self.loss!r}, not {y.min():g}")
        return X, y

    def _levels(self):
        """Those of a quantile loss with several; else none."""
        loss = self._loss()
        return loss.levels if isinstance(loss, Quantile) and len(loss.levels) > 1 else ()

    def _encode(self, y):
        y, levels = y.reshape(len(y), -1), self._levels()
        if not levels:
            return y
        if y.shape[1] != 1:
            raise ValueError(f"y must have one column for several quantiles, not {y.shape[1]}")
        return np.repeat(y, len(levels), axis=1)

    def _weights(self, y, sample_weight):
        if sample_weight is not None and isinstance(self._loss(), CustomLoss):
            raise ValueError("sample_weight must be None for a function as loss, which weights its own mean")
        return sample_weight

    def _out_activation(self):
        return self._loss().link

    def _loss(self):
        loss = read_loss(self.loss)
        if loss.targets not in ("values", "counts", "custom"):
            raise ValueError(f"loss must be one for numbers, not {loss.name}")
        return loss

    def _reported(self, loss, data, rows):
        """As scikit-learn has it: the mean over outputs of squared errors, and the whole deviance of counts."""
        if self.loss == "squared_error":
            return loss / self.n_outputs_
        if self.loss == "poisson":
            y = data.y[rows].astype(np.float64)
            rest = (xlogy(y, y) - y).sum(axis=1)
            return loss + float(np.average(rest, weights=None if data.weights is None else data.weights[rows]))
        return loss

    def _score(self, raw, targets, weights):
        """As in `score`."""
        values, levels = self._linked(raw), self._levels()
        if not np.isfinite(values).all():
            return np.nan
        return _d2(targets[:, 0], values, levels, weights) if levels else float(r2_score(targets, values, sample_weight=weights))


def _d2(y, values, levels, weights):
    """Mean over quantiles of the share of the pinball loss of the best constant that is saved."""
    return float(np.mean([d2_pinball_score(y, its, sample_weight=weights, alpha=level) for level, its in zip(levels, values.T)]))
