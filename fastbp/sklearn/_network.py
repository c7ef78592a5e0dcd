"""An estimator of `fastbp.sklearn` and its network.

`coefs_` and `intercepts_` are the user's: they may be replaced or written to at any time, and whatever is done next starts
from them. The network keeps a copy, and all that an optimizer remembers.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.layers import Dense
from fastbp.network import Network
from fastbp.sklearn._convert import to_sklearn
from fastbp.sklearn._settings import NAMES
from fastbp.sklearn._sparse import parts


class NetworkMLP(BaseEstimator):
    """The part of the estimators that predicts."""

    _made_of = None                 # settings that `network_` was made from, so that nothing of another is kept
    _optimizer = None               # what goes on with it: `Rates`
    _standing = None                # where a fit stood that warm_start="exact" goes on with
    _recipe = None                  # of a preset: what stands before and behind the network
    _seed = 0                       # of dropout

    def _network(self):
        """The network, with the parameters that stand in `coefs_` and `intercepts_` now."""
        coefs = [np.asarray(W) for W in self.coefs_]
        if self._recipe is None:
            dtype = coefs[0].dtype.name if coefs[0].dtype.name in ("float32", "float64") else "float64"
            made_of = ([*coefs[0].shape[:1], *(W.shape[1] for W in coefs)], repr(self.activation), repr(self.dropout), dtype,
                       repr(self._loss()))
            if self._made_of != made_of:
                self.network_ = self._new_network(made_of[0], dtype)
                self._optimizer, self._made_of = None, made_of
        net = self.network_
        kept = [*net.weights, *net.biases]
        if not all(np.array_equal(a, b) for a, b in zip([*coefs, *self.intercepts_], kept)):
            net.set_parameters(coefs, [np.ravel(b) for b in self.intercepts_])
        return net

    def _new_network(self, sizes, dtype):
        widths = sizes[1:-1]
        names = [self.activation] * len(widths) if isinstance(self.activation, str) else self.activation
        dropouts = self.dropout if isinstance(self.dropout, (list, tuple)) else [self.dropout] * len(widths)
        hidden = [Dense(n, NAMES.get(name, name), dropout=p) for n, name, p in zip(widths, names, dropouts)]
        return Network([sizes[0], *hidden, sizes[-1]], loss=self._loss(), dtype=dtype, seed=self._seed, initializer="zeros")

    def _take_parameters(self):
        """What the network has come to, as arrays that are the user's to change."""
        net = self.network_
        self.coefs_, self.intercepts_ = [W.copy() for W in net.weights], [b.copy() for b in net.biases]

    def _n_threads(self):
        return None if self.n_jobs == -1 else self.n_jobs

    def _raw(self, X):
        """Outputs (n_samples, n_outputs) of the last layer of the network as it is, for samples that are checked."""
        raw = [self.network_.forward(part, n_threads=self._n_threads()) for _, part in parts(X)]
        return raw[0] if len(raw) == 1 else np.concatenate(raw)

    def _outputs(self, X):
        """Outputs of the last layer for a user's X, through the loss's link."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        self._network()
        if self._recipe is not None:
            return self._recipe.decode(self._linked(self._raw(self._recipe.scaler.transform(X, self.network_.dtype))))
        return self._linked(self._raw(X))

    def _linked(self, raw):
        """Raw outputs, which are overwritten, as what they predict."""
        if self.network_._loss.link != "identity":
            self.network_._link(raw)
        return raw

    def to_sklearn(self):
        """The same as an estimator of scikit-learn's; see `fastbp.sklearn.from_sklearn`.

        Weights and records are those of this one. A parameter that scikit-learn has no room for, such as dropout, and that
        is not at its default gets lost; a UserWarning names it.

        Raises
        ------
        ValueError
            If scikit-learn has no such network, or no such fit: another activation, loss or schedule.
        """
        return to_sklearn(self, self._twin)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "coefs_") and hasattr(self, "n_features_in_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.preset is None
        return tags
