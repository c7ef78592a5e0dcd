"""Model: what a network is made of, and the numbers that training changes. `Network` adds what one does with it."""

import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import _threads, _validate
from fastbp._dispatch import core
from fastbp._typing import Array, ArrayLike
from fastbp.layers import Dense, Scale, layer_spec
from fastbp.training import key_of

_UNSAVED = {"_stack", "_specs", "_busy", "_is_training", "_small", "_n_edits"}      # made anew by `_prepare`

#: Where in a layer's block of rows, of which the first `n` are weights, its parameters stand; None for those it lacks.
_PARTS = {
    "weights": lambda rows, n: rows[:n],
    "biases": lambda rows, n: rows[n],
    "gains": lambda rows, n: rows[n + 1] if len(rows) > n + 1 else None,
    "running_statistics": lambda rows, n: (rows[n + 2], rows[n + 3]) if len(rows) > n + 2 else None,
}


class Model:
    """Layers under a loss, with their parameters.

    With an optimizer that averages parameters, the core holds two sets of them: those that training goes on with, and their
    average. Everyone sees the average, as the core's `params`; only inside `_training_parameters` is it the other.
    """

    sizes: tuple[int, ...]
    layers: tuple[Dense | Scale, ...]
    dtype: np.dtype[Any]
    seed: int
    classes_: NDArray[Any] | None
    n_epochs: int

    def _configure(self, sizes, layers, loss, dtype, seed, input_dropout=0.0, input_noise=0.0):
        """Settings, which are checked, and parameters as a core starts them."""
        self.sizes, self.layers, self._loss = sizes, layers, loss
        self.dtype, self.seed = np.dtype(dtype), seed
        self.input_dropout, self.input_noise = input_dropout, input_noise
        self.classes_ = None
        self.n_epochs = 0
        self._optimizer = self._update = None   # whose slots the stack holds, in words; and its rule, for partial_fit
        self._prepare()

    def _prepare(self):
        """What is not saved with the network."""
        self._specs = [layer_spec(layer) for layer in self.layers]
        self._stack = self._new_stack()
        self._small = int(2 * _threads.FLOPS_PER_THREAD / self._flops(1))   # samples that are one thread's work
        self._busy = threading.RLock()
        self._is_training = False
        self._n_edits = 0               # of the parameters, by anyone but training

    def _new_stack(self):
        return core(self.dtype.name).Stack(self.sizes[0], self._specs, self._loss.spec(self.sizes[-1]), self.input_dropout,
                                           self.input_noise)

    # Settings --------------------------------------------------------------------------------------------------------

    @property
    def activations(self) -> tuple[str, ...]:
        """Their names, one for each layer."""
        return tuple(str(layer.activation) for layer in self.layers)

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return self._loss.name

    @property
    def metric_name(self) -> str:
        """"accuracy" or "r2", as the loss has it; "loss" for a loss of the user's own."""
        return self._loss.metric

    @property
    def n_layers(self) -> int:
        """Layers with parameters, as all are."""
        return len(self.layers)

    @property
    def n_params(self) -> int:
        """Numbers that training may change: weights, biases and gains."""
        return sum(layer.n_params(n_in) for n_in, layer in zip(self.sizes, self.layers))

    def _flops(self, n_samples, training=False):
        """Of a batch: 2 a weight for each product; training adds dW, and dX but for the first layer."""
        products = [self._n_weight_rows(i) * n_out for i, n_out in enumerate(self.sizes[1:])]
        return 2 * n_samples * (3 * sum(products) - products[0] if training else sum(products))

    def _key(self, *numbers):
        """Of dropout and noise in the steps that numbers name; 0 where there is neither."""
        is_random = self.input_dropout or self.input_noise or any(spec["dropout"] for spec in self._specs)
        return key_of(self.seed, *numbers) if is_random else 0

    def _n_weight_rows(self, layer):
        return 1 if self.layers[layer].name == "scale" else self.sizes[layer]

    # Parameters ------------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> list[Array]:
        """Copies of the weights, one (n_in, n_out) array a layer, (1, n) for `Scale`; read-only, since `set_parameters`
        writes them."""
        return self._part("weights", self._rows(self._stack.get_rows))

    @property
    def biases(self) -> list[Array]:
        """Copies of the biases, one (n_out,) array a layer; read-only."""
        return self._part("biases", self._rows(self._stack.get_rows))

    @property
    def gains(self) -> list[Array | None]:
        """Copies of what normalised inputs are multiplied with, one (n_out,) array a layer, None for those without
        normalisation; read-only."""
        return self._part("gains", self._rows(self._stack.get_rows))

    @property
    def running_statistics(self) -> list[tuple[Array, Array] | None]:
        """Copies of batch normalisation's running (mean, variance), two (n_out,) arrays a layer, None for those without;
        read-only."""
        return self._part("running_statistics", self._rows(self._stack.get_rows))

    def get_parameters(self) -> dict[str, list[Any]]:
        """All of them, as `set_parameters` takes them: dict of weights, biases, gains, running_statistics."""
        blocks = self._rows(self._stack.get_rows)
        return {name: self._part(name, blocks) for name in _PARTS}

    def _part(self, name, blocks):
        return [_PARTS[name](rows, self._n_weight_rows(layer)) for layer, rows in enumerate(blocks)]

    def _rows(self, getter):
        """A block (n_rows, n_out) a layer: W, b, and as the layer has them gain, running mean, running variance."""
        blocks = []
        for layer, n_out in enumerate(self.sizes[1:]):
            rows = np.empty((self._stack.n_rows(layer), n_out), self.dtype)
            getter(layer, rows)
            rows.flags.writeable = False
            blocks.append(rows)
        return blocks

    def set_parameters(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike],
                       gains: Sequence[ArrayLike | None] | None = None,
                       running_statistics: Sequence[tuple[ArrayLike, ArrayLike] | None] | None = None) -> None:
        """Set every weight and bias. What an optimizer keeps, its average aside, stays as it is.

        Parameters
        ----------
        weights : sequence of array_like
            One (n_in, n_out) array a layer, (1, n) for `Scale`.
        biases : sequence of array_like
            One (n_out,) array a layer.
        gains : sequence of array_like or None, optional
            One (n_out,) array for each layer with normalisation, None for the others. Default: as they are.
        running_statistics : sequence of pairs or None, optional
            (mean, variance), two (n_out,) arrays, for each layer with batch normalisation, None for the others. Default: as
            they are.

        Raises
        ------
        TypeError, ValueError
            If there is not one of each a layer, a shape does not fit, or a number is not finite; nothing is changed then.
        """
        new: list[dict[int, Array]] = [{} for _ in self.layers]       # of each layer: number of the first row -> rows
        for name, given in zip(_PARTS, (weights, biases, gains, running_statistics)):
            if given is None and name in ("gains", "running_statistics"):
                continue
            arrays = _validate.sequence(name, given, "arrays")
            if len(arrays) != self.n_layers:
                raise ValueError(f"{name} must be {self.n_layers} arrays, one a layer, not {len(arrays)}")
            for layer, array in enumerate(arrays):
                new[layer] |= self._read_rows(name, layer, array)
        with self._exclusive():
            self._set_rows(new)

    def _read_rows(self, name, layer, given):
        """Which rows of a layer's block an array of the user's is."""
        where, n_out, at = f"{name}[{layer}]", self.sizes[layer + 1], self._n_weight_rows(layer)
        norm = self._specs[layer]["norm"]
        if name in ("gains", "running_statistics") and norm < (1 if name == "gains" else 2):
            if given is not None:
                raise ValueError(f"{where} must be None for a layer without {'batch ' * (name != 'gains')}normalisation")
            return {}
        if name == "running_statistics" and not (isinstance(given, (tuple, list)) and len(given) == 2):
            raise ValueError(f"{where} must be a pair of arrays (mean, variance), not {given!r}")
        shape, first = {"weights": ((at, n_out), 0), "biases": ((n_out,), at), "gains": ((n_out,), at + 1),
                        "running_statistics": ((2, n_out), at + 2)}[name]
        rows = _validate.matrix(where, given, shape, self.dtype)
        _validate.finite(where, rows)
        if name == "running_statistics" and rows[1].min() < 0:
            raise ValueError(f"{where} must have variances of at least 0, not {rows[1].min():g}")
        return {first: rows.reshape(-1, n_out)}

    def _set_rows(self, new):
        """Writes rows of each layer, into the average as well as into what training goes on with."""
        self._n_edits += 1
        for _ in range(1 + bool(self._stack.n_blocks("average"))):
            for layer, parts in enumerate(new):
                if parts:
                    self._set_layer(layer, parts)
            if self._stack.n_blocks("average"):
                self._stack.swap_average()

    def _set_layer(self, layer, parts):
        rows = np.empty((self._stack.n_rows(layer), self.sizes[layer + 1]), self.dtype)
        self._stack.get_rows(layer, rows)
        for first, part in parts.items():
            rows[first:first + len(part)] = part
        self._stack.set_rows(layer, rows)

    # Training --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _training_parameters(self):
        """Inside, the core's parameters are those that training goes on with, not their average."""
        averaged = self._stack.n_blocks("average")
        if averaged:
            self._stack.swap_average()
        try:
            yield
        finally:
            if averaged:
                self._stack.swap_average()

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

    # Copies ----------------------------------------------------------------------------------------------------------

    def _kept_by_optimizer(self):
        """What the optimizer keeps beside the parameters: number of updates, and blocks by name."""
        blocks = {}
        for name in ("slots", "average"):
            n = self._stack.n_blocks(name)
            if n:
                blocks[name] = np.empty(n * self._stack.block_size, self.dtype)
                self._stack.get_block(name, blocks[name])
        return self._stack.n_updates, blocks

    def _restore_optimizer(self, update, n_updates, blocks):
        """Makes room for a rule, and puts there what `_kept_by_optimizer` gave."""
        self._stack.reset_slots(update)
        for name in ("slots", "average"):
            if self._stack.n_blocks(name):
                self._stack.set_block(name, blocks[name])
        self._stack.n_updates = n_updates

    def __getstate__(self):
        state = {name: value for name, value in self.__dict__.items() if name not in _UNSAVED}
        return state | {"rows": self._rows(self._stack.get_rows), "kept": self._kept_by_optimizer()}

    def __setstate__(self, state):
        rows, kept = state.pop("rows"), state.pop("kept")
        self.__dict__.update(state)
        self._prepare()
        self._set_rows([{0: its} for its in rows])
        if self._update is not None:
            self._restore_optimizer(self._update, *kept)
