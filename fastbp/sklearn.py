"""MLPClassifier and MLPRegressor with scikit-learn's names, parameters and attributes, trained by fastbp.

Needs scikit-learn 1.6 or newer, which `import fastbp` alone does not. Where they differ from scikit-learn's own is listed
in docs/sklearn.md.
"""

import numpy as np
from scipy.special import xlogy
from sklearn import neural_network
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from fastbp._sklearn_base import BaseMLP, Real
from fastbp._sklearn_convert import to_fastbp
from fastbp.losses import LOSSES, BinaryCrossEntropy, CustomLoss, Loss, SoftmaxCrossEntropy, read_loss

__all__ = ["MLPClassifier", "MLPRegressor", "from_sklearn"]

VALUE_LOSSES = {name for name, loss in LOSSES.items() if loss.targets in ("values", "counts")}


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron for two or more classes, or for several labels at once.

    The parameters up to `max_fun` are scikit-learn's, and mean the same; those after it are fastbp's own.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default (100,)
    activation : str or sequence of str, default "relu"
        scikit-learn's "logistic", or one of ``fastbp.activations.ACTIVATIONS``; one for each hidden layer, or for all.
    solver : {"lbfgs", "sgd", "adam"}, default "adam"
    alpha : float, default 1e-4
        The penalty is alpha / 2 |W|^2, divided by the samples of the batch (by the sum of their weights).
    batch_size : int or "auto", default "auto"
        "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
    learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, \
    early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        See scikit-learn; the defaults are the same.
    dtype : {"input", "float32", "float64"}, default "input"
        Of parameters and arithmetic. "input" is X's, as in scikit-learn; float32 takes about half the time of float64.
    dropout : float, default 0.0
        Of the hidden layers, in [0, 1).
    clip_norm : float, optional
        The gradient is scaled down to this norm if it is larger; for sgd and adam.
    callbacks : list of callables, default ()
        Each is called with the estimator after each epoch; training ends if one returns True.
    max_time : float, optional
        Seconds after which training ends, in the midst of an epoch too.
    n_jobs : int, optional
        At most so many threads. Default, and -1: as many as the work is worth. The result does not depend on it.
    class_weight : dict or "balanced", optional
        Multiplies `sample_weight`; as elsewhere in scikit-learn.
    label_smoothing : float, default 0.0
        In [0, 1); see `fastbp.losses`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coefs_, intercepts_ : list of ndarray
        (n_in, n_out) and (n_out,) of each layer; may be written to.
    loss_, best_loss_, loss_curve_
        Of the training samples, with the penalty. ``loss_curve_`` there is for lbfgs too.
    validation_loss_curve_ : list of float or None
        Loss of the validation data after each epoch, without penalty.
    validation_scores_, best_validation_score_
        With ``early_stopping``.
    n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As scikit-learn has them.
    network_ : fastbp.Network
        What does the work.

    Examples
    --------
    >>> from fastbp.sklearn import MLPClassifier
    >>> X, y = [[0., 0.], [0., 1.], [1., 0.], [1., 1.]], ["even", "odd", "odd", "even"]
    >>> MLPClassifier((8,), solver="lbfgs", random_state=1).fit(X, y).predict(X).tolist()
    ['even', 'odd', 'odd', 'even']
    """

    _twin = neural_network.MLPClassifier
    _splits_by_class = True
    _parameter_constraints = BaseMLP._parameter_constraints | {
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
                 learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
                 random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
                 early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
                 max_fun=15000, dtype="input", dropout=0.0, clip_norm=None, callbacks=(), max_time=None, n_jobs=None,
                 class_weight=None, label_smoothing=0.0):
        vars(self).update((name, value) for name, value in locals().items() if name != "self")

    @available_if(lambda mlp: mlp._check_stochastic())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """One epoch over X, with what the optimizer remembers of the calls before.

        Parameters
        ----------
        X, y, sample_weight
            See `fit`.
        classes : array-like of shape (n_classes,), optional
            All labels there are; the first call needs them.

        Returns
        -------
        self
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = unique_labels(classes)
            is_multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if is_multilabel else classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes={classes!r} is not the same as on last call to partial_fit, was: {self.classes_!r}")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Labels (n_samples,), or an indicator matrix (n_samples, n_outputs)."""
        p = self._outputs(X)
        return self._label_binarizer.inverse_transform(p[:, 0] if self.n_outputs_ == 1 else p)

    def predict_proba(self, X):
        """Probabilities (n_samples, n_classes), columns as in ``classes_``."""
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _validate(self, X, y, reset, classes):
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, dtype=(np.float64, np.float32), reset=reset)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if classes == "new" or not hasattr(self, "classes_"):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        found = unique_labels(y)
        if classes == "same" and set(found) != set(self.classes_):
            raise ValueError("warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                             f"Previously got {self.classes_}, `y` has {found}")
        if len(np.setdiff1d(found, self.classes_)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}.")
        return X, y

    def _encode(self, y):
        return self._label_binarizer.transform(y).astype(bool)

    def _weights(self, y, sample_weight):
        if self.class_weight is None:
            return sample_weight
        weights = compute_sample_weight(self.class_weight, y)
        return weights if sample_weight is None else weights * sample_weight

    def _out_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss(self):
        return (SoftmaxCrossEntropy if self.out_activation_ == "softmax" else BinaryCrossEntropy)(self.label_smoothing)

    def _reported(self, loss, data, rows):
        return loss

    def _score(self, raw, targets, weights):
        """Accuracy; of several labels, all must be right."""
        if self.out_activation_ == "softmax":
            right = raw.argmax(axis=1) == targets.argmax(axis=1)
        else:
            right = ((raw > 0) == targets).all(axis=1)
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for one or several numbers.

    Parameters
    ----------
    loss : str, Loss or callable, default "squared_error"
        scikit-learn's "squared_error" or "poisson", another of ``fastbp.losses.LOSSES`` for numbers, one with settings such
        as ``fastbp.losses.Quantile(0.9)``, or a function of your own, see `fastbp.losses.CustomLoss`.
    hidden_layer_sizes, activation, ... n_jobs
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
    _parameter_constraints = BaseMLP._parameter_constraints | {"loss": [StrOptions(VALUE_LOSSES), Loss, callable]}

    def __init__(self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
                 batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200,
                 shuffle=True, random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9,
                 nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999,
                 epsilon=1e-8, n_iter_no_change=10, max_fun=15000, dtype="input", dropout=0.0, clip_norm=None, callbacks=(),
                 max_time=None, n_jobs=None):
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

    def _validate(self, X, y, reset, classes):
        X, y = validate_data(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True,
                             dtype=(np.float64, np.float32), reset=reset)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self._loss().targets == "counts" and y.min() < 0:
            raise ValueError(f"y must be at least 0 for loss={self.loss!r}, not {y.min():g}")
        return X, y

    def _encode(self, y):
        return y.reshape(len(y), -1)

    def _weights(self, y, sample_weight):
        if sample_weight is not None and isinstance(self._loss(), CustomLoss):
            raise ValueError("sample_weight must be None for a function as loss, which weights its own mean")
        return sample_weight

    def _out_activation(self):
        return {"exp": "exp", "identity": "identity"}[self._loss().link]

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
        """R^2, as in `score`."""
        if self.out_activation_ == "exp":
            self.network_._link(raw)
        return float(r2_score(targets, raw, sample_weight=weights)) if np.isfinite(raw).all() else np.nan


def from_sklearn(mlp):
    """An estimator of scikit-learn's, new or fitted, as one of ours.

    Parameters
    ----------
    mlp : sklearn.neural_network.MLPClassifier or MLPRegressor

    Returns
    -------
    MLPClassifier or MLPRegressor
        With the same weights and, if fitted, their dtype. What the optimizer remembers for `partial_fit` starts anew.

    Raises
    ------
    TypeError
        If it is neither.
    """
    for ours in (MLPClassifier, MLPRegressor):
        if isinstance(mlp, ours._twin):
            return to_fastbp(mlp, ours)
    raise TypeError(f"mlp must be scikit-learn's MLPClassifier or MLPRegressor, not {type(mlp).__name__}")
