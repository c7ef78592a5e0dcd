"""What the two estimators of `fastbp.sklearn` have in common: parameters, their checks, and the network underneath.

`coefs_` and `intercepts_` are the user's: they may be replaced or written to at any time, and whatever is done next starts
from them. The network keeps a copy, and all that an optimizer remembers.
"""

from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbp import _validate
from fastbp._sklearn_convert import to_sklearn
from fastbp._sklearn_fit import Epochs
from fastbp._sklearn_lbfgs import Descent
from fastbp.activations import ACTIVATIONS
from fastbp.layers import Dense
from fastbp.network import Network
from fastbp.training import Data

NAMES = {"logistic": "sigmoid"}             #: scikit-learn's name of an activation -> ours, where they differ
ROWS_AT_ONCE = 2**22                        # numbers of a sparse X that are made dense together


class BaseMLP(BaseEstimator):
    """Base of MLPClassifier and MLPRegressor."""

    _parameter_constraints = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*ACTIVATIONS, *NAMES}), list, tuple],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"input", "float32", "float64"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "callbacks": [list, tuple],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
    }

    # Training --------------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None):
        """Train, from new weights unless ``warm_start``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, an indicator matrix of labels, or numbers.
        sample_weight : array-like of shape (n_samples,), optional
            At least 0.
        X_val, y_val : array-like, optional
            Validation data, for ``validation_loss_curve_`` and, with ``early_stopping``, in place of a share of X.
        sample_weight_val : array-like, optional
            Weights of those.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If an argument is not as described, or training diverges.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _check_stochastic(self):
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit takes steps on batches, with solver='sgd' or 'adam'; solver is 'lbfgs'")
        return True

    def _fit(self, X, y, sample_weight, given=(None, None, None), incremental=False):
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        hidden = self._hidden_sizes()
        is_first = not hasattr(self, "coefs_") or not self.warm_start and not incremental
        classes = "new" if is_first and not incremental else "same" if self.warm_start else "known"
        X, y = self._validate(X, y, reset=is_first, classes=classes)
        weights = self._weights(y, None if sample_weight is None else _check_sample_weight(sample_weight, X))
        _check_weights(weights)
        targets = self._encode(y)
        self.n_outputs_ = targets.shape[1]
        self._random_state = check_random_state(self.random_state)
        if is_first:
            self._begin([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        net = self._network()
        samples = self._samples(X, targets, weights)
        try:
            if self.solver == "lbfgs":
                self._fit_lbfgs(net, samples)
            else:
                rows, validation = self._split(samples, targets, given)
                Epochs(self, net, samples, rows, validation).run(self.max_iter, incremental)
        finally:
            self._take_parameters()
        return self

    def _hidden_sizes(self):
        sizes = list(self.hidden_layer_sizes) if hasattr(self.hidden_layer_sizes, "__iter__") else [self.hidden_layer_sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if not isinstance(self.activation, str) and len(self.activation) != len(sizes):
            raise ValueError(f"activation must be one name, or one for each of {len(sizes)} hidden layers, not "
                             f"{self.activation!r}")
        return [int(size) for size in sizes]

    def _begin(self, sizes, input_dtype):
        """Attributes and weights of a new network: Glorot and Bengio's uniform law, drawn as scikit-learn draws it."""
        dtype = input_dtype if self.dtype == "input" else self.dtype
        self.n_layers_, self.n_iter_, self.t_ = len(sizes), 0, 0
        self.out_activation_ = self._out_activation()
        self.coefs_, self.intercepts_ = [], []
        for n_in, n_out in zip(sizes, sizes[1:]):
            bound = np.sqrt((2.0 if self.activation in ("logistic", "sigmoid") else 6.0) / (n_in + n_out))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, n_out).astype(dtype))
        self.loss_curve_, self.validation_loss_curve_, self._no_improvement_count = [], None, 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self._best = [self.coefs_, self.intercepts_]
        self._made_of = None                            # so that nothing of another network is kept

    def _samples(self, X, targets, weights):
        """As the core reads them; X may be sparse."""
        dtype = self.network_.dtype
        if not issparse(X):
            X = _validate.rows("X", X, X.shape[1], dtype)
        is_multiclass = self.network_.loss == "softmax_cross_entropy"
        y = targets.argmax(axis=1).astype(np.int64) if is_multiclass else np.ascontiguousarray(targets, dtype)
        return Data(X, y, weights)

    def _split(self, samples, targets, given):
        """Places of the samples to train on, and validation data (Data, targets) or None."""
        places = np.arange(len(targets))
        X, y, weights = given
        if X is not None:
            X, y = self._validate(X, y, reset=False, classes="known")
            weights = None if weights is None else _check_sample_weight(weights, X)
            targets = self._encode(y)
            return places, (self._samples(X, targets, weights), targets)
        if not self.early_stopping:
            return places, None
        stratify = targets if self._splits_by_class and self.n_outputs_ == 1 else None
        places, held_out = train_test_split(places, test_size=self.validation_fraction, random_state=self._random_state,
                                            stratify=stratify)
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        data = Data(samples.X[held_out], samples.y[held_out], None if samples.weights is None else samples.weights[held_out])
        return places, (data, targets[held_out])

    def _fit_lbfgs(self, net, samples):
        if self.dropout:
            raise ValueError("dropout must be 0 for solver='lbfgs', whose line search needs a loss without randomness")
        X = samples.X.toarray() if issparse(samples.X) else samples.X
        with net._exclusive(training=True):
            Descent(self, net, samples._replace(X=X)).run()

    def to_sklearn(self):
        """The same as an estimator of scikit-learn's; see `fastbp.sklearn.from_sklearn`.

        Raises
        ------
        ValueError
            If scikit-learn has no such network: another activation, or another loss.
        """
        return to_sklearn(self, self._twin)

    # The network -----------------------------------------------------------------------------------------------------

    def _network(self):
        """The network, with the parameters that stand in `coefs_` and `intercepts_` now."""
        coefs = [np.asarray(W) for W in self.coefs_]
        dtype = coefs[0].dtype.name if coefs[0].dtype.name in ("float32", "float64") else "float64"
        made_of = ([*coefs[0].shape[:1], *(W.shape[1] for W in coefs)], repr(self.activation), self.dropout, dtype,
                   repr(self._loss()))
        if getattr(self, "_made_of", None) != made_of:
            self.network_ = self._new_network(made_of[0], dtype)
            self._optimizer, self._made_of = None, made_of
        net = self.network_
        kept = [*net.weights, *net.biases]
        if not all(np.array_equal(a, b) for a, b in zip([*coefs, *self.intercepts_], kept)):
            net.set_parameters(coefs, [np.ravel(b) for b in self.intercepts_])
        return net

    def _new_network(self, sizes, dtype):
        names = [self.activation] * (len(sizes) - 2) if isinstance(self.activation, str) else self.activation
        hidden = [Dense(n, NAMES.get(name, name), dropout=self.dropout) for n, name in zip(sizes[1:-1], names)]
        seed = int(self._random_state.randint(2**31)) if self.dropout and hasattr(self, "_random_state") else 0
        return Network([sizes[0], *hidden, sizes[-1]], loss=self._loss(), dtype=dtype, seed=seed, initializer="zeros")

    def _take_parameters(self):
        """What the network has come to, as arrays that are the user's to change."""
        net = self.network_
        self.coefs_, self.intercepts_ = [W.copy() for W in net.weights], [b.copy() for b in net.biases]

    def _n_threads(self):
        return None if self.n_jobs == -1 else self.n_jobs

    def _outputs(self, X):
        """Outputs (n_samples, n_outputs) of the last layer, through the loss's link."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        net = self._network()
        if issparse(X):
            size = max(1, ROWS_AT_ONCE // X.shape[1])
            parts = [X[first:first + size].toarray() for first in range(0, X.shape[0], size)]
            raw = np.concatenate([net.forward(part, n_threads=self._n_threads()) for part in parts])
        else:
            raw = net.forward(X, n_threads=self._n_threads())
        if net._loss.link != "identity":
            net._link(raw)
        return raw

    def __sklearn_is_fitted__(self):
        return hasattr(self, "coefs_") and hasattr(self, "n_features_in_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _check_weights(weights):
    if weights is None:
        return
    if weights.min() < 0:
        raise ValueError(f"sample_weight must be at least 0, not {weights.min():g}")
    if not weights.any():
        raise ValueError("sample_weight must leave a sample that counts more than 0")
