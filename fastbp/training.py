"""The training loop over a core's `Stack`: epochs of compiled steps. Knows arrays that are already checked, no Network.

An epoch runs without the GIL, in slices of SLICE_SECONDS: between two of them Python looks at Ctrl-C, with the
parameters on a step boundary.
"""

import time
from dataclasses import dataclass

import numpy as np

from fastbp.errors import DivergenceError

SLICE_SECONDS = 0.05        # Ctrl-C is answered within 200 ms
PROBE_SECONDS = 0.003


class Team:
    """How many threads the next slice gets: all that the call may use, or one, as a step has lately been quicker.

    Where the work of a step is near the cost of two barriers, or another process wants the same core, no rule knows
    beforehand. Results do not depend on the threads, so a fit may try: it begins with all, and a short slice of the
    other size now and then takes 2 % of its time at most.
    """

    def __init__(self, n_threads, may_change):
        self.sizes = (n_threads, 1) if may_change and n_threads > 1 else (n_threads,)
        self.step_seconds = {}
        self.next_probe = 0.0

    @property
    def best(self):
        return min(self.step_seconds or self.sizes[:1], key=self.step_seconds.get)

    def choose(self):
        """Threads of the next slice, and for how many seconds."""
        if len(self.sizes) == 1:
            return self.sizes[0], SLICE_SECONDS
        if not self.step_seconds or time.perf_counter() < self.next_probe:
            return self.best, SLICE_SECONDS
        return next(size for size in self.sizes if size != self.best), PROBE_SECONDS

    def record(self, size, n_steps, seconds, was_probe):
        self.step_seconds[size] = seconds / max(n_steps, 1)
        if was_probe or not self.next_probe:        # a probe takes a step at least, with one thread a long one
            probe_seconds = max(PROBE_SECONDS, self.sizes[0] * self.step_seconds[size])
            self.next_probe = time.perf_counter() + 50 * probe_seconds


@dataclass
class Run:
    """One call of fit: data as `_validate` and `_targets` leave it, and how to go through it."""

    stack: object           #: core.Stack
    X: np.ndarray
    y: np.ndarray
    batch_size: int
    update: dict            #: core.Update
    team: Team
    seed: int
    shuffle: bool

    @property
    def n_steps(self):
        return -(-len(self.X) // self.batch_size)

    def order(self, epoch):
        """The samples in the order of an epoch: a function of the seed and the epoch's number alone, for exact resume."""
        if not self.shuffle:
            return np.arange(len(self.X), dtype=np.int64)
        order = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self.X))
        return order.astype(np.int64, copy=False)

    def steps(self, order, first, last):
        """Takes steps first..last of an epoch. Returns the step it stands before, if it diverged, loss sum and hits."""
        totals, diverged, step = np.zeros(2), False, first
        while step < last and not diverged:
            size, seconds = self.team.choose()
            started, before = time.perf_counter(), step
            step, diverged = self.stack.train(self.X, self.y, order, self.batch_size, step, last, self.update, seconds,
                                              totals, size)
            self.team.record(size, step - before, time.perf_counter() - started, seconds < SLICE_SECONDS)
        return step, diverged, totals

    def epoch(self, number):
        """One pass over the data. Returns the loss sum, the hits and the seconds."""
        started = time.perf_counter()
        order = self.order(number)
        self.stack.save_state()
        try:
            step, diverged, totals = self.steps(order, 0, self.n_steps)
        except BaseException:               # Ctrl-C, after an update that overflowed
            if not self.stack.finite():
                self.stack.restore_state()
            raise
        if diverged or not self.stack.finite():
            self.give_up(number, order, step, diverged)
        return float(totals[0]), int(totals[1]), time.perf_counter() - started

    def one_step(self):
        """The whole of X as one step. Returns the loss sum."""
        order = np.arange(len(self.X), dtype=np.int64)
        self.stack.save_state()
        step, diverged, totals = self.steps(order, 0, 1)
        if diverged or not self.stack.finite():
            self.give_up(0, order, step, diverged)
        return float(totals[0])

    def give_up(self, number, order, step, diverged):
        """Leaves the last finite parameters and says where they were lost.

        A loss that is not finite stops a step before its update. If an update itself overflowed, the epoch is replayed
        to the step before that one: the same bits, at most an epoch of time, and nothing to pay while all is well.
        """
        layer, overflowed = self.stack.not_finite(len(self.batch(order, step))) if diverged else None, None
        if not self.stack.finite():
            layer, (step, overflowed) = None, self.rewind(order, step)
        message = _explain(self, number, step, layer, overflowed, self.batch(order, step))
        raise DivergenceError(message, epoch=number, step=step, layer=layer)

    def batch(self, order, step):
        """The samples of a step."""
        return order[step * self.batch_size:(step + 1) * self.batch_size]

    def rewind(self, order, step):
        """Back to before the first update that left a parameter that is not finite; returns that step and its layer."""
        self.stack.restore_state()
        bad = 0
        while self.stack.finite() and bad < step:
            self.steps(order, bad, bad + 1)
            bad += 1
        layer = self.stack.overflowed()
        self.stack.restore_state()
        self.steps(order, 0, bad - 1)
        return bad - 1, layer


def _explain(run, epoch, step, layer, overflowed, batch):
    where = f"epoch {epoch + 1}, step {step + 1} of {run.n_steps}"
    kept = "the parameters are those before this step, all finite"
    cure = "try a smaller learning_rate, or scale X to about unit variance"
    what = f"the loss of {where} is not finite" if layer is not None else (
        f"the update of {where} leaves numbers that are not finite in {_layer(run, overflowed, 'the optimizer')}")
    with np.errstate(over="ignore"):
        bad = next((i for i in batch if not np.isfinite(run.X[i].astype(run.stack.dtype)).all()), None)
    if bad is not None:
        return f"{what}, because X row {bad} is not ({run.stack.dtype}); {kept}"
    if layer is None:
        return f"{what}; {kept}; {cure}"
    return f"{what}, first in {_layer(run, layer, 'the loss itself')}; {kept}; {cure}"


def _layer(run, layer, otherwise):
    return f"layer {layer}" if layer < run.stack.n_layers else otherwise


def evaluate(stack, X, y, flops, n_threads):
    """Mean loss and share of hits over the samples; `flops` of one sample sizes the slices."""
    n_chunks = -(-len(X) // stack.chunk_size)
    losses, hits = np.empty(n_chunks), np.empty(n_chunks, np.int64)
    for part in slices(stack, len(X), flops, n_threads):
        chunks = slice(part.start // stack.chunk_size, -(-part.stop // stack.chunk_size))
        stack.evaluate(X[part], y[part], losses[chunks], hits[chunks], n_threads)
    return float(losses.sum()) / len(X), int(hits.sum()) / len(X)


def forward(stack, X, out, flops, n_threads):
    """Raw outputs into out."""
    for part in slices(stack, len(X), flops, n_threads):
        stack.forward(X[part], out[part], n_threads)


def slices(stack, n_samples, flops, n_threads):
    """Parts of the samples: some 2 GFLOP for every thread, a chunk at least; between two Python looks at Ctrl-C."""
    size = stack.chunk_size * n_threads * max(1, int(2e9 / (flops * stack.chunk_size)))
    return [slice(first, min(first + size, n_samples)) for first in range(0, n_samples, size)]
