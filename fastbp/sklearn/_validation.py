"""Validation data of an estimator: their loss, metric and score after each epoch."""

import copy

import numpy as np
from sklearn.metrics import check_scoring

from fastbp import training
from fastbp.sklearn._sparse import dense_parts
from fastbp.sources import WholeSpread


class Validation:
    """Samples that are not trained on.

    Parameters
    ----------
    mlp : BaseMLP
    data : Data
        As the core reads them, X dense or CSR.
    targets : ndarray (n_samples, n_outputs)
    X, y
        The same as scorers read them, checked.
    """

    def __init__(self, mlp, data, targets, X, y):
        self.mlp, self.data, self.targets, self.X, self.y = mlp, data, targets, X, y
        self.scorer = None if mlp.scoring is None else check_scoring(mlp, scoring=mlp.scoring)
        self.spread = WholeSpread(data.y) if mlp.network_.metric_name == "r2" else None

    def measure(self):
        """Mean loss, without penalty, and metric of the history."""
        mlp, net, sums = self.mlp, self.mlp.network_, np.zeros(3)
        for part in dense_parts(self.data):
            threads = net._inference_threads(part.X, mlp._n_threads())
            sums += training.evaluate(net._stack, part, net._flops(1), threads)
        return net._means(sums, self.data.X.shape[0], self.spread)

    def score(self):
        """What early stopping looks at: by `scoring`, or as the estimator's own score."""
        mlp, weights = self.mlp, self.data.weights
        if self.scorer is None:
            return mlp._score(mlp._raw(self.data.X), self.targets, weights)
        mlp._take_parameters()
        seen = copy.copy(mlp)
        vars(seen).pop("feature_names_in_", None)       # X has lost them
        return float(self.scorer(seen, self.X, self.y, **({} if weights is None else {"sample_weight": weights})))
