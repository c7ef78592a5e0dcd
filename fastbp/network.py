"""Network: a stack of layers under a loss, with its parameters; what most users ever see of fastbp."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from fastbp import _threads, _validate, embedding, fitting, persistence
from fastbp._typing import Array, ArrayLike, Chunks, Path, Samples
from fastbp._update import Optimizer
from fastbp.activations import ACTIVATIONS
from fastbp.callbacks import Callback
from fastbp.checkpoint import Checkpoint
from fastbp.history import History
from fastbp.initializers import INITIALIZERS
from fastbp.layers import Dense, Scale, read_layers
from fastbp.lbfgs import LBFGS
from fastbp.losses import Loss, LossFunction, read_loss
from fastbp.predictor import Predictor

if TYPE_CHECKING:
    from fastbp.trace import Trace


class Network(Predictor):
    """A feedforward network.

    Parameters
    ----------
    layers : sequence of int, Dense or Scale
        Number of inputs, then each layer's width, or a layer with settings of its own.
    activation : str, default "relu"
        Of the hidden layers. One of ``fastbp.activations.ACTIVATIONS``. The last layer ends in raw outputs, since the
        loss owns its link; an output activation is given by ``Dense``.
    loss : str, Loss or callable, default "softmax_cross_entropy"
        One of ``fastbp.losses.LOSSES``, one with settings such as ``fastbp.losses.Huber(0.5)``, or a function of your own,
        see `fastbp.losses.CustomLoss`.
    dtype : {"float32", "float64"}, default "float32"
        Of parameters and of all arithmetic.
    seed : int, optional
        Determines the starting weights, the order of samples, dropout and noise, on any number of threads. Default: drawn,
        and kept in ``seed``.
    initializer : str, default "auto"
        Of the weights: one of ``fastbp.initializers.INITIALIZERS``, or "auto" for the one that suits the activation: He's
        before rectifiers, LeCun's before selu, Glorot's elsewhere. Biases start at zero.
    input_dropout : float, default 0.0
        In training each input is dropped with this probability, and the others are divided by 1 less it. In [0, 1).
    input_noise : float, default 0.0
        In training each input, after dropout, gets a normal random number of this standard deviation added.

    Attributes
    ----------
    sizes : tuple of int
        Widths from input to output.
    layers : tuple of Dense and Scale
        With nothing left open.
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

    With an optimizer that averages parameters, everything but training sees the average. Copies and pickles keep what the
    optimizer keeps; `save` writes the parameters alone, and a `Checkpoint` all that a fit needs to go on.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
    >>> net = fastbp.Network([2, 8, 2], activation="tanh", seed=0)
    >>> history = net.fit(X, ["even", "odd", "odd", "even"], epochs=500, batch_size=4)
    >>> net.predict(X).tolist()
    ['even', 'odd', 'odd', 'even']
    """

    def __init__(self, layers: Sequence[int | Dense | Scale], activation: str = "relu",
                 loss: str | Loss | LossFunction = "softmax_cross_entropy", dtype: DTypeLike = "float32",
                 seed: int | None = None, initializer: str = "auto", input_dropout: float = 0.0,
                 input_noise: float = 0.0) -> None:
        _validate.one_of("activation", activation, ACTIVATIONS)
        _validate.one_of("initializer", initializer, ("auto", *INITIALIZERS))
        loss = read_loss(loss)
        dtype = _validate.dtype("dtype", dtype)
        sizes, made = read_layers(layers, activation, initializer)
        loss.spec(sizes[-1])                        # refuses a number of outputs that does not suit it
        input_dropout = _validate.number("input_dropout", input_dropout, at_least=0, below=1)
        input_noise = _validate.number("input_noise", input_noise, at_least=0)
        seed = _validate.seed_or_fresh(seed)
        self._configure(sizes, made, loss, dtype, seed, input_dropout, input_noise)
        rng = np.random.Generator(np.random.PCG64(self.seed))
        for i, layer in enumerate(made):            # one at a time: they are drawn in float64
            self._set_layer(i, self._read_rows("weights", i, layer.initial_weights(rng, sizes[i])))

    # Training --------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike | Chunks, y: ArrayLike | None = None, epochs: int = 10, batch_size: int = 32,
            optimizer: Optimizer | LBFGS | None = None, shuffle: bool = True, validation_data: Samples | None = None,
            callbacks: Sequence[Callback | Checkpoint] = (), n_threads: int | None = None, verbose: int = 0, *,
            sample_weight: ArrayLike | None = None, class_weight: Mapping[Any, float] | str | None = None,
            classes: ArrayLike | None = None, health: bool = False, resume: Path | None = None,
            rows: ArrayLike | None = None) -> History:
        """Train for some epochs, from the parameters as they are.

        Parameters
        ----------
        X : array_like (n_samples, n_in), or chunks
            float32 and float64 with contiguous rows are read where they stand, also from a read-only ``numpy.memmap``;
            any other layout or dtype is converted once.

            Without `y`, chunks of samples that need not fit in memory together: a function that returns an iterator, as a
            generator function does, or anything else that can be gone through anew for each epoch. Each chunk is a pair
            (X, y), or a triple (X, y, sample_weight), of any number of samples, which are shuffled within it and taken in
            batches; two chunks at a time are in memory. With `resume`, chunks must come as they came before.
        y : array_like
            Labels (n_samples,), integers or strings, for softmax_cross_entropy; 0 and 1, two labels, or
            (n_samples, n_out) numbers in [0, 1] for binary_cross_entropy, 0 or 1 for hinge; for the others numbers
            (n_samples, n_out), or (n_samples,) for one output, of which NaN leaves an output of a sample out.
        epochs : int, default 10
            Passes over the data. With `resume`, those before count.
        batch_size : int, default 32
            Samples of a step; the last batch of an epoch may be smaller. LBFGS always takes all samples.
        optimizer : SGD, Adam, ..., default SGD()
            One of ``fastbp.optimizers.OPTIMIZERS``. What it keeps of the gradients starts at zero.
        shuffle : bool, default True
            A new order each epoch, from ``seed`` and ``n_epochs``; X is read in that order, never rearranged.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Evaluated after each epoch.
        callbacks : list or tuple of callables, default ()
            Each is called as ``callback(net, history)`` after each epoch, or after every so many steps if it has an
            attribute ``every``; training ends if one returns True. See `fastbp.callbacks`.
        n_threads : int, optional
            At most so many threads. Default: as many as the work of a step is worth. The result does not depend on it.
        verbose : int, default 0
            1 shows a line an epoch, and a bar on a terminal where tqdm is installed.
        sample_weight : array_like (n_samples,), optional
            How much each sample counts in the mean loss of its batch; at least 0. The metric counts all alike.
        class_weight : dict or "balanced", optional
            The same by label, 1 for those that the dict lacks; "balanced" gives all classes the same weight in all.
        classes : array_like, optional
            All labels there are, if a first chunk may lack some and they are not 0..n_out-1.
        health : bool, default False
            Look at the gradients in every 16th step, for ``history.verdict()`` and ``history.plot_gradient_flow()``.
        resume : str or path-like, optional
            Go on from the checkpoint at this path, or, if there is none yet, begin: one and the same command can be started
            again after whatever stopped it. All other arguments must be as they were, except that epochs may be more. An
            epoch in which a fit was stopped has ``health`` of the steps since.
        rows : array_like of int, optional
            Places in X of the samples to train on, in any order and with repeats: as with ``X[rows], y[rows]``, but without
            copies (LBFGS makes them), and all of y tells the classes.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, before any parameter changes; a chunk, when it is its turn.
        FormatError
            If a checkpoint is damaged, and so is the one before it.
        DivergenceError
            If the loss is not finite. The last finite parameters are kept; the error's ``history`` has the epochs before.
        RuntimeError
            If another thread is training this network.
        """
        run = fitting.read(self, X, y, epochs, batch_size, optimizer, shuffle, validation_data, callbacks, n_threads, verbose,
                           sample_weight, class_weight, classes, health, resume, rows)
        with self._exclusive(training=True):
            return run.run()

    def partial_fit(self, X: ArrayLike, y: ArrayLike, optimizer: Optimizer | None = None, classes: ArrayLike | None = None,
                    n_threads: int | None = None, *, sample_weight: ArrayLike | None = None) -> float:
        """Take one step on a batch.

        Parameters
        ----------
        X, y : array_like
            The batch; see `fit`.
        optimizer : SGD, Adam, ..., default SGD()
            Any but LBFGS. What it keeps of the gradients goes on from the last call as long as the optimizer is equal, else
            it starts at zero.
        classes : array_like, optional
            All labels there are, for a first batch that lacks some and whose labels are not 0..n_out-1.
        n_threads : int, optional
            See `fit`.
        sample_weight : array_like (n_samples,), optional
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
        return fitting.partial_fit(self, X, y, optimizer, classes, n_threads, sample_weight)

    def loss_and_gradient(self, X: ArrayLike, y: ArrayLike, n_threads: int | None = None, *,
                          sample_weight: ArrayLike | None = None) -> tuple[float, list[Array], list[Array]]:
        """Mean loss over the samples, taken as one batch, and its gradient; without dropout and noise.

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
        data, _ = self._read_samples(X, y, sample_weight)
        threads = _threads.choose(n_threads, self._flops(len(data.X), training=True), self._openmp_limit())
        with self._exclusive():
            loss = self._stack.gradient(*data, threads)
            blocks = self._rows(self._stack.get_gradient)
        return loss, self._part("weights", blocks), self._part("biases", blocks)

    # Diagnosis -------------------------------------------------------------------------------------------------------

    def trace_step(self, X: ArrayLike, y: ArrayLike, optimizer: Optimizer | None = None) -> "Trace":
        """Every number of one step of backpropagation, under the textbook's names, to print and read; the network stays as it
        is. See `fastbp.trace`."""
        from fastbp import trace
        return trace.trace_step(self, X, y, optimizer)

    # Files -----------------------------------------------------------------------------------------------------------

    def c_handle(self, optimizer: Optimizer | None = None, batch_size: int | None = None) -> object:
        """A handle on this network for C and Cython: a PyCapsule, whose pointer ``fastbp_step_f32`` and
        ``fastbp_predict_f32`` take (``..._f64`` for a float64 network). It keeps the parameters alive and shares them: what
        C trains, Python sees.

        Parameters
        ----------
        optimizer : SGD, Adam, ..., optional
            For steps: any that keeps no average, but LBFGS. What it keeps of the gradients goes on from the last training as
            long as the optimizer is equal, else it starts at zero. The learning rate is an argument of each step.
        batch_size : int, optional
            The most samples of a step; needed with an optimizer.

        Returns
        -------
        PyCapsule
            Of the name ``"fastbp.network_f32"`` or ``"fastbp.network_f64"``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, or the loss is a function of the user's own.
        RuntimeError
            If another thread is training this network.
        """
        return embedding.handle(self, optimizer, batch_size)

    def save(self, path: Path) -> None:
        """Write the network to a safetensors file; see `fastbp.persistence`."""
        persistence.save(self, path)

    def __repr__(self):
        layers = ", ".join([str(self.sizes[0])] + [f"{n} {a}" for n, a in zip(self.sizes[1:], self.activations)])
        return f"<fastbp.Network {layers}; {self.loss}, {self.dtype.name}, {self.n_params:,} parameters>"


def load(path: Path, loss: Loss | LossFunction | None = None) -> Network:
    """Read a network from a file that `Network.save` or a `Checkpoint` wrote.

    Parameters
    ----------
    path : str or path-like
    loss : callable or CustomLoss, optional
        For a network with a loss of the user's own, which no file holds: that loss. None for all others.

    Raises
    ------
    FormatError
        If the file is not a whole, unchanged model file.
    OSError
        If it cannot be opened.
    ValueError
        If loss is missing, or not asked for.
    """
    model = persistence.load(path)
    if model.loss is None and loss is None:
        raise ValueError("loss must be given: the network has one of its user's own, which no file holds")
    if model.loss is not None and loss is not None:
        raise ValueError(f"loss must be None: the network has its own, {model.loss.name}")
    net = Network.__new__(Network)
    net._configure(model.sizes, model.layers, read_loss(model.loss or loss), model.dtype,
                   _validate.seed_or_fresh(model.seed), model.input_dropout, model.input_noise)
    net._set_rows([{0: rows} for rows in model.rows])
    net.classes_, net.n_epochs = model.classes, model.epochs
    return net
