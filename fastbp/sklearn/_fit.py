"""How the estimators of `fastbp.sklearn` train: scikit-learn's solvers and stopping rules over compiled steps.

The order of samples, the rates and the penalty are scikit-learn's to the last draw, so that in float64 the same
`random_state` gives the same network to rounding. Its penalty is alpha / 2 |W|^2 over the sum of weights of each batch: for the
core an `l2` of each stretch of batches that weigh the same, which without sample weights are the full ones and the last.
"""

import math
import time
import warnings
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from fastbp import _threads, fitting
from fastbp.callbacks import steps_to_next
from fastbp.errors import DivergenceError
from fastbp.sklearn._rates import LATE, Rates, update_of
from fastbp.sklearn._records import NOT_FINITE, Records
from fastbp.sklearn._sparse import rows_at_once, take
from fastbp.training import Run, Team


class Standing(NamedTuple):
    """Where a fit stood that ``warm_start="exact"`` goes on with."""

    places: tuple               #: of the samples that are trained on, and of those held out, or None
    order: np.ndarray           #: of the last epoch
    parameters: tuple | None    #: weights and biases of the last epoch, where the estimator went back to the best ones


class Epochs:
    """A `fit` or `partial_fit` by sgd or adam.

    Parameters
    ----------
    mlp : BaseMLP
    net : Network
    samples : Data
        X dense, or CSR.
    places : (ndarray, ndarray or None)
        Of the samples to train on, and of those held out of them.
    validation : Validation or None
    audience : Audience
    """

    def __init__(self, mlp, net, samples, places, validation, audience):
        self.mlp, self.net, self.samples, self.places, self.audience = mlp, net, samples, places, audience
        self.rows, self.validation = places[0], validation
        n = len(self.rows)
        if mlp.batch_size != "auto" and mlp.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6)
        self.batch_size = min(200 if mlp.batch_size == "auto" else mlp.batch_size, n)
        self.starts = np.arange(0, n, self.batch_size)
        self.sizes = np.diff(self.starts, append=n)
        self.stretches = self._stretches(self.sizes)            # with sample weights, anew in each epoch
        flops = net._flops(self.batch_size, training=True)
        self.team = Team(*_threads.team_sizes(mlp._n_threads(), flops, net._openmp_limit()))
        self.deadline = math.inf if mlp.max_time is None else time.monotonic() + mlp.max_time
        self.update, self.order, self.squares = update_of(mlp), np.arange(n), net._stack.weights_squared()
        self.first_step, self.told = 0, 0.0         # of an epoch: steps before it; seconds of callbacks within it

    def run(self, goes_on, incremental):
        """Up to `max_iter` epochs, or one; `goes_on` and `incremental` ones with what the optimizer remembers."""
        mlp, audience = self.mlp, self.audience
        if not goes_on:
            mlp.n_iter_ = 0
        self._open_scores()
        with self.net._exclusive(training=True):
            self._take_over(goes_on, incremental)
            try:
                audience.begin(self.net, mlp.history_)
                try:
                    self._epochs(1 if incremental else mlp.max_iter, incremental)
                except KeyboardInterrupt:
                    warnings.warn("Training interrupted by user.", stacklevel=6)
                except DivergenceError as error:
                    self._give_up(error)
                self._leave()
                audience.finish()
            finally:
                audience.close()

    def _open_scores(self):
        """What an earlier fit of another kind did not keep."""
        mlp = self.mlp
        if mlp.early_stopping and getattr(mlp, "validation_scores_", None) is None:
            mlp.validation_scores_, mlp.best_validation_score_, mlp.best_loss_ = [], -math.inf, None
            mlp._best = [mlp.coefs_, mlp.intercepts_]
        elif not mlp.early_stopping and mlp.best_loss_ is None:
            mlp.validation_scores_, mlp.best_validation_score_, mlp.best_loss_ = None, None, math.inf

    def _take_over(self, goes_on, incremental):
        """Starts with the optimizer, or goes on from where it stood."""
        mlp = self.mlp
        keeps = (goes_on or incremental) and mlp._optimizer is not None
        if not keeps:
            mlp._optimizer = Rates(mlp)
            fitting.start(self.net, None, self.update, None)
            self.net._stack.n_updates = LATE
        elif goes_on and mlp._standing is not None:
            self._stand(mlp._standing)
        epochs = 1 if incremental else mlp.max_iter
        self.records = Records(mlp, self.net, self.samples.y[self.rows], self.validation, self.team.best, epochs, keeps)
        rates = mlp._optimizer
        rates.total = None if incremental else mlp.history_.epochs * len(self.starts)
        if (rates.monitor or "").startswith("val_") and self.validation is None:
            raise ValueError(f"{type(rates.schedule).__name__} watches {rates.monitor} and needs early_stopping=True, or X_val "
                             "and y_val")

    def _stand(self, standing):
        self.order = standing.order
        best = [array for arrays in self.mlp._best for array in arrays]
        if standing.parameters is not None and all(map(np.array_equal, best, [*self.net.weights, *self.net.biases])):
            self.net.set_parameters(*standing.parameters)
            self.squares = self.net._stack.weights_squared()

    def _leave(self):
        """Goes back to the best parameters, and notes where the fit stood."""
        mlp, last = self.mlp, None
        if mlp.early_stopping:
            last = self.net.weights, self.net.biases
            self.net.set_parameters(*mlp._best)
        self._stand_at(last)

    def _stand_at(self, parameters):
        """Notes where the fit stands: for those who keep the estimator while it is fitted, too."""
        self.mlp._standing = Standing(self.places, self.order, parameters) if self.mlp.warm_start == "exact" else None

    def _epochs(self, n, incremental):
        for _ in range(n):
            if self._epoch():
                return
        if not incremental and self.mlp._optimizer.schedule is None:        # a schedule is meant for all of them
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({n}) reached and the optimization hasn't converged yet.",
                          ConvergenceWarning, stacklevel=7)

    def _give_up(self, error):
        """A network that is lost: with early stopping the best one is at hand."""
        mlp = self.mlp
        if not mlp.early_stopping:
            raise ValueError(f"{NOT_FINITE} {error}") from error
        mlp.n_iter_ += 1
        mlp.loss_ = math.nan
        for curve in (mlp.loss_curve_, mlp.validation_scores_, mlp.validation_loss_curve_):
            curve.append(math.nan)
        warnings.warn(f"Training stopped: {error}", ConvergenceWarning, stacklevel=7)

    def _epoch(self):
        """One pass over the samples. Returns whether it is the last."""
        mlp = self.mlp
        self.audience.begin_epoch()
        if mlp.shuffle:
            places = np.arange(len(self.order))
            mlp._random_state.shuffle(places)
            self.order = self.order[places]
        is_late = self._steps()
        mlp.n_iter_ += 1
        mlp.loss_curve_.append(mlp.loss_)
        self._say(f"Iteration {mlp.n_iter_}, loss = {mlp.loss_:.8f}")
        if mlp.early_stopping:
            score = self.validation.score()
            mlp.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
        has_stalled = self._has_stalled()
        mlp._optimizer.end_epoch(mlp.t_)
        self._stand_at(None)
        return any([self._is_over(has_stalled), self.audience.end_epoch(), is_late])

    # Steps -----------------------------------------------------------------------------------------------------------

    def _steps(self):
        """The steps of an epoch, and its records. Returns whether time is up, or a callback wants an end."""
        mlp, order, starts = self.mlp, self.rows[self.order], self.starts
        started, self.told = time.perf_counter(), 0.0
        weights, stretches = self.sizes, self.stretches
        if self.samples.weights is not None:
            weights = np.add.reduceat(self.samples.weights[order], starts)
            stretches = self._stretches(weights)
        self.first_step, rates = mlp._optimizer.t, mlp._optimizer.take(len(starts), mlp.history_)
        loss, done, totals, is_late = 0.0, 0, np.zeros(3), False
        for first, last in stretches:
            data, rows = take(self.samples, order[first * self.batch_size:last * self.batch_size])
            update = self.update | {"l2": float(mlp.alpha / weights[first]) if weights[first] > 0 else 0.0}
            run = Run(self.net._stack, data, rows, self.batch_size, update, rates[first:last],
                      self.net._key(self.first_step + first), self.team, mlp.n_iter_, first, False)
            is_late = self._advance(run, totals)
            if run.totals[2] > 0:
                loss += run.n_samples_done * mlp._reported(run.totals[0] / run.totals[2], data, rows[:run.n_samples_done])
            done, totals = done + run.n_samples_done, totals + run.totals
            if is_late:
                mlp._optimizer.t = self.first_step + first + run.step
                break
        mlp.t_ += done
        mlp.loss_ = (loss + self._penalty(weights)) / done
        seconds = time.perf_counter() - started - self.told
        self.records.add(totals, done, mlp._optimizer.t, mlp._optimizer.learning_rate, seconds)
        mlp.history_.n_threads = self.team.best
        return is_late

    def _advance(self, run, totals):
        """The steps of a stretch, before which the epoch had these sums; callbacks are told where they are due. Returns whether
        time is up, or one of them wants an end."""
        if not self.audience.by_step:
            run.mark()
            return run.advance(run.n_steps, lambda: self._is_late(run))
        before, edits, is_over = self.first_step + run.first_step, None, False
        while run.step < run.n_steps and not is_over:
            if edits != self.net._n_edits:          # the first time, and where a callback has written parameters
                run.mark()
                edits = self.net._n_edits
            last = min(run.n_steps, run.step + steps_to_next(self.audience.by_step, before + run.step))
            is_late = run.advance(last, lambda: self._is_late(run))
            self.records.note(totals + run.totals, before + run.step)
            started = time.perf_counter()
            is_over = self.audience.end_steps() or is_late
            self.told += time.perf_counter() - started
        return is_over

    def _stretches(self, weights):
        """Neighbouring batches that are equal in size and weight, as pairs (first, last); of a sparse X not too many."""
        is_new = (np.diff(self.sizes) != 0) | (np.diff(weights) != 0)
        edges = {0, len(weights), *(np.flatnonzero(is_new) + 1).tolist()}
        if issparse(self.samples.X):
            edges |= set(range(0, len(weights), max(1, rows_at_once(self.samples.X) // self.batch_size)))
        edges = sorted(edges)
        return list(zip(edges, edges[1:]))

    def _is_late(self, run):
        wants_end = self.audience.tick(len(self.records.history.loss) + (run.first_step + run.step) / len(self.starts))
        return wants_end or time.monotonic() >= self.deadline

    def _penalty(self, weights):
        """Sum over the samples of their batch's penalty, by |W|^2 at both ends of the epoch: linear in between."""
        if self.mlp.alpha == 0:
            return 0.0
        before, self.squares = self.squares, self.net._stack.weights_squared()
        n = len(weights)
        if weights is self.sizes:
            norms = n * before + (self.squares - before) * (n - 1) / 2
        else:
            shares = np.divide(self.sizes, weights, out=np.zeros(n), where=weights > 0)
            norms = float((shares * (before + (self.squares - before) * np.arange(n) / n)).sum())
        return self.mlp.alpha / 2 * norms

    # Between epochs --------------------------------------------------------------------------------------------------

    def _has_stalled(self):
        """Counts the epochs without progress, and keeps the best."""
        mlp = self.mlp
        if mlp.early_stopping:
            value = mlp.validation_scores_[-1]
            is_worse = value < mlp.best_validation_score_ + mlp.tol
            if value > mlp.best_validation_score_:
                mlp.best_validation_score_ = value
                mlp._best = [self.net.weights, self.net.biases]
        else:
            is_worse = mlp.loss_ > mlp.best_loss_ - mlp.tol
            mlp.best_loss_ = min(mlp.best_loss_, mlp.loss_)
        mlp._no_improvement_count = mlp._no_improvement_count + 1 if is_worse else 0
        return mlp._no_improvement_count > mlp.n_iter_no_change

    def _is_over(self, has_stalled):
        if not has_stalled:
            return False
        mlp = self.mlp
        what = "Validation score" if mlp.early_stopping else "Training loss"
        found = f"{what} did not improve more than tol={mlp.tol:f} for {mlp.n_iter_no_change} consecutive epochs."
        if mlp._optimizer.lower():
            mlp._no_improvement_count = 0
            self._say(f"{found} Setting learning rate to {mlp._optimizer.learning_rate:f}")
            return False
        self._say(f"{found} Stopping.")
        return True

    def _say(self, line):
        if self.mlp.verbose:
            print(line)
