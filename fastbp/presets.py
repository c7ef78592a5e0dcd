"""RealMLP-TD-S, a recipe for tables: `fastbp.presets.Tabular`, and its parts for use by themselves.

Holzmüller, Grinsztajn and Steinwart, Better by Default, 2024: settings tuned once, on many data sets, to be good without
tuning on others. Where the order of a sum or a random number is not the same, neither are the bits of theirs.
"""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp import _validate
from fastbp._typing import Array, ArrayLike
from fastbp.callbacks import Callback
from fastbp.history import History
from fastbp.layers import Dense, Scale
from fastbp.losses import Loss, SoftmaxCrossEntropy, SquaredError
from fastbp.network import Network
from fastbp.optimizers import Adam
from fastbp.scaling import LabelTargets, NumberTargets, RobustScaler, read_table
from fastbp.schedules import CosLog4

WIDTH, N_HIDDEN = 256, 3
ACTIVATIONS = {"classification": "selu", "regression": "mish"}      #: by task
LEARNING_RATES = {"classification": 0.04, "regression": 0.07}       #: the highest, by task
SMOOTHING = 0.1                                                     #: of labels


class KeepBest:
    """A callback: at its end a fit goes back to the epoch that was best on the validation data; of equals, to the last.

    The rate falls four times to nothing, so that of epochs which look alike the later one is the better bet. It judges
    labels by their accuracy and numbers by their loss.

    Attributes
    ----------
    epoch : int or None
        The best, counted from 0.
    """

    epoch: int | None

    def begin(self, net: Network, history: History) -> None:
        if not history.is_validated:
            raise ValueError("KeepBest needs validation_data")
        self.best, self.epoch = -math.inf, None
        self._parameters: dict[str, Any] | None = None

    def __call__(self, net: Network, history: History) -> None:
        value = history.val_metric[-1] if history.metric_name == "accuracy" else -history.val_loss[-1]
        if value >= self.best:
            self.best, self.epoch, self._parameters = value, history.n_epochs - 1, net.get_parameters()

    def finish(self, net: Network, history: History) -> None:
        if self._parameters is not None:
            net.set_parameters(**self._parameters)


