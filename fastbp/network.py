"""Network: a stack of dense layers under a loss, with its parameters; what most users ever see of fastbp."""

import secrets
import threading
from contextlib import contextmanager

import numpy as np

from fastbp import _targets, _threads, _validate, persistence, training
from fastbp._dispatch import ISA, core
from fastbp.activations import ACTIVATIONS
from fastbp.callbacks import read_callbacks, says_stop
from fastbp.history import History
from fastbp.initializers import INITIALIZERS, default_for
from fastbp.layers import Dense, read_layers
from fastbp.losses import LOSSES
from fastbp.optimizers import read_optimizer

_UNSAVED = {"_stack", "_busy", "_is_training", "_optimizer", "_small"}      # made anew by `_prepare`


class Network:
    """A feedforward network of dense layers.

    Parameters
    ----------
    layers : sequence of int or Dense
        Number of inputs, then each layer's width or `Dense`.
    activation : str, default "relu"
        Of the hidden layers. One of ``fastbp.activations.ACTIVATIONS``. The last layer ends in raw outputs, since the
        loss owns its link; an output activation is given by ``Dense``.
    loss : str, default "softmax_cross_entropy"
        One of ``fastbp.losses.LOSSES``.
    dtype : {"float32", "float64"}, default "float32"
        Of parameters and of all arithmetic.
    seed : int, optional
        Determines the starting weights and the order of samples, on any number of threads. Default: drawn, and kept in
        ``seed``.
    initializer : str, default "auto"
        Of the weights: one of ``fastbp.initializers.INITIALIZERS``, or "auto" for He's before rectifiers and Glorot's
        elsewhere. Biases start at zero.

    Attributes
    ----------
    sizes : tuple of int
        Widths from input to output.
    activations : tuple of str
        One for each layer.
    classes_ : ndarray or None
        The labels that outputs stand for, from the first fit on; None for a loss on numbers.
    n_epochs : int
        Epochs trained so far.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind or unknown; the valid names are listed.

    Notes
    -----
    Any number of threads may predict with one network, and each may train a network of its own. While one thread trains a
    network, no other may use that network: a second one that trains it gets a RuntimeError, one that predicts may see
    parameters in the middle of an update.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
    >>> net = fastbp.Network([2, 8, 2], activation="tanh", seed=0)
    >>> history = net.fit(X, ["even", "odd", "odd", "even"], epochs=500, batch_size=4)
    >>> net.predict(X).tolist()
    ['even', 'odd', 'odd', 'even']
    """

    def __init__(self, layers, activation="relu", loss="softmax_cross_entropy", dtype="float32", seed=None,
                 initializer="auto"):
        _validate.one_of("activation", activation, ACTIVATIONS)
        self._loss = LOSSES[_validate.one_of("loss", loss, LOSSES)]
        self.dtype = np.dtype(_validate.one_of("dtype", getattr(dtype, "__name__", None) or str(dtype),
                                               ("float32", "float64")))
        self.sizes, self.activations = read_layers(layers, activation)
        if loss == "softmax_cross_entropy" and self.sizes[-1] < 2:
            raise ValueError("softmax_cross_entropy needs at least 2 outputs, one a class; for two classes in one "
                             "output use loss='binary_cross_entropy'")
        self.seed = secrets.randbits(63) if seed is None else _validate.seed(seed)
        self.classes_ = None
        self.n_epochs = 0
        self._prepare()
        self._initialize(_validate.one_of("initializer", initializer, ("auto", *INITIALIZERS)))

    def _prepare(self):
        """What is not saved with the network."""
        codes = [ACTIVATIONS[name] for name in self.activations]
        self._stack = core(self.dtype.name).Stack(self.sizes, codes, self._loss.code)
        self._small = int(2 * _threads.FLOPS_PER_THREAD / self._flops(1))   # samples that are one thread's work
        self._optimizer = None          # whose slots the stack holds, for partial_fit
        self._busy = threading.RLock()
        self._is_training = False

    def _initialize(self, initializer):
        rng = np.random.Generator(np.random.PCG64(self.seed))
        shapes = list(zip(self.sizes, self.sizes[1:]))
        names = [default_for(a) if initializer == "auto" else initializer for a in self.activations]
        self.set_parameters([INITIALIZERS[name](rng, *shape) for name, shape in zip(names, shapes)],
                            [np.zeros(n_out) for _, n_out in shapes])

    # Parameters ------------------------------------------------------------------------------------------------------

    @property
    def loss(self):
        """Name of the loss."""
        return self._loss.name

    @property
    def metric_name(self):
        """"accuracy" or "r2", as the loss has it."""
        return self._loss.metric

    @property
    def n_layers(self):
        """Dense layers."""
        return len(self.activations)

    @property
    def n_params(self):
        """Weights and biases."""
        return sum((n_in + 1) * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:]))

    @property
    def weights(self):
        """Copies of the weights, one (n_in, n_out) array a layer; read-only, since `set_parameters` writes them."""
        return [W for W, _ in self._unpack(self._stack.get_parameters)]

    @property
    def biases(self):
        """Copies of the biases, one (n_out,) array a layer; read-only."""
        return [b for _, b in self._unpack(self._stack.get_parameters)]

    def _unpack(self, getter):
        pairs = []
        for layer, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:])):
            W, b = np.empty((n_in, n_out), self.dtype), np.empty(n_out, self.dtype)
            getter(layer, W, b)
            W.flags.writeable = b.flags.writeable = False
            pairs.append((W, b))
        return pairs

    def set_parameters(self, weights, biases):
        """Set every weight and bias.

        Parameters
        ----------
        weights : sequence of array_like
            One (n_in, n_out) array a layer.
        biases : sequence of array_like
            One (n_out,) array a layer.

        Raises
        ------
        TypeError, ValueError
            If there is not one of each a layer, a shape does not fit, or a number is not finite; nothing is changed then.
        """
        for name, given in (("weights", weights), ("biases", biases)):
            if len(_validate.sequence(name, given, "arrays")) != self.n_layers:
                raise ValueError(f"{name} must be {self.n_layers} arrays, one a layer, not {len(given)}")
        pairs = []
        for layer, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:])):
            pairs.append((_validate.matrix(f"weights[{layer}]", weights[layer], (n_in, n_out), self.dtype),
                          _validate.matrix(f"biases[{layer}]", biases[layer], (n_out,), self.dtype)))
            for name, array in zip((f"weights[{layer}]", f"biases[{layer}]"), pairs[-1]):
                _validate.finite(name, array)
        with self._exclusive():
            for layer, (W, b) in enumerate(pairs):
                self._stack.set_parameters(layer, W, b)

    # Training --------------------------------------------------------------------------------------------------------

    def fit(self, X, y, epochs=10, batch_size=32, optimizer=None, shuffle=True, validation_data=None, callbacks=(),
            n_threads=None, verbose=0):
        """Train for some epochs, from the parameters as they are.

        Parameters
        ----------
        X : array_like (n_samples, n_in)
            float32 and float64 with contiguous rows are read where they stand, also from a read-only `numpy.memmap`;
            any other layout or dtype is converted once.
        y : array_like
            Labels (n_samples,), integers or strings, for softmax_cross_entropy; 0 and 1, two labels, or
            (n_samples, n_out) numbers in [0, 1] for binary_cross_entropy; numbers (n_samples, n_out), or (n_samples,)
            for one output, for squared_error.
        epochs : int, default 10
            Passes over the data.
        batch_size : int, default 32
            Samples of a step; the last batch of an epoch may be smaller.
        optimizer : SGD or Adam, default SGD()
            What it keeps of the gradients starts at zero.
        shuffle : bool, default True
            A new order each epoch, from ``seed`` and ``n_epochs``; X is read in that order, never rearranged.
        validation_data : (X, y), optional
            Evaluated after each epoch.
        callbacks : list or tuple of callables, default ()
            Each is called as ``callback(net, history)`` after each epoch; training ends if one returns True.
        n_threads : int, optional
            At most so many threads. Default: as many as the work of a step is worth. The result does not depend on it.
        verbose : int, default 0
            1 prints a line an epoch.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described; before any parameter changes.
        DivergenceError
            If the loss is not finite. The last finite parameters are kept.
        RuntimeError
            If another thread is training this network.
        """
        epochs = _validate.positive_int("epochs", epochs)
        optimizer = read_optimizer(optimizer)
        X, y, classes = self._read_data(X, y)
        batch_size = min(_validate.positive_int("batch_size", batch_size), len(X))
        callbacks = read_callbacks(callbacks)
        threads = _threads.choose(n_threads, self._flops(batch_size, training=True), _openmp_limit(self.dtype))
        run = training.Run(self._stack, X, y, batch_size, optimizer.update(), training.Team(threads, n_threads is None),
                           self.seed, _validate.flag("shuffle", shuffle))
        history = History(self.metric_name, len(X), threads, ISA, self._flops(1, training=True))
        scores = self._scorer(validation_data, classes, n_threads)
        spread = None if self._loss.metric == "accuracy" else _targets.total_sum_of_squares(y)
        verbose = _validate.count("verbose", verbose)
        with self._exclusive(training=True):
            self._take(optimizer, classes, run)
            for epoch in range(epochs):
                self._epoch(run, history, scores, spread)
                if verbose:
                    print(f"epoch {epoch + 1}/{epochs}  {history.line()}", flush=True)
                history.n_threads = run.team.best
                if any([says_stop(callback(self, history)) for callback in callbacks]):
                    break
        return history

    def _take(self, optimizer, classes, run):
        """Starts with an optimizer; whatever stops this half-way leaves the network without one."""
        self._optimizer = None
        self._stack.reset_slots(run.update["rule"])
        self.classes_, self._optimizer = classes, optimizer

    def _epoch(self, run, history, scores, spread):
        total, hits, seconds = run.epoch(self.n_epochs)
        self.n_epochs += 1
        n = len(run.X)
        history.loss.append(total / n)
        history.metric.append(hits / n if spread is None else _r2(total, spread))
        history.seconds.append(seconds)
        if scores is not None:
            loss, metric = scores()
            history.val_loss.append(loss)
            history.val_metric.append(metric)

    def partial_fit(self, X, y, optimizer=None, classes=None, n_threads=None):
        """Take one step on a batch.

        Parameters
        ----------
        X, y : array_like
            The batch; see `fit`.
        optimizer : SGD or Adam, default SGD()
            What it keeps of the gradients goes on from the last call as long as the optimizer is equal, else it starts at zero.
        classes : array_like, optional
            All labels there are, for a first batch that lacks some and whose labels are not 0..n_out-1.
        n_threads : int, optional
            See `fit`.

        Returns
        -------
        float
            Mean loss of the batch before the step.

        Raises
        ------
        TypeError, ValueError, DivergenceError, RuntimeError
            See `fit`; a step whose loss is not finite is not taken.
        """
        optimizer = read_optimizer(optimizer)
        X, y, classes = self._read_data(X, y, classes)
        threads = _threads.choose(n_threads, self._flops(len(X), training=True), _openmp_limit(self.dtype))
        run = training.Run(self._stack, X, y, len(X), optimizer.update(), training.Team(threads, False), self.seed, False)
        with self._exclusive(training=True):
            if optimizer != self._optimizer:
                self._take(optimizer, classes, run)
            return run.one_step() / len(X)

    def loss_and_gradient(self, X, y, n_threads=None):
        """Mean loss over the samples, taken as one batch, and its gradient.

        Returns
        -------
        loss : float
        dW : list of ndarray
            One (n_in, n_out) array a layer.
        db : list of ndarray
            One (n_out,) array a layer.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as `fit` describes.
        RuntimeError
            If another thread is training this network.
        """
        X, y, _ = self._read_data(X, y)
        threads = _threads.choose(n_threads, self._flops(len(X), training=True), _openmp_limit(self.dtype))
        with self._exclusive():
            loss = self._stack.gradient(X, y, threads)
            pairs = self._unpack(self._stack.get_gradient)
        return loss, [dW for dW, _ in pairs], [db for _, db in pairs]

    # Inference -------------------------------------------------------------------------------------------------------

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
        """Labels (n_samples,), or 0 and 1 (n_samples, n_out) for several binary outputs; values for squared_error,
        (n_samples,) where there is one output."""
        raw = self.forward(X, n_threads=n_threads)
        if self._loss.targets == "values":
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
            If the loss has none, as squared_error.
        """
        if self._loss.link == "identity":
            raise ValueError(f"{self.loss} gives no probabilities; use predict or forward")
        p = self.forward(X, n_threads=n_threads)
        core(self.dtype.name).link(self._loss.code, p)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def evaluate(self, X, y, n_threads=None):
        """Mean loss and metric (``metric_name``) over the samples.

        Parameters
        ----------
        X, y : array_like
            See `fit`.
        n_threads : int, optional
            See `fit`.

        Returns
        -------
        loss, metric : float

        Raises
        ------
        TypeError, ValueError
            If an argument is not as `fit` describes.
        """
        X, y, _ = self._read_data(X, y)
        return self._score(X, y, n_threads)

    def _score(self, X, y, n_threads):
        loss, share = training.evaluate(self._stack, X, y, self._flops(1), self._inference_threads(X, n_threads))
        if self._loss.metric == "accuracy":
            return loss, share
        return loss, _r2(loss * len(X), _targets.total_sum_of_squares(y))

    def _scorer(self, data, classes, n_threads):
        """A call that evaluates the validation data, which are checked now; None if there are none."""
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ValueError(f"validation_data must be a pair (X, y), not {type(data).__name__}")
        X = _validate.rows("validation_data X", data[0], self.sizes[0], self.dtype)
        _validate.some_samples("validation_data X", X)
        y = _targets.encode(data[1], self._loss, self.sizes[-1], classes, self.dtype, "validation_data y")
        _validate.same_length("validation_data y", y, len(X))
        return lambda: self._score(X, y, n_threads)

    # Between users and the core --------------------------------------------------------------------------------------

    def _read_data(self, X, y, classes=None):
        """X and y as the core reads them, and the classes, of which the user may have told; the network stays as it is."""
        X = _validate.rows("X", X, self.sizes[0], self.dtype)
        _validate.some_samples("X", X)
        if classes is not None:
            classes = _targets.told_classes(classes, self.classes_, self._loss, self.sizes[-1])
        elif self.classes_ is not None:
            classes = self.classes_
        else:
            classes = _targets.find_classes(y, self._loss, self.sizes[-1])
        y = _targets.encode(y, self._loss, self.sizes[-1], classes, self.dtype)
        _validate.same_length("y", y, len(X))
        return X, y, classes

    def _flops(self, n_samples, training=False):
        """Of a batch: 2 n_in n_out for each product; training adds dW, and dX but for the first layer."""
        products = [n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:])]
        return 2 * n_samples * (3 * sum(products) - products[0] if training else sum(products))

    def _inference_threads(self, X, n_threads):
        return _threads.choose(n_threads, self._flops(len(X)), _openmp_limit(self.dtype))

    @contextmanager
    def _exclusive(self, training=False):
        """One thread at a time; of what that thread does meanwhile, in a callback, everything but training."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("another thread is training this network; use a copy, or wait for it")
        outer = self._is_training
        try:
            if training and outer:
                raise RuntimeError("a callback cannot train the network that is calling it; train a copy")
            self._is_training = training or outer
            yield
        finally:
            self._is_training = outer
            self._busy.release()

    def save(self, path):
        """Write the network to a safetensors file; see `fastbp.persistence`."""
        persistence.save(self, path)

    def __getstate__(self):
        state = {name: value for name, value in self.__dict__.items() if name not in _UNSAVED}
        return state | {"parameters": (self.weights, self.biases)}

    def __setstate__(self, state):
        parameters = state.pop("parameters")
        self.__dict__.update(state)
        self._prepare()
        self.set_parameters(*parameters)

    def __repr__(self):
        layers = ", ".join([str(self.sizes[0])] + [f"{n} {a}" for n, a in zip(self.sizes[1:], self.activations)])
        return f"<fastbp.Network {layers}; {self.loss}, {self.dtype.name}, {self.n_params:,} parameters>"


def load(path):
    """Read a network from a file that `Network.save` wrote.

    Raises
    ------
    FormatError
        If the file is not a whole, unchanged model file.
    OSError
        If it cannot be opened.
    """
    model = persistence.load(path)
    layers = [model.sizes[0], *map(Dense, model.sizes[1:], model.activations)]
    net = Network(layers, loss=model.loss, dtype=model.dtype, seed=model.seed)
    net.set_parameters(model.weights, model.biases)
    net.classes_, net.n_epochs = model.classes, model.epochs
    return net


def _openmp_limit(dtype):
    """What the OpenMP runtime would give the calling thread: threadpoolctl's limits show there."""
    return core(dtype.name).openmp()[1]


def _r2(total_loss, spread):
    """1 - residual / total sum of squares; the loss is half the residual."""
    return 1 - 2 * total_loss / spread if spread > 0 else float(total_loss == 0)
