"""Predictor: what is done with a network that stays as it is: outputs, predictions, scores."""

import numpy as np

from fastbp import _targets, _threads, _validate, training
from fastbp._dispatch import core
from fastbp.model import Model
from fastbp.sources import WholeSpread
from fastbp.training import Data


class Predictor(Model):
    """The part of `Network` that changes nothing. Any number of threads may use it at a time."""

    def forward(self, X, out=None, n_threads=None):
        """Raw outputs (n_samples, n_out), before the loss's link.

        Parameters
        ----------
        X : array_like (n_samples, n_in)
        out : ndarray (n_samples, n_out), optional
            Written into and returned; C-contiguous, of the network's dtype.
        n_threads : int, optional
            See `fit`.

        Returns
        -------
        ndarray (n_samples, n_out)

        Raises
        ------
        TypeError, ValueError
            If X or out is not as described, or they overlap.
        """
        if n_threads is None and type(X) is np.ndarray and (out is None or type(out) is np.ndarray):
            result = self._stack.forward_small(X, out, self._small)
            if result is not None:
                return result
        X = _validate.rows("X", X, self.sizes[0], self.dtype)
        out = _validate.output("out", out, (len(X), self.sizes[-1]), self.dtype)
        if np.may_share_memory(X, out):
            raise ValueError("out must not overlap X in memory")
        training.forward(self._stack, X, out, self._flops(1), self._inference_threads(X, n_threads))
        return out

    def predict(self, X, n_threads=None):
        """Labels (n_samples,), or 0 and 1 (n_samples, n_out) for several outputs of a binary loss; else numbers,
        (n_samples,) where there is one output: for poisson the expected counts, for a loss of the user's own raw outputs."""
        raw = self.forward(X, n_threads=n_threads)
        if self._loss.targets not in ("labels", "binary"):
            if self._loss.link != "identity":
                self._link(raw)
            return raw[:, 0] if raw.shape[1] == 1 else raw
        if self._loss.targets == "binary" and raw.shape[1] > 1:
            return (raw > 0).astype(np.int64)
        places = raw.argmax(axis=1) if self._loss.targets == "labels" else (raw[:, 0] > 0).astype(np.intp)
        return places if self.classes_ is None else self.classes_[places]

    def predict_proba(self, X, n_threads=None):
        """Probabilities: (n_samples, n_classes), columns as in ``classes_``; for several binary outputs, of each.

        Raises
        ------
        ValueError
            If the loss has none, as squared_error or hinge.
        """
        if self._loss.link not in ("softmax", "sigmoid"):
            raise ValueError(f"{self.loss} gives no probabilities; use predict or forward")
        p = self.forward(X, n_threads=n_threads)
        self._link(p)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def _link(self, raw):
        core(self.dtype.name).link(self._loss.spec(self.sizes[-1])["code"], raw)

    def evaluate(self, X, y, n_threads=None, *, sample_weight=None):
        """Mean loss and metric (``metric_name``) over the samples.

        Parameters
        ----------
        X, y : array_like
            See `fit`.
        n_threads : int, optional
            See `fit`.
        sample_weight : array_like (n_samples,), optional
            Of the mean loss; the metric counts every sample alike.

        Returns
        -------
        loss, metric : float

        Raises
        ------
        TypeError, ValueError
            If an argument is not as `fit` describes.
        """
        data, _ = self._read_samples(X, y, sample_weight)
        return self._scorer(data, n_threads)()

    def _scorer(self, data, n_threads):
        """A call that evaluates samples by the parameters of then."""
        spread = WholeSpread(data.y) if self.metric_name == "r2" else None

        def scores():
            sums = training.evaluate(self._stack, data, self._flops(1), self._inference_threads(data.X, n_threads))
            return self._means(sums, len(data.X), spread)
        return scores

    def _means(self, sums, n_samples, spread):
        """Loss and metric of sums of losses, scores and weights."""
        total, score, weight = map(float, sums)
        loss = total / weight if weight > 0 else 0.0
        if self.metric_name == "loss":
            return loss, loss
        return loss, score / max(n_samples, 1) if spread is None else spread.r2(score, n_samples)

    # Between users and the core --------------------------------------------------------------------------------------

    def _read_data(self, X, y, classes=None):
        """X and y as the core reads them, and the classes, of which the user may have told; the network stays as it is."""
        data, classes = self._read_samples(X, y, classes=classes)
        return data.X, data.y, classes

    def _read_samples(self, X, y, sample_weight=None, class_weight=None, classes=None, called="{}"):
        """The same as `Data`, with weights. `called` makes of an argument's name what it is called in messages."""
        X = _validate.rows(called.format("X"), X, self.sizes[0], self.dtype)
        _validate.some_samples(called.format("X"), X)
        if classes is not None:
            classes = _targets.told_classes(classes, self.classes_, self._loss, self.sizes[-1])
        elif self.classes_ is not None:
            classes = self.classes_
        else:
            classes = _targets.find_classes(y, self._loss, self.sizes[-1], called.format("y"))
        return self._encode(X, y, sample_weight, class_weight, classes, called), classes

    def _encode(self, X, y, sample_weight, class_weight, classes, called):
        """Samples whose X has been read."""
        y = _targets.encode(y, self._loss, self.sizes[-1], classes, self.dtype, called.format("y"))
        _validate.same_length(called.format("y"), y, len(X))
        name = called.format("sample_weight")
        return Data(X, y, _targets.weights_of(sample_weight, class_weight, y, classes, self._loss, name))

    def _inference_threads(self, X, n_threads):
        return _threads.choose(n_threads, self._flops(len(X)), self._openmp_limit())

    def _openmp_limit(self):
        """What the OpenMP runtime would give the calling thread: threadpoolctl's limits show there."""
        return core(self.dtype.name).openmp()[1]