def tabular_network(n_in: int, n_out: int, task: str = "classification", seed: int | None = None,
                    dtype: DTypeLike = "float32", loss: Loss | None = None) -> Network:
    """The recipe's network: a scale for each input, three layers of 256, and an output layer that starts at zero.

    The paper uses weights as w / sqrt(n_in), with w from N(0, 1): the neural tangent kernel's parametrisation. Adam's steps
    have the size of the rate whatever the gradient's, so here W = w / sqrt(n_in) is itself the parameter, from N(0, 1 / n_in)
    and with a rate 1 / sqrt(n_in) times as large: the same path, but for Adam's eps.

    Parameters
    ----------
    n_in, n_out : int
    task : {"classification", "regression"}, default "classification"
    seed : int, optional
        Default: drawn.
    dtype : {"float32", "float64"}, default "float32"
    loss : Loss, optional
        Default: the task's, softmax_cross_entropy with a label smoothing of 0.1, or squared_error.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    activation = ACTIVATIONS[_validate.one_of("task", task, ACTIVATIONS)]
    if loss is None:
        loss = SoftmaxCrossEntropy(SMOOTHING) if task == "classification" else SquaredError()
    n_in, n_out = _validate.positive_int("n_in", n_in), _validate.positive_int("n_out", n_out)
    hidden = [_dense(before, WIDTH, activation, "lecun_normal") for before in (n_in, *[WIDTH] * (N_HIDDEN - 1))]
    layers = [Scale(learning_rate_factor=6.0, bias_learning_rate_factor=0.0), *hidden, _dense(WIDTH, n_out, "identity", "zeros")]
    net = Network([n_in, *layers], loss=loss, dtype=dtype, seed=seed)
    rng = np.random.Generator(np.random.PCG64((net.seed, 1)))       # another stream than that of the weights
    biases = [np.zeros(n_in), *(rng.normal(size=WIDTH) for _ in hidden), np.zeros(n_out)]
    net.set_parameters(net.weights, biases)
    return net


def _dense(n_in, n_out, activation, initializer):
    return Dense(n_out, activation, initializer=initializer, learning_rate_factor=1 / math.sqrt(n_in),
                 bias_learning_rate_factor=0.1)


def tabular_optimizer(task: str = "classification") -> Adam:
    """The recipe's optimizer: Adam with beta2 = 0.95, and a rate in four waves.

    Parameters
    ----------
    task : {"classification", "regression"}, default "classification"

    Returns
    -------
    Adam
    """
    return Adam(CosLog4(LEARNING_RATES[_validate.one_of("task", task, LEARNING_RATES)]), beta2=0.95)


class Tabular:
    """RealMLP-TD-S: a network that is good on many tables as it is.

    Columns are numbers. A category becomes a column for each of its values, 1 where it has this value, else 0; one of two
    values becomes a single column of -1 and 1; where it is missing all of its columns are 0.

    Parameters
    ----------
    task : {"classification", "regression"}, default "classification"
    seed : int, optional
        Determines everything, on any number of threads. Default: drawn.
    epochs : int, default 256
    batch_size : int, default 256
        The paper leaves out the last batch of an epoch where it is smaller.
    validation_fraction : float, default 0.2
        Of the samples, where `fit` gets no validation data; in [0, 1). With 0 all are trained on, and the last epoch is kept.

    Attributes
    ----------
    net : Network
    scaler : RobustScaler
    history : History
        Of the fit.
    seed : int
        As given, or drawn.

    Raises
    ------
    TypeError, ValueError
        If a setting is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.presets import Tabular
    >>> X = np.random.default_rng(0).normal(size=(400, 3))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same sign", "other")
    >>> model = Tabular(seed=0, epochs=32).fit(X[:300], y[:300])
    >>> bool((model.predict(X[300:]) == y[300:]).mean() > 0.9)
    True
    """

    net: Network | None
    scaler: RobustScaler
    history: History

    def __init__(self, task: str = "classification", seed: int | None = None, epochs: int = 256, batch_size: int = 256,
                 validation_fraction: float = 0.2) -> None:
        self.task = _validate.one_of("task", task, ACTIVATIONS)
        self.seed = _validate.seed_or_fresh(seed)
        self.epochs = _validate.positive_int("epochs", epochs)
        self.batch_size = _validate.positive_int("batch_size", batch_size)
        self.validation_fraction = _validate.number("validation_fraction", validation_fraction, at_least=0, below=1)
        self.net = None

    @property
    def classes_(self) -> NDArray[Any] | None:
        """The labels; None for regression, and before the fit."""
        return None if self.net is None else self.net.classes_

    def fit(self, X: ArrayLike, y: ArrayLike, validation_data: tuple[ArrayLike, ArrayLike] | None = None,
            callbacks: Sequence[Callback] = (), n_threads: int | None = None, verbose: int = 0) -> Self:
        """Train anew.

        Parameters
        ----------
        X : array_like (n_samples, n_columns)
            Finite numbers.
        y : array_like
            Labels (n_samples,), integers or strings; or for regression finite numbers (n_samples,) or (n_samples, n_out).
        validation_data : (X, y), optional
            Decides which epoch is kept. Default: `validation_fraction` of the samples.
        callbacks, n_threads, verbose
            As in `fastbp.Network.fit`.

        Returns
        -------
        Tabular
            Itself.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, there are not two classes, or validation_fraction leaves no samples.
        """
        X, y = read_table("X", X), np.atleast_1d(_validate.array("y", y))
        _validate.same_length("y", y, len(X))
        targets = (LabelTargets if self.task == "classification" else NumberTargets)(y)
        (X, y), held_out = self._hold_out(X, y) if validation_data is None else ((X, y), _pair(validation_data))
        targets, scaler = targets.measure(y), RobustScaler().fit(X)
        if held_out is not None:
            held_out = scaler.transform(held_out[0]), targets.encode("validation_data y", held_out[1])
            callbacks = [*callbacks, KeepBest()]
        net = tabular_network(X.shape[1], targets.n_out, self.task, self.seed)
        net.classes_ = targets.classes
        self.history = net.fit(
            scaler.transform(X), targets.encode("y", y), self.epochs, self.batch_size, tabular_optimizer(self.task),
            validation_data=held_out, callbacks=callbacks, n_threads=n_threads, verbose=verbose)
        self.net, self.scaler, self.targets = net, scaler, targets
        return self

    def predict(self, X: ArrayLike, n_threads: int | None = None) -> NDArray[Any]:
        """Labels (n_samples,), or numbers of the shape that the targets had."""
        net = self._fitted
        return self.targets.decode(net.predict(self.scaler.transform(X), n_threads=n_threads))

    def predict_proba(self, X: ArrayLike, n_threads: int | None = None) -> Array:
        """Probabilities (n_samples, n_classes), columns as in ``classes_``. Label smoothing makes them modest.

        Raises
        ------
        ValueError
            For regression.
        """
        net = self._fitted
        return net.predict_proba(self.scaler.transform(X), n_threads=n_threads)

    @property
    def _fitted(self):
        if self.net is None:
            raise RuntimeError("this Tabular is not trained yet; call fit first")
        return self.net

    def _hold_out(self, X, y):
        """The samples that are trained on, and those that are not; None if there are none of these."""
        n = round(self.validation_fraction * len(X))
        if n == 0 and self.validation_fraction > 0 or n == len(X):
            raise ValueError(f"validation_fraction must leave samples on both sides; {self.validation_fraction:g} of "
                             f"{len(X)} samples is {n}")
        order = np.random.Generator(np.random.PCG64((self.seed, 2))).permutation(len(X))
        return (X[order[n:]], y[order[n:]]), (X[order[:n]], y[order[:n]]) if n else None


def _pair(validation_data):
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise ValueError(f"validation_data must be a pair (X, y), not {type(validation_data).__name__}")
    return validation_data
