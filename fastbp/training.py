"""Compiled steps over a core's `Stack`. Knows arrays that are already checked, no Network.

Steps run without the GIL, in slices of SLICE_SECONDS: between two of them Python looks at Ctrl-C, with the parameters on a
step boundary.
"""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastbp.divergence import divergence

SLICE_SECONDS = 0.05        # Ctrl-C is answered within 200 ms
FIRST_SECONDS = 0.01        # of a fit, before another team is tried
PROBE_SECONDS = 0.003


class Data(NamedTuple):
    """Samples as the core reads them."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None


def order_of(n_samples, shuffle, *numbers):
    """The samples in the order of an epoch, or of a chunk of one: a function of seed and numbers alone, for exact resume."""
    if not shuffle:
        return np.arange(n_samples, dtype=np.int64)
    order = np.random.Generator(np.random.PCG64(numbers)).permutation(n_samples)
    return order.astype(np.int64, copy=False)


def key_of(*numbers):
    """The key of all dropout and noise of an epoch, or of a chunk of one."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


@dataclass
class Turn:
    """What one size of a team did while it was its turn: slices that add up, for an epoch may be shorter than a turn."""

    size: int
    length: float           #: seconds
    is_probe: bool
    n_steps: int = 0
    n_samples: int = 0
    seconds: float = 0.0


class Team:
    """How many threads the next slice gets: `n_threads` at first, then that or `other`, as a sample has lately been quicker.

    Where the work of a step is near the cost of two barriers, or limited by memory, or another process wants the same core,
    no rule knows beforehand. Results do not depend on the threads, so a fit may try: a short turn of the other size now
    and then takes 2 % of its time at most.
    """

    def __init__(self, n_threads, other=None):
        self.sizes = (n_threads,) if other in (None, n_threads) else (n_threads, other)
        self.cost = {}          # of a sample, in seconds, in the last turn of each size
        self.turn = None
        self.started = self.next_probe = 0.0

    @property
    def best(self):
        return min(self.cost or self.sizes[:1], key=self.cost.get)

    def choose(self):
        """Threads of the next slice, and for how many seconds."""
        if self.turn is None:
            self.turn = self._next_turn()
        return self.turn.size, self.turn.length - self.turn.seconds

    def _next_turn(self):
        now = time.perf_counter()
        if len(self.sizes) == 1:
            return Turn(self.sizes[0], SLICE_SECONDS, False)
        if not self.cost:
            self.started = now
            return Turn(self.sizes[0], min(FIRST_SECONDS, SLICE_SECONDS), False)
        if now < self.next_probe:
            return Turn(self.best, SLICE_SECONDS, False)
        return Turn(next(size for size in self.sizes if size != self.best), PROBE_SECONDS, True)

    def offer(self, other):
        """From the next slice on, `other` threads may be tried."""
        if other != self.sizes[-1]:
            self.sizes = (self.sizes[0], other) if other != self.sizes[0] else self.sizes[:1]
            self.cost = {size: seconds for size, seconds in self.cost.items() if size in self.sizes}
            self.turn, self.next_probe = None, 0.0

    def record(self, n_steps, n_samples, seconds):
        """A slice of the turn."""
        turn = self.turn
        turn.n_steps, turn.n_samples, turn.seconds = turn.n_steps + n_steps, turn.n_samples + n_samples, turn.seconds + seconds
        if turn.seconds < turn.length:
            return
        is_first, self.turn = not self.cost, None
        self.cost[turn.size] = turn.seconds / max(turn.n_samples, 1)
        longest = max(self.sizes) * turn.seconds / max(turn.n_steps, 1)     # a probe takes a step at least, by one thread maybe
        if is_first and longest <= PROBE_SECONDS:
            self.next_probe = 0.0                   # a cheap probe comes at once
        elif is_first or turn.is_probe:
            self.next_probe = time.perf_counter() + self._wait(longest)

    def _wait(self, longest):
        """Until the next probe: 50 times what it takes. Where it is cheap, less at first, as long as the fit has lasted: its
        first milliseconds are the least to be trusted, with another library's threads still spinning or memory new."""
        wait = 50 * max(PROBE_SECONDS, longest)
        return min(wait, time.perf_counter() - self.started) if longest <= PROBE_SECONDS else wait


