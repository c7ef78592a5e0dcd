"""Ensemble: several networks whose predictions are averaged, and how far they differ."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp import _validate, many
from fastbp._typing import Array, ArrayLike, Chunks, Path
from fastbp.callbacks import Callback
from fastbp.history import History
from fastbp.losses import Loss, LossFunction
from fastbp.network import Network, load
from fastbp.sources import is_stream


class Ensemble:
    """Networks that predict together: probabilities or numbers are averaged.

    Networks that differ in their seeds alone make a deep ensemble (Lakshminarayanan, Pritzel and Blundell, 2017), with
    ``fit(..., bootstrap=True)`` they are bagged (Breiman 1996).

    Parameters
    ----------
    networks : sequence of Network
        All different objects with the same inputs, outputs and loss; trained already, or to be trained by `fit`.

    Attributes
    ----------
    networks : list of Network

    Raises
    ------
    TypeError, ValueError
        If networks are not as described.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same sign", "other")
    >>> ensemble = fastbp.Ensemble([fastbp.Network([2, 32, 2], seed=seed) for seed in range(5)])
    >>> histories = ensemble.fit(X, y, epochs=50, optimizer=fastbp.Adam(0.01), bootstrap=True)
    >>> ensemble.predict([[1.0, 1.0], [1.0, -1.0]]).tolist()
    ['same sign', 'other']
    >>> ensemble.spread([[1.0, 1.0]]).shape
    (1, 2)
    """

    networks: list[Network]

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = many.read_networks(networks)
        first = self.networks[0]
        for i, net in enumerate(self.networks):
            if (net.sizes[0], net.sizes[-1], net._loss) != (first.sizes[0], first.sizes[-1], first._loss):
                raise ValueError(f"networks[{i}] must have {first.sizes[0]} inputs, {first.sizes[-1]} outputs and the loss "
                                 f"{first.loss} as networks[0]; it has {net.sizes[0]}, {net.sizes[-1]} and {net.loss}")

    def fit(self, X: ArrayLike | Chunks, y: ArrayLike | None = None, *, bootstrap: bool = False, n_threads: int | None = None,
            callbacks: Sequence[Callback] = (), **settings: Any) -> list[History]:
        """Train all networks by `fit_many`.

        Parameters
        ----------
        X, y : array_like
            See `fit_many`.
        bootstrap : bool, default False
            Train each on as many samples as there are, drawn with repeats, by its seed and its place among the networks.
            X is not copied; it must be an array.
        n_threads : int, optional
            See `fit_many`.
        callbacks : list or tuple of callables, default ()
            See `Network.fit`. One with a ``begin`` is copied for each network; one that writes a file is refused.
        **settings
            Keyword arguments of `Network.fit` for all networks, but for verbose and, with bootstrap, rows.

        Returns
        -------
        list of History

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError
            See `fit_many`.
        """
        each = many.own_callbacks(callbacks, len(self.networks))
        if _validate.flag("bootstrap", bootstrap):
            if "rows" in settings:
                raise ValueError("rows must not be given with bootstrap=True, which draws them")
            if is_stream(X, y):
                raise ValueError("bootstrap must be False for chunks; it draws from all samples")
            n = len(_validate.rows("X", X, self.networks[0].sizes[0], self.networks[0].dtype))
            for i, (net, own) in enumerate(zip(self.networks, each)):
                own["rows"] = np.random.Generator(np.random.PCG64((net.seed, i, 0, 1))).integers(n, size=n)
        return many.fit_many(self.networks, X, y, each=each, n_threads=n_threads, **settings)

    # Predictions -----------------------------------------------------------------------------------------------------

    @property
    def classes_(self) -> Array | None:
        """The labels that outputs stand for; None before the first fit, and for a loss on numbers."""
        return self.networks[0].classes_

    def predict(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Labels of the highest mean probability, (n_samples,), or 0 and 1 (n_samples, n_out) for several outputs of a binary
        loss; else means of numbers, (n_samples,) where there is one output."""
        net, classes = self.networks[0], self.classes_
        mean = self._outputs(self._averaged, X, n_threads).mean(axis=0)
        if net._loss.targets not in ("labels", "binary"):
            return mean.astype(net.dtype)
        if net._loss.targets == "binary" and net.sizes[-1] > 1:
            return (mean > self._boundary).astype(np.int64)
        places = mean.argmax(axis=1) if mean.shape[1] > 1 else (mean[:, 0] > self._boundary).astype(np.intp)
        return places if classes is None else classes[places]

    def predict_proba(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Mean probabilities, columns as in ``classes_``; for several binary outputs, of each.

        Raises
        ------
        ValueError
            If the loss has none, as squared_error or hinge.
        """
        return self._outputs("predict_proba", X, n_threads).mean(axis=0).astype(self.networks[0].dtype)

    def spread(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Standard deviation over the networks (the root of the mean square of their differences from the mean): of the
        probabilities, in the shape of `predict_proba`, else of the numbers, in that of `predict`; for hinge of raw outputs."""
        return self._outputs(self._averaged, X, n_threads).std(axis=0).astype(self.networks[0].dtype)

    @property
    def _averaged(self):
        """Name of the method whose results are averaged."""
        loss = self.networks[0]._loss
        return "predict_proba" if loss.link in ("softmax", "sigmoid") else "forward" if loss.targets == "binary" else "predict"

    def _outputs(self, method, X, n_threads):
        """Results of all networks, in float64."""
        for i, net in enumerate(self.networks):
            if not np.array_equal(net.classes_, self.classes_):
                raise ValueError(f"networks[{i}] must have been trained on the same classes as networks[0]")
        return np.array([getattr(net, method)(X, n_threads=n_threads) for net in self.networks], np.float64)

    @property
    def _boundary(self):
        """Between the two labels of a binary output."""
        return 0.5 if self.networks[0]._loss.link == "sigmoid" else 0.0

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, directory: Path) -> None:
        """Write a new directory with a model file for each network, whole or not at all.

        Parameters
        ----------
        directory : str or path-like
            Must not be there yet.

        Raises
        ------
        OSError
            If it is there, or cannot be written.
        TypeError, FormatError
            See `Network.save`.
        """
        import shutil
        import tempfile
        directory = os.path.abspath(_validate.path("directory", directory))
        if os.path.lexists(directory):
            raise FileExistsError(f"directory must not be there yet: {directory!r}")
        temporary = tempfile.mkdtemp(dir=os.path.dirname(directory), prefix=".ensemble-")
        try:
            for i, net in enumerate(self.networks):
                net.save(os.path.join(temporary, _file_name(i)))
            os.rename(temporary, directory)
        except BaseException:
            shutil.rmtree(temporary)
            raise

    @classmethod
    def load(cls, directory: Path, loss: Loss | LossFunction | None = None) -> "Ensemble":
        """Read what `save` wrote.

        Parameters
        ----------
        directory : str or path-like
        loss : callable or CustomLoss, optional
            See `fastbp.load`.

        Raises
        ------
        FormatError, OSError, ValueError
            See `fastbp.load`.
        """
        directory = _validate.path("directory", directory)
        paths = [os.path.join(directory, _file_name(i)) for i in range(len(os.listdir(directory)))]
        return cls([load(path, loss) for path in paths])

    def __len__(self) -> int:
        return len(self.networks)

    def __repr__(self) -> str:
        return f"<fastbp.Ensemble of {len(self)}: {self.networks[0]!r}>"


def _file_name(i):
    return f"{i:04}.safetensors"
