"""`fit`: epochs of compiled steps, and what happens between them: validation, callbacks, checkpoints, schedules.

`Fit` is one call of it. Where it stands is a few numbers (epoch, chunk, step), since order, dropout and learning rates are
functions of those and of the seed: that is why a fit can go on from a `Checkpoint` as if it had never stopped.
"""

import math
import time

import numpy as np

from fastbp import _threads, checkpoint, resuming
from fastbp._dispatch import ISA
from fastbp._rates import Schedule, monitor_of, rates_of
from fastbp.callbacks import call_each, is_due, says_stop, steps_between, steps_to_next
from fastbp.errors import DivergenceError
from fastbp.full_batch import FullBatch
from fastbp.history import History
from fastbp.lbfgs import LBFGS
from fastbp.optimizers import SGD, read_optimizer
from fastbp.plan import read_plan, read_source, read_validation
from fastbp.sources import Spread, WholeSpread
from fastbp.training import Run, Team, order_of

WATCH_EVERY = 16            # steps; the first of an epoch is always watched


class Fit:
    """One call of `Network.fit`, whose arguments are checked.

    Parameters
    ----------
    net : Network
    plan : plan.Plan
    source : sources.Arrays or Stream
    classes : ndarray or None
    validation : training.Data or None
    saved : checkpoint.Saved or None
        Where to go on from.
    """

    def __init__(self, net, plan, source, classes, validation, saved):
        self.net, self.plan, self.source, self.classes, self.validation, self.saved = (
            net, plan, source, classes, validation, saved)
        self.stack, n_first = net._stack, len(source.first.X) if source.is_stream else source.n_samples
        self.batch_size = plan.batch_size if source.is_stream else min(plan.batch_size, n_first)
        flops = net._flops(min(self.batch_size, n_first), training=True)
        self.team = Team(*_threads.team_sizes(plan.n_threads, flops, net._openmp_limit()))
        self.history = History(net.metric_name, 0 if source.is_stream else n_first, self.team.best, ISA,
                               net._flops(1, training=True), plan.epochs, validation is not None, net.activations)
        self.scores = None if validation is None else net._scorer(validation, plan.n_threads)
        self.spread = self._whole_spread() if net.metric_name == "r2" and not source.is_stream else None
        self.totals = np.zeros(3)                       # of the epoch: sums of losses, scores and weights
        self.full_batch = self._full_batch() if isinstance(plan.optimizer, LBFGS) else None
        self.update = SGD().update() if self.full_batch else plan.optimizer.update()
        self.epoch = self.chunk = self.step = 0         # where it stands: epochs done, chunks of this one, steps of that
        self.n_steps = self.first_step = 0              # before that chunk: of the fit, of the epoch
        self.n_samples = 0                              # before that chunk, of the epoch
        self.seconds, self.learning_rate = 0.0, math.nan        # of the epoch; of its last step
        self.stopped = self.ended = False               # by a callback; so that resuming would not go on either
        self.look = lambda: None                        # called between two slices, also of the validation; may raise
        self._check_rates()
        self.stateful = [callback for callback in plan.callbacks if hasattr(callback, "get_state")]
        self.identity = resuming.identity(self) if plan.checkpoints or saved else None
        if saved is not None:
            resuming.check(self, saved)
            resuming.restore_history(self, saved)

    def _full_batch(self):
        net = self.net
        return FullBatch(self.stack, net._new_stack(), net._specs, self.source.first, self.plan.optimizer, net._flops(1),
                         self.team, self.totals)

    def _whole_spread(self):
        y, rows = self.source.first.y, self.source.rows
        return WholeSpread(y if rows is None else y[rows])

    # The whole -------------------------------------------------------------------------------------------------------

    def run(self):
        """All epochs. Returns the history."""
        callbacks = self.plan.callbacks
        try:
            call_each(callbacks, "begin", self.net, self.history)
            for checkpoint in self.plan.checkpoints:
                checkpoint.begin(self.saved)
            self._take_over()
            amid = self.chunk > 0 or self.step > 0      # a checkpoint may stand in the midst of an epoch
            while self.epoch < self.plan.epochs and (amid or not self.stopped):
                self._epoch()
                amid = False
            call_each(callbacks, "finish", self.net, self.history)
        except DivergenceError as error:
            self.history.diverged = {"epoch": error.epoch, "step": error.step, "layer": error.layer, "message": str(error)}
            error.history = self.history
            raise
        finally:
            self.stack.watch(0)
            call_each(callbacks, "close")
        return self.history

    def _take_over(self):
        """Starts with the optimizer, or goes on; whatever stops this half-way leaves the network without one."""
        start(self.net, None, self.update, self.classes)
        if self.saved is not None:
            resuming.restore(self, self.saved)
            self.stopped = self.ended
        if self.full_batch is None:
            self.net._optimizer = resuming.in_words(self.plan.optimizer)
        if self.plan.health:
            self.stack.watch(WATCH_EVERY)
        self._n_edits = self.net._n_edits

    # An epoch --------------------------------------------------------------------------------------------------------

    def _epoch(self):
        spread = Spread() if self.net.metric_name == "r2" and self.source.is_stream else self.spread
        first, is_whole = self.chunk, True
        for number, data in enumerate(self.source.chunks()):
            run = self._chunk(data) if number >= first else None
            if self.source.is_stream and spread is not None and (run is None or run.step > 0):
                spread.add(data.y)
            if run is not None and self.stopped:
                is_whole = run.step == run.n_steps and not self.source.is_stream
                break
        if is_whole:
            self._note(spread, self.n_samples)
            self._next_epoch()
        else:
            self._save(self.plan.checkpoints)           # first of all: a resumed fit goes on within this epoch
            self._note(spread, self.n_samples + run.n_samples_done * (self.step > 0))
        self._after_epoch(is_whole)

    def _note(self, spread, n_samples):
        """Writes the epoch, or what has been done of it, into the history."""
        history = self.history
        self.net.n_epochs += 1
        loss, metric = self.net._means(self.totals, n_samples, spread)
        history.loss.append(loss)
        history.metric.append(metric)
        history.learning_rate.append(self.learning_rate)
        history.seconds.append(self.seconds)
        history.samples.append(n_samples)
        history.n_samples, history.n_threads, history.running_loss = n_samples, self.team.best, None
        if self.plan.health:
            history.health.append(self.stack.take_health())
        if self.scores is not None:
            loss, metric = self.scores(self.look)
            history.val_loss.append(loss)
            history.val_metric.append(metric)

    def _next_epoch(self):
        self.epoch += 1
        self.chunk = self.step = self.first_step = self.n_samples = 0
        self.seconds, self.totals[:] = 0.0, 0

    def _after_epoch(self, is_whole):
        called = [callback for callback in self.plan.callbacks if steps_between(callback) is None]
        self._heed([(callback, callback(self.net, self.history)) for callback in called])
        if is_whole:
            is_last = self.stopped or self.epoch == self.plan.epochs
            self._save([checkpoint for checkpoint in self.plan.checkpoints if is_last or steps_between(checkpoint) is None])

    # A chunk, which of arrays is the whole epoch ---------------------------------------------------------------------

    def _chunk(self, data):
        """The steps over one chunk, but for those that are done already."""
        run = self._run_over(data)
        while run.step < run.n_steps and not self.stopped:
            self._advance(run)
            self._after_steps(run)
        if run.step > 0:
            self.learning_rate = float(run.rates[run.step - 1])
        if run.step == run.n_steps:
            self.chunk, self.step = self.chunk + 1, 0
            self.n_steps, self.first_step = self.n_steps + run.n_steps, self.first_step + run.n_steps
            self.n_samples += run.n_samples_done
        return run

    def _run_over(self, data):
        if self.full_batch is not None:
            self.full_batch.begin(self.net.n_epochs, self.step)
            return self.full_batch
        net, rows = self.net, self.source.rows
        numbers = (net.n_epochs, self.chunk) if self.source.is_stream else (net.n_epochs,)
        order = order_of(len(data.X if rows is None else rows), self.plan.shuffle, net.seed, *numbers)
        run = Run(self.stack, data, order if rows is None else rows[order], self.batch_size, self.update,
                  self._rates(-(-len(order) // self.batch_size)), net._key(*numbers), self.team, net.n_epochs, self.first_step,
                  not self.source.is_stream, self.step, self.totals)
        with net._training_parameters():
            run.mark()
        self._n_edits = net._n_edits
        return run

    def _rates(self, n):
        """Learning rates of the next steps."""
        rate = self.plan.optimizer.learning_rate
        total = None if self.source.is_stream else self.plan.epochs * -(-self.source.n_samples // self.batch_size)
        values = getattr(self.history, monitor_of(rate) or "loss")
        return rates_of(rate, np.arange(self.n_steps, self.n_steps + n), total, values)

    def _check_rates(self):
        """Finds out before the first step what a schedule lacks."""
        rate = getattr(self.plan.optimizer, "learning_rate", None)
        monitor = monitor_of(rate)
        if monitor is not None and monitor.startswith("val_") and self.validation is None:
            raise ValueError(f"{type(rate).__name__} watches {monitor} and needs validation_data")
        if isinstance(rate, Schedule):
            self._rates(1)

    def _advance(self, run):
        """Steps up to where the next callback is due."""
        done = self.n_steps + run.step
        last = min(run.n_steps, run.step + steps_to_next([*self.plan.callbacks, *self.plan.checkpoints], done))
        started = time.perf_counter()
        with self.net._training_parameters():
            if self.net._n_edits != self._n_edits:      # by a callback
                run.mark()
                self._n_edits = self.net._n_edits
            asked = run.advance(last, lambda: self._tick(run))
        self.seconds += time.perf_counter() - started
        self.step = run.step
        if asked and not self.stopped:                  # by the run itself
            self.stopped = self.ended = True

    def _tick(self, run):
        self.look()
        progress = self.epoch if self.source.is_stream else self.epoch + run.step / run.n_steps
        self._heed(call_each(self.plan.callbacks, "tick", progress))
        return self.stopped

    def _after_steps(self, run):
        history, done = self.history, self.n_steps + run.step
        history.step = done
        history.running_loss = float(self.totals[0] / self.totals[2]) if self.totals[2] > 0 else 0.0
        self._heed([(callback, callback(self.net, history)) for callback in self.plan.callbacks if is_due(callback, done)])
        if not self.stopped:                            # else one is written where the fit stops
            self._save([checkpoint for checkpoint in self.plan.checkpoints if is_due(checkpoint, done)])

    def _heed(self, answers):
        """Notes who wants the fit to stop."""
        for callback, answer in answers:
            if says_stop(answer):
                self.stopped = True
                self.ended = self.ended or not getattr(callback, "suspends", False)

    def _save(self, checkpoints):
        if checkpoints:
            tensors, config = resuming.collect(self)
            for checkpoint in checkpoints:
                checkpoint.write(tensors, config)


def read(net, X, y, epochs, batch_size, optimizer, shuffle, validation_data, callbacks, n_threads, verbose, sample_weight,
         class_weight, classes, health, resume, rows):
    """The `Fit` of arguments of `Network.fit`, all of them checked; nothing has changed yet."""
    plan = read_plan(net, epochs, batch_size, optimizer, shuffle, callbacks, n_threads, verbose, health)
    saved = None if resume is None else checkpoint.read(resume)
    source, classes = read_source(net, plan, X, y, sample_weight, class_weight, classes, rows)
    validation = read_validation(net, validation_data, classes)
    return Fit(net, plan, source, classes, validation, saved)


def start(net, optimizer, update, classes):
    """An optimizer that remembers nothing; `optimizer` describes it in words."""
    net._optimizer, net._update = None, update
    net._stack.reset_slots(update)
    net.classes_, net._optimizer = classes, optimizer


def partial_fit(net, X, y, optimizer, classes, n_threads, sample_weight):
    """One step; see `Network.partial_fit`."""
    optimizer = read_optimizer(optimizer)
    if isinstance(optimizer, LBFGS):
        raise ValueError("optimizer must be one that takes steps on batches, not LBFGS; use fit")
    data, classes = net._read_samples(X, y, sample_weight, classes=classes)
    n_samples, words, stack = len(data.X), resuming.optimizer_in_words(optimizer), net._stack
    team = Team(_threads.choose(n_threads, net._flops(n_samples, training=True), net._openmp_limit()))
    with net._exclusive(training=True):
        step = stack.n_updates if words == net._optimizer else 0
        run = Run(stack, data, np.arange(n_samples, dtype=np.int64), n_samples, optimizer.update(),
                  rates_of(optimizer.learning_rate, [step], None, []), net._key(step, 0, 1), team)
        if words != net._optimizer:
            start(net, words, run.update, classes)
        with net._training_parameters():
            run.mark()
            run.advance(1)
    return float(run.totals[0] / run.totals[2]) if run.totals[2] > 0 else 0.0
