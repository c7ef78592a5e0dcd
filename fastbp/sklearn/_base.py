"""How the estimators of `fastbp.sklearn` are fitted: arguments checked, a network made, samples shared out."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight

from fastbp import _validate
from fastbp.sklearn import _tabular
from fastbp.sklearn._callbacks import Audience, CallbackSupportMixin, Tasks
from fastbp.sklearn._fit import Epochs
from fastbp.sklearn._lbfgs import Descent
from fastbp.sklearn._network import NetworkMLP
from fastbp.sklearn._settings import OURS, THEIRS
from fastbp.sklearn._validation import Validation
from fastbp.training import Data


class BaseMLP(CallbackSupportMixin, NetworkMLP):
    """Base of MLPClassifier and MLPRegressor."""

    _parameter_constraints = THEIRS | OURS

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
        tasks = Tasks(self, X, y, sample_weight, self.max_iter if self.preset is None else _tabular.epochs_of(self))
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), tasks=tasks)
        tasks.finish()
        return self

    def _check_stochastic(self):
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit takes steps on batches, with solver='sgd' or 'adam'; solver is 'lbfgs'")
        if self.preset is not None:
            raise AttributeError(f"partial_fit is not for a recipe of a whole fit; preset is {self.preset!r}")
        return True

    def _fit(self, X, y, sample_weight, given=(None, None, None), incremental=False, tasks=None):
        audience = Audience(self, tasks)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        hidden = self._hidden_sizes()
        is_first = not hasattr(self, "coefs_") or not self.warm_start and not incremental
        goes_on = self.warm_start == "exact" and not is_first and not incremental
        classes = "new" if is_first and not incremental else "same" if self.warm_start else "known"
        X, y = self._validate(X, y, reset=is_first, classes=classes)
        weights = self._weights(y, None if sample_weight is None else _check_sample_weight(sample_weight, X))
        _check_weights(weights)
        targets = self._encode(y)
        self.n_outputs_ = targets.shape[1]
        if not goes_on or not hasattr(self, "_random_state"):
            self._random_state = check_random_state(self.random_state)
        if self.preset is not None:
            _tabular.fit(self, X, y, weights, given, audience)
            return self
        if self._recipe is not None and not is_first:
            raise ValueError("preset must stay for an estimator that was fitted with one; or fit it anew, with warm_start=False")
        if is_first:
            self._begin([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        self._train(X, y, targets, weights, given, audience, goes_on, incremental)
        return self

    def _train(self, X, y, targets, weights, given, audience, goes_on, incremental):
        """Epochs or a descent, over samples that are checked. Whatever ends it, the parameters are the network's."""
        net = self._network()
        samples = self._samples(X, targets, weights)
        try:
            if self.solver == "lbfgs":
                Descent(self, net, samples, self._given(given), audience).run()
            else:
                rows, held_out = self._places(targets, given, goes_on)
                if held_out is None:
                    validation = self._given(given)
                else:
                    part = Data(samples.X[held_out], samples.y[held_out], None if weights is None else weights[held_out])
                    validation = Validation(self, part, targets[held_out], X[held_out], y[held_out])
                Epochs(self, net, samples, (rows, held_out), validation, audience).run(goes_on, incremental)
        finally:
            self._take_parameters()

    def _hidden_sizes(self):
        sizes = list(self.hidden_layer_sizes) if hasattr(self.hidden_layer_sizes, "__iter__") else [self.hidden_layer_sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        for name, one in (("activation", "name"), ("dropout", "number")):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)) and len(value) != len(sizes):
                raise ValueError(f"{name} must be one {one}, or one for each of {len(sizes)} hidden layers, not {value!r}")
        return [int(size) for size in sizes]

    def _begin(self, sizes, input_dtype):
        """Attributes and weights of a new network: Glorot and Bengio's uniform law, drawn as scikit-learn draws it."""
        dtype = input_dtype if self.dtype == "input" else self.dtype
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._out_activation()
        self.coefs_, self.intercepts_ = [], []
        for n_in, n_out in zip(sizes, sizes[1:]):
            bound = np.sqrt((2.0 if self.activation in ("logistic", "sigmoid") else 6.0) / (n_in + n_out))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (n_in, n_out)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, n_out).astype(dtype))
        self._seed = int(self._random_state.randint(2**31)) if np.any(self.dropout) else 0
        self._best = [self.coefs_, self.intercepts_]
        self._made_of = self._recipe = self._standing = None
        self._open_records()

    def _open_records(self):
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_, self.validation_loss_curve_, self._no_improvement_count = [], None, 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _samples(self, X, targets, weights):
        """As the core reads them; X may be sparse."""
        dtype = self.network_.dtype
        if not issparse(X):
            X = _validate.rows("X", X, X.shape[1], dtype)
        is_multiclass = self.network_.loss == "softmax_cross_entropy"
        y = targets.argmax(axis=1).astype(np.int64) if is_multiclass else np.ascontiguousarray(targets, dtype)
        return Data(X, y, weights)

    def _read_given(self, given):
        """Validation data of the user's own, checked: X, y, weights; or None."""
        X, y, weights = given
        if X is None or y is None:
            if any(value is not None for value in given):
                raise ValueError("X_val and y_val must be given together, and sample_weight_val with them")
            return None
        X, y = self._validate(X, y, reset=False, classes="known")
        return X, y, None if weights is None else _check_sample_weight(weights, X)

    def _given(self, given):
        """The same as `Validation`."""
        read = self._read_given(given)
        if read is None:
            return None
        X, y, weights = read
        targets = self._encode(y)
        return Validation(self, self._samples(X, targets, weights), targets, X, y)

    def _places(self, targets, given, goes_on):
        """Places of the samples to train on, and of those that are held out; None if there are none of these."""
        n = len(targets)
        if goes_on and self._standing is not None:
            rows, held_out = self._standing.places
            if n != len(rows) + (0 if held_out is None else len(held_out)):
                raise ValueError(f"X must be the samples of the fit before for warm_start='exact', "
                                 f"{len(rows) + (0 if held_out is None else len(held_out))} and not {n} of them")
            return rows, held_out
        if not self.early_stopping or given[0] is not None:
            return np.arange(n), None
        return self._split(targets, self.validation_fraction)

    def _split(self, targets, fraction):
        stratify = targets if self._splits_by_class and self.n_outputs_ == 1 else None
        rows, held_out = train_test_split(np.arange(len(targets)), test_size=fraction, random_state=self._random_state,
                                          stratify=stratify)
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        return rows, held_out


def _check_weights(weights):
    if weights is None:
        return
    if weights.min() < 0:
        raise ValueError(f"sample_weight must be at least 0, not {weights.min():g}")
    if not weights.any():
        raise ValueError("sample_weight must leave a sample that counts more than 0")