@dataclass
class Run:
    """The steps over samples in memory: an epoch, a chunk of one, or a single batch."""

    stack: object           #: core.Stack
    data: Data
    order: np.ndarray       #: int64, the samples as they come
    batch_size: int
    update: dict            #: core.Update
    rates: np.ndarray       #: float64, the learning rate of each step
    key: int                #: of dropout and noise
    team: Team
    epoch: int = 0          #: for messages
    first_step: int = 0     #: of the epoch, where this is a later chunk of it
    is_whole_epoch: bool = True
    step: int = 0           #: the next one
    totals: np.ndarray = field(default_factory=lambda: np.zeros(3))     #: sums of losses, scores and weights

    def __post_init__(self):
        self.start = self.step

    @property
    def n_steps(self):
        return -(-len(self.order) // self.batch_size)

    @property
    def n_samples_done(self):
        return min(self.step * self.batch_size, len(self.order))

    def mark(self):
        """Makes the present state the one from which a divergence is replayed."""
        self.stack.save_state()
        self.start = self.step

    def advance(self, last, tick=lambda: False):
        """Takes the steps before `last`, or fewer if `tick`, asked between two slices, says so. Returns whether it did.

        Afterwards everything is finite; else it is as it was before the first step that was to blame, and a
        `DivergenceError` says so.
        """
        asked = diverged = False
        try:
            while self.step < last and not (diverged or asked):
                self.step, diverged = self._slice(self.step, last, self.totals)
                asked = tick()
        except BaseException:               # Ctrl-C, after an update that overflowed
            if not self.stack.finite():
                self.stack.restore_state()
            raise
        if diverged or not self.stack.finite():
            self._give_up(diverged)
        return asked

    def _slice(self, step, last, totals):
        """Some steps. Returns the next one, and whether it diverged."""
        size, seconds = self.team.choose()
        started = time.perf_counter()
        done, diverged = self.stack.train(*self.data, self.order, self.batch_size, step, last, self.update, self.rates,
                                          self.key, seconds, totals, size)
        n_samples = min(done * self.batch_size, len(self.order)) - step * self.batch_size
        self.team.record(done - step, n_samples, time.perf_counter() - started)
        return done, diverged

    def _give_up(self, diverged):
        """Leaves the last finite parameters and says where they were lost.

        A loss that is not finite stops a step before its update. If an update itself overflowed, the steps since `mark` are
        replayed to the step before that one: the same bits, at most an epoch of time, and nothing to pay while all is well.
        """
        layer, overflowed = self.stack.not_finite(len(self._batch())) if diverged else None, None
        if not self.stack.finite():
            layer, overflowed = None, self._rewind()
        n_steps = self.n_steps if self.is_whole_epoch else None
        raise divergence(self.stack, self.data.X, self._batch(), self.epoch, self.first_step + self.step, n_steps, layer,
                         overflowed)

    def _batch(self):
        """The samples of the next step."""
        return self.order[self.step * self.batch_size:(self.step + 1) * self.batch_size]

    def _rewind(self):
        """Back to before the first update that left a number that is not finite; returns its layer."""
        reached = self.step
        self.stack.restore_state()
        self.step = self.start
        while self.stack.finite() and self.step < reached:
            self._replay(self.step + 1)
        layer = self.stack.overflowed()
        bad = self.step - 1
        self.stack.restore_state()
        self.step = self.start
        self._replay(bad)
        return layer

    def _replay(self, last):
        while self.step < last:
            self.step, _ = self._slice(self.step, last, np.zeros(3))


def evaluate(stack, data, flops, n_threads, look=lambda: None):
    """Sums of losses, scores and weights over the samples; `flops` of one sample sizes the slices, between which `look` is
    called."""
    n_chunks = -(-len(data.X) // stack.chunk_size)
    losses, scores = np.empty(n_chunks), np.empty(n_chunks)
    for part in slices(stack, len(data.X), flops, n_threads):
        chunks = slice(part.start // stack.chunk_size, -(-part.stop // stack.chunk_size))
        weights = None if data.weights is None else data.weights[part]
        stack.evaluate(data.X[part], data.y[part], weights, losses[chunks], scores[chunks], n_threads)
        look()
    return losses.sum(), scores.sum(), len(data.X) if data.weights is None else data.weights.sum()


def forward(stack, X, out, flops, n_threads):
    """Raw outputs into out."""
    for part in slices(stack, len(X), flops, n_threads):
        stack.forward(X[part], out[part], n_threads)


def slices(stack, n_samples, flops, n_threads):
    """Parts of the samples: some 2 GFLOP for every thread, a chunk at least; between two Python looks at Ctrl-C."""
    size = stack.chunk_size * n_threads * max(1, int(2e9 / (flops * stack.chunk_size)))
    return [slice(first, min(first + size, n_samples)) for first in range(0, n_samples, size)]
