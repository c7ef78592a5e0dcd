"""L-BFGS on a network: an epoch is one step of `lbfgs.Descent` on all samples. It stands in for a `training.Run`."""

import math

import numpy as np

from fastbp import training
from fastbp.divergence import divergence
from fastbp.lbfgs import Descent


def check(net, health):
    """Refuse what a loss must not have whose line search expects the same parameters to give the same value, and factors
    of a learning rate that does not exist."""
    if net.input_dropout or net.input_noise:
        raise ValueError("LBFGS needs a loss without randomness: input_dropout and input_noise must be 0")
    for i, layer in enumerate(net.layers, 1):
        for name, off in (("dropout", 0.0), ("max_norm", None), ("learning_rate_factor", 1.0)):
            if getattr(layer, name, off) != off:
                raise ValueError(f"LBFGS cannot train layers[{i}] with {name}={getattr(layer, name)}; it must be {off}")
        if layer.bias_learning_rate_factor not in (None, 1.0):
            raise ValueError(f"LBFGS cannot train layers[{i}] with bias_learning_rate_factor="
                             f"{layer.bias_learning_rate_factor}; it must be 1.0")
        if getattr(layer, "normalization", None) == "batch":
            raise ValueError(f"LBFGS cannot train layers[{i}] with normalization='batch', whose running statistics only steps "
                             "on batches move; use 'layer'")
    if health:
        raise ValueError("health=True watches the steps of an update rule, and LBFGS has none; use loss_and_gradient")


class FullBatch:
    """A step an epoch. Lives as long as the fit, since L-BFGS remembers."""

    n_steps, first_step = 1, 0

    def __init__(self, stack, template, specs, data, settings, flops, team, totals):
        self.stack, self.data, self.settings, self.flops, self.team = stack, data, settings, flops, team
        self.trains, decays = _masks(template, specs)
        self.l2 = settings.l2 * decays
        self.descent, self.step, self.epoch, self.rates = None, 0, 0, np.array([math.nan])
        self.totals = totals

    def begin(self, epoch, step):
        """The next epoch."""
        self.epoch, self.step = epoch, step

    @property
    def n_samples_done(self):
        return self.step * len(self.data.X)

    def mark(self):
        """Starts from the parameters as they are now."""
        self.descent = None

    def advance(self, last, tick=lambda: False):
        """Takes the step of this epoch. Returns whether `tick` asks for an end; so does an L-BFGS that finds nothing lower."""
        if self.step >= last:
            return False
        n_threads = self.team.choose()[0]
        self.totals += training.evaluate(self.stack, self.data, self.flops, n_threads)
        try:
            if self.descent is None:
                self._start()
            moved = self.descent.step()
        finally:
            self._put(self._best())         # a search that is broken off has put others there
        self.step = 1
        return tick() or not moved

    def _start(self):
        block = np.empty(self.stack.block_size, self.stack.dtype)
        self.stack.get_block("params", block)
        self.began = block.astype(np.float64)
        self.descent = Descent(self._evaluate, self.began, self.settings)
        if not math.isfinite(self.descent.loss):
            layer, self.descent = self.stack.not_finite(len(self.data.X)), None
            raise divergence(self.stack, self.data.X, range(len(self.data.X)), self.epoch, 0, 1, layer, None)

    def _best(self):
        return self.began if self.descent is None else self.descent.w

    def _put(self, w):
        with np.errstate(over="ignore"):
            self.stack.set_block("params", w.astype(self.stack.dtype))

    def _evaluate(self, w):
        """Loss with its penalty, and gradient, for `Descent`."""
        self._put(w)
        loss = self.stack.gradient(*self.data, self.team.best)
        block = np.empty(self.stack.block_size, self.stack.dtype)
        self.stack.get_block("gradient", block)
        gradient = block * self.trains + self.l2 * w
        return loss + float((self.l2 * w * w).sum()) / 2, gradient

    def state(self):
        """What L-BFGS remembers, as arrays by name."""
        return {} if self.descent is None else self.descent.state()

    def restore(self, state):
        """Goes on from what `state` gave."""
        if state:
            self.descent = Descent.restored(self._evaluate, state, self.settings)


def _masks(template, specs):
    """For each number of a block of parameters: 1 where training may change it; and the decay factor of each weight."""
    trains, decays = [], []
    for layer, spec in enumerate(specs):
        n_rows = template.n_rows(layer)
        n_weights = n_rows - (1, 2, 4)[spec["norm"]]
        trains.append([spec["trainable"]] * n_rows)
        decays.append([spec["trainable"] * spec["decay"]] * n_weights + [0.0] * (n_rows - n_weights))
    return _block(template, specs, trains), _block(template, specs, decays)


def _block(template, specs, columns):
    """The block of a stack whose rows each hold one number."""
    for layer, (spec, column) in enumerate(zip(specs, columns)):
        template.set_rows(layer, np.repeat(np.array(column, template.dtype)[:, None], spec["n_out"], axis=1))
    block = np.empty(template.block_size, template.dtype)
    template.get_block("params", block)
    return block.astype(np.float64)
