"""The training loop over a core's `Stack`: epochs of compiled steps. Knows arrays that are already checked, no Network.

An epoch runs without the GIL, in slices of SLICE_SECONDS: between two of them Python looks at Ctrl-C, with the
parameters on a step boundary.
"""

import time
from dataclasses import dataclass

import numpy as np

from fastbp.errors import DivergenceError

SLICE_SECONDS = 0.05


@dataclass
class Run:
    """One call of fit: data as `_validate` and `_targets` leave it, and how to go through it."""

    stack: object           #: core.Stack
    X: np.ndarray
    y: np.ndarray
    batch_size: int
    update: dict            #: core.Update
    n_threads: int
    seed: int
    shuffle: bool

    @property
    def n_steps(self):
        return -(-len(self.X) // self.batch_size)

    def order(self, epoch):
        """The samples in the order of an epoch: a function of the seed and the epoch's number alone, for exact resume."""
        if not self.shuffle:
            return np.arange(len(self.X))
        return np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self.X))

    def steps(self, order, first, last):
        """Takes steps first..last of an epoch. Returns the step it stands before, if it diverged, loss sum and hits."""
        totals, diverged, step = np.zeros(2), False, first
        while step < last and not diverged:
            step, diverged = self.stack.train(self.X, self.y, order, self.batch_size, step, last, self.update,
                                              SLICE_SECONDS, totals, self.n_threads)
        return step, diverged, totals

    def epoch(self, number):
        """One pass over the data. Returns the loss sum, the hits and the seconds."""
        started = time.perf_counter()
        order = self.order(number)
        self.stack.save_state()
        step, diverged, totals = self.steps(order, 0, self.n_steps)
        if diverged or not self.stack.finite():
            self.give_up(number, order, step, diverged)
        return totals[0], int(totals[1]), time.perf_counter() - started

    def one_step(self):
        """The whole of X as one step. Returns the loss sum; a step whose loss is not finite is not taken."""
        order = np.arange(len(self.X))
        step, diverged, totals = self.steps(order, 0, 1)
        if diverged:
            layer = self.stack.not_finite(len(order))
            raise DivergenceError(_explain(self, 0, step, layer, order), epoch=0, step=step, layer=layer)
        return totals[0]

    def give_up(self, number, order, step, diverged):
        """Leaves the last finite parameters and says where they were lost.

        A loss that is not finite stops a step before its update. If an update itself overflowed, the epoch is replayed
        to the step before that one: the same bits, at most an epoch of time, and nothing to pay while all is well.
        """
        batch = order[step * self.batch_size:(step + 1) * self.batch_size]
        layer = self.stack.not_finite(len(batch)) if diverged else None
        if not self.stack.finite():
            step = self.rewind(order, step)
            layer = None
        raise DivergenceError(_explain(self, number, step, layer, batch), epoch=number, step=step, layer=layer)

    def rewind(self, order, step):
        """Back to before the first update that left a parameter that is not finite; returns that step."""
        self.stack.restore_state()
        bad = 0
        while self.stack.finite() and bad < step:
            self.steps(order, bad, bad + 1)
            bad += 1
        self.stack.restore_state()
        self.steps(order, 0, bad - 1)
        return bad - 1


def _explain(run, epoch, step, layer, batch):
    where = f"epoch {epoch + 1}, step {step + 1} of {run.n_steps}"
    kept = "the parameters are those before this step, all finite"
    cure = "try a smaller learning_rate, or scale X to about unit variance"
    if layer is None:
        return f"the update of {where} leaves numbers that are not finite; {kept}; {cure}"
    if layer < 0:
        with np.errstate(over="ignore"):
            bad = next(i for i in batch if not np.isfinite(run.X[i].astype(run.stack.dtype)).all())
        return f"the loss of {where} is not finite, because X row {bad} is not ({run.stack.dtype}); {kept}"
    at = f"layer {layer}" if layer < run.stack.n_layers else "the loss itself"
    return f"the loss of {where} is not finite, first in {at}; {kept}; {cure}"


def evaluate(stack, X, y, n_threads):
    """Mean loss and share of hits over the samples."""
    n_chunks = -(-len(X) // stack.chunk_size)
    losses, hits = np.empty(n_chunks), np.empty(n_chunks, np.int64)
    stack.evaluate(X, y, losses, hits, n_threads)
    return float(losses.sum()) / len(X), int(hits.sum()) / len(X)
