"""MLPClassifier: labels to targets and back, its losses and scores."""

import numpy as np
from sklearn import neural_network
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from fastbp.losses import BinaryCrossEntropy, CustomLoss, Hinge, SoftmaxCrossEntropy, read_loss
from fastbp.sklearn._base import BaseMLP
from fastbp.sklearn._settings import CLASS_LOSSES, CLASSIFIER


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
        The penalty is ``alpha / 2 |W|^2``, divided by the samples of the batch (by the sum of their weights).
    batch_size : int or "auto", default "auto"
        "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, Schedule or callable, default "constant"
        One of ``fastbp.schedules``, or a function of the step, replaces ``learning_rate_init``; for adam too.
    warm_start : bool or "exact", default False
        With True, `fit` starts from the weights that are there; the optimizer starts anew, as in scikit-learn. With "exact" it
        goes on with all that the fit before remembers, on the same samples: 40 epochs and then 60 are 100, bit for bit.
    learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, momentum, nesterovs_momentum, \
    early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        See scikit-learn; the defaults are the same.
    dtype : {"input", "float32", "float64"}, default "input"
        Of parameters and arithmetic. "input" is X's, as in scikit-learn; float32 takes about half the time of float64.
    dropout : float or sequence of float, default 0.0
        In [0, 1); one for each hidden layer, or for all.
    clip_norm : float, optional
        The gradient is scaled down to this norm if it is larger; for sgd and adam.
    scoring : str, callable or None, default None
        What ``early_stopping`` looks at: a scorer, see ``sklearn.metrics.check_scoring``. Default: accuracy; R^2 of a regressor.
    callbacks : list of callables, default ()
        Each is called after each epoch, or every so many steps if it has an attribute ``every``; with the estimator, or, if it
        takes two arguments, as ``callback(net, history)`` as in `fastbp.Network.fit`. Training ends if one returns True.
        scikit-learn's own, from 1.9 on, go to ``set_callbacks``.
    max_time : float, optional
        Seconds after which training ends, in the midst of an epoch too.
    n_jobs : int, optional
        At most so many threads. Default, and -1: as many as the work is worth. The result does not depend on it.
    preset : "tabular", optional
        The recipe for tables RealMLP-TD-S, see `fastbp.presets`: columns are scaled, and all else is the recipe's, but for
        max_iter, batch_size and validation_fraction (256, 256 and 0.2 where they are at their defaults), dtype ("input" is
        float32), random_state, verbose, callbacks, max_time, n_jobs and class_weight. Several labels have a sigmoid each.
    class_weight : dict or "balanced", optional
        Multiplies `sample_weight`; as elsewhere in scikit-learn.
    label_smoothing : float, default 0.0
        In [0, 1), for ``loss="log_loss"``; see `fastbp.losses`.
    loss : str, Loss or callable, default "log_loss"
        "hinge", or a loss for numbers on the indicator matrix of the labels, by name or with settings, such as
        ``fastbp.losses.Huber(0.5)``, or a function of your own, see `fastbp.losses.CustomLoss`. Those have no probabilities, but
        `decision_function`.

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
    history_ : fastbp.History
        Of the last fit: losses without penalty, metrics, learning rates and seconds of each epoch.
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
    _parameter_constraints = BaseMLP._parameter_constraints | CLASSIFIER

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
                 learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True,
                 random_state=None, tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True,
                 early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
                 max_fun=15000, dtype="input", dropout=0.0, clip_norm=None, scoring=None, callbacks=(), max_time=None,
                 n_jobs=None, preset=None, class_weight=None, label_smoothing=0.0, loss="log_loss"):
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
        return self._label_binarizer.inverse_transform(p[:, 0] if self.n_outputs_ == 1 else p, self._threshold())

    @available_if(lambda mlp: mlp._check_probabilities())
    def predict_proba(self, X):
        """Probabilities (n_samples, n_classes), columns as in ``classes_``; for ``loss="log_loss"``."""
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    @available_if(lambda mlp: mlp._check_probabilities())
    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(lambda mlp: mlp._check_margins())
    def decision_function(self, X):
        """Outputs less what decides, (n_samples,) for two classes, else (n_samples, n_outputs); for a loss that has no
        probabilities."""
        margins = self._outputs(X) - self._threshold()
        return margins[:, 0] if self.n_outputs_ == 1 else margins

    def _check_probabilities(self):
        if self.loss != "log_loss":
            raise AttributeError(f"loss={self.loss!r} gives no probabilities; use decision_function")
        return True

    def _check_margins(self):
        if self.loss == "log_loss":
            raise AttributeError("decision_function is for losses without probabilities; use predict_proba")
        return True

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
            weights = sample_weight
        else:
            weights = compute_sample_weight(self.class_weight, y) * (1.0 if sample_weight is None else sample_weight)
        if weights is not None and isinstance(self._loss(), CustomLoss):
            raise ValueError("sample_weight and class_weight must be None for a function as loss, which weights its own mean")
        return weights

    def _is_multiclass(self):
        return self._label_binarizer.y_type_ == "multiclass"

    def _out_activation(self):
        return "identity" if self.loss != "log_loss" else "softmax" if self._is_multiclass() else "logistic"

    def _loss(self):
        if self.loss == "log_loss":
            return (SoftmaxCrossEntropy if self._is_multiclass() else BinaryCrossEntropy)(self.label_smoothing)
        loss = read_loss(self.loss)
        if loss.name not in CLASS_LOSSES and loss.targets != "custom":
            raise ValueError(f"loss must be one of {', '.join(sorted(CLASS_LOSSES))}, or a function, not {loss.name}")
        if self.label_smoothing:
            raise ValueError(f"label_smoothing must be 0 for loss={self.loss!r}, not {self.label_smoothing:g}")
        return loss

    def _threshold(self):
        """Where an output says yes: halfway between the targets 0 and 1, or at 0 for the margins of hinge."""
        return 0.0 if self.loss == "hinge" or isinstance(self.loss, Hinge) else 0.5

    def _reported(self, loss, data, rows):
        return loss

    def _score(self, raw, targets, weights):
        """Accuracy; of several labels, all must be right."""
        if self._is_multiclass():
            right = raw.argmax(axis=1) == targets.argmax(axis=1)
        else:
            right = ((self._linked(raw) > self._threshold()) == targets).all(axis=1)
        return float(np.average(right, weights=weights))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
