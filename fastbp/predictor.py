"""Predictor: what is done with a network that stays as it is: outputs, predictions, scores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import _targets, _threads, _validate, gradients, training
from fastbp._dispatch import core
from fastbp._typing import Array, ArrayLike, Place
from fastbp.model import Model
from fastbp.sources import WholeSpread
from fastbp.training import Data


class Predictor(Model):
    """The part of `Network` that changes nothing. Any number of threads may use it at a time, but for derivatives, which take
    the memory of a batch: one thread."""

    def forward(self, X: ArrayLike, out: Place | None = None, n_threads: int | None = None) -> Array:
        """Raw outputs (n_samples, n_out), before the loss's link.

        Parameters
        ----------
        X : array_like (n_samples, n_in)
        out : ndarray (n_samples, n_out), optional
            Written into and returned; C-contiguous, of the network's dtype. A tensor or a buffer, if it lends such memory to
            write into, comes back as an array on it.
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
        _validate.apart(out=out, X=X)
        training.forward(self._stack, X, out, self._flops(1), self._inference_threads(X, n_threads))
        return out

    def predict(self, X: ArrayLike, n_threads: int | None = None) -> NDArray[Any]:
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

    def predict_proba(self, X: ArrayLike, n_threads: int | None = None, *, out: Place | None = None) -> Array:
        """Probabilities: (n_samples, n_classes), columns as in ``classes_``; for several binary outputs, of each.

        Parameters
        ----------
        X, n_threads, out
            See `forward`; one binary output has two classes, and out two columns.

        Raises
        ------
        TypeError, ValueError
            If the loss has none, as squared_error or hinge, or X or out is not as described.
        """
        if self._loss.link not in ("softmax", "sigmoid"):
            raise ValueError(f"{self.loss} gives no probabilities; use predict or forward")
        p = self.forward(X, out if self.sizes[-1] > 1 else None, n_threads)
        self._link(p)
        if p.shape[1] > 1:
            return p
        out = _validate.output("out", out, (len(p), 2), self.dtype)
        np.concatenate([1 - p, p], axis=1, out=out)
        return out

    def _link(self, raw):
        core(self.dtype.name).link(self._loss.spec(self.sizes[-1])["code"], raw)

    def evaluate(self, X: ArrayLike, y: ArrayLike, n_threads: int | None = None, *,
                 sample_weight: ArrayLike | None = None) -> tuple[float, float]:
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

        def scores(look=lambda: None):
            sums = training.evaluate(self._stack, data, self._flops(1), self._inference_threads(data.X, n_threads), look)
            return self._means(sums, len(data.X), spread)
        return scores

    def _means(self, sums, n_samples, spread):
        """Loss and metric of sums of losses, scores and weights."""
        total, score, weight = map(float, sums)
        loss = total / weight if weight > 0 else 0.0
        if self.metric_name == "loss":
            return loss, loss
        return loss, score / max(n_samples, 1) if spread is None else spread.r2(score, n_samples)

    def input_gradient(self, X: ArrayLike, y: ArrayLike, n_threads: int | None = None, *, out: Place | None = None) -> Array:
        """Gradient (n_samples, n_in) of each sample's loss in that sample, by the network as it predicts.

        Parameters
        ----------
        X, y, n_threads
            See `fit`.
        out : ndarray, optional
            See `forward`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            If an argument is not as `fit` describes; if another thread is training this network.
        """
        return gradients.input_gradient(self, X, y, n_threads, out)

    def jacobian(self, X: ArrayLike, n_threads: int | None = None, *, out: Place | None = None) -> Array:
        """Derivatives (n_samples, n_out, n_in) of the raw outputs in the inputs, by the network as it predicts.

        Parameters
        ----------
        X : array_like (n_samples, n_in)
        n_threads : int, optional
            See `fit`.
        out : ndarray, optional
            See `forward`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            If an argument is not as described; if another thread is training this network.
        """
        return gradients.jacobian(self, X, n_threads, out)

    # Between users and the core --------------------------------------------------------------------------------------

    def _read_data(self, X: ArrayLike, y: ArrayLike,
                   classes: ArrayLike | None = None) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """X and y as the core reads them, and the classes, of which the user may have told; the network stays as it is."""
        data, found = self._read_samples(X, y, classes=classes)
        return data.X, data.y, found

    def _read_samples(self, X, y, sample_weight=None, class_weight=None, classes=None, called="{}", rows=_targets.ALL):
        """The same as `Data`, with weights, of which only some `rows` may be trained on. `called` makes of an argument's name
        what it is called in messages."""
        X = _validate.rows(called.format("X"), X, self.sizes[0], self.dtype)
        _validate.some_samples(called.format("X"), X)
        if classes is not None:
            classes = _targets.told_classes(classes, self.classes_, self._loss, self.sizes[-1])
        elif self.classes_ is not None:
            classes = self.classes_
        else:
            classes = _targets.find_classes(y, self._loss, self.sizes[-1], called.format("y"))
        return self._encode(X, y, sample_weight, class_weight, classes, called, rows), classes

    def _encode(self, X, y, sample_weight, class_weight, classes, called, rows=_targets.ALL):
        """Samples whose X has been read."""
        y = _targets.encode(y, self._loss, self.sizes[-1], classes, self.dtype, called.format("y"))
        _validate.same_length(called.format("y"), y, len(X))
        name = called.format("sample_weight")
        return Data(X, y, _targets.weights_of(sample_weight, class_weight, y, classes, self._loss, name, rows))

    def _inference_threads(self, X, n_threads):
        return _threads.choose(n_threads, self._flops(len(X)), self._openmp_limit())

    def _openmp_limit(self):
        """What the OpenMP runtime, the same for both dtypes, would give the calling thread: threadpoolctl's limits show there."""
        return core("float32").openmp()[1]
