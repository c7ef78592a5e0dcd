"""How the estimators of `fastbp.sklearn` train: scikit-learn's solvers and stopping rules over compiled steps.

The order of samples, the rates and the penalty are scikit-learn's to the last draw, so that in float64 the same
`random_state` gives the same network to rounding. Its penalty is alpha / 2 |W|^2 over the sum of weights of each batch: for the
core an `l2` of each stretch of batches that weigh the same, which without sample weights are the full ones and the last.
"""

import math
import time
import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from fastbp import _threads, fitting, training
from fastbp.callbacks import says_stop
from fastbp.errors import DivergenceError
from fastbp.optimizers import SGD, Adam
from fastbp.training import Data, Run, Team

NOT_FINITE = ("Solver produced non-finite parameter weights. The input data may contain large values and need to be "
              "preprocessed.")
LATE = 2**40            # so many updates, and Adam's bias corrections are 1


class Rates:
    """The learning rate of sgd or adam, which goes on from one `partial_fit` to the next."""

    def __init__(self, mlp):
        self.kind = "adam" if mlp.solver == "adam" else mlp.learning_rate
        self.first = self.learning_rate = mlp.learning_rate_init
        self.power, self.beta_1, self.beta_2 = mlp.power_t, mlp.beta_1, mlp.beta_2
        self.t = 0                  # steps

    def take(self, n):
        """Rates of the next n steps. Adam's bias corrections are in them: so its epsilon is added to sqrt(v), as
        scikit-learn does, and not to the corrected sqrt(v) of the paper's algorithm 1."""
        t = np.arange(self.t + 1, self.t + n + 1, dtype=np.float64)
        self.t += n
        if self.kind != "adam":
            return np.full(n, float(self.learning_rate))
        rates = self.first * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        self.learning_rate = float(rates[-1])
        return rates

    def end_epoch(self, n_seen):
        if self.kind == "invscaling":
            self.learning_rate = float(self.first) / (n_seen + 1) ** self.power

    def lower(self):
        """Answers epochs without progress. Returns whether training should go on, at a lower rate."""
        if self.kind != "adaptive" or self.learning_rate <= 1e-6:
            return False
        self.learning_rate /= 5
        return True


def update_of(mlp):
    """The core's update rule, but for its penalty."""
    if mlp.solver == "adam":
        return Adam(beta1=mlp.beta_1, beta2=mlp.beta_2, eps=mlp.epsilon, clip_norm=mlp.clip_norm).update()
    nesterov = bool(mlp.nesterovs_momentum and mlp.momentum > 0)
    return SGD(momentum=mlp.momentum, nesterov=nesterov, clip_norm=mlp.clip_norm).update()


def squares(net):
    """|W|^2 over all layers."""
    return sum(float(np.square(W, dtype=np.float64).sum()) for W in net.weights)


class Epochs:
    """A `fit` or `partial_fit` by sgd or adam.

    Parameters
    ----------
    mlp : BaseMLP
    net : Network
    samples : Data
        X dense, or CSR.
    rows : ndarray
        Places of the samples to train on.
    validation : (Data, targets) or None
    """

    def __init__(self, mlp, net, samples, rows, validation):
        self.mlp, self.net, self.samples, self.rows, self.validation = mlp, net, samples, rows, validation
        n = len(rows)
        if mlp.batch_size != "auto" and mlp.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6)
        self.batch_size = min(200 if mlp.batch_size == "auto" else mlp.batch_size, n)
        flops = net._flops(self.batch_size, training=True)
        self.team = Team(*_threads.team_sizes(mlp._n_threads(), flops, net._openmp_limit()))
        self.deadline = math.inf if mlp.max_time is None else time.monotonic() + mlp.max_time
        self.update, self.order, self.squares = update_of(mlp), np.arange(n), squares(net)

    def run(self, max_iter, incremental):
        """Up to so many epochs; one, if incremental, with what the optimizer remembers."""
        mlp = self.mlp
        mlp.n_iter_ = 0
        self._open_records()
        with self.net._exclusive(training=True):
            if not incremental or getattr(mlp, "_optimizer", None) is None:
                mlp._optimizer = Rates(mlp)
                fitting.start(self.net, None, self.update, None)
                self.net._stack.n_updates = LATE
            try:
                self._epochs(1 if incremental else max_iter, incremental)
            except KeyboardInterrupt:
                warnings.warn("Training interrupted by user.", stacklevel=6)
            except DivergenceError as error:
                self._give_up(error)
            if mlp.early_stopping:
                self.net.set_parameters(*mlp._best)

    def _open_records(self):
        """What an earlier fit of another kind did not keep."""
        mlp = self.mlp
        if mlp.early_stopping and getattr(mlp, "validation_scores_", None) is None:
            mlp.validation_scores_, mlp.best_validation_score_, mlp.best_loss_ = [], -math.inf, None
            mlp._best = [mlp.coefs_, mlp.intercepts_]
        elif not mlp.early_stopping and mlp.best_loss_ is None:
            mlp.validation_scores_, mlp.best_validation_score_, mlp.best_loss_ = None, None, math.inf
        if self.validation is not None and mlp.validation_loss_curve_ is None:
            mlp.validation_loss_curve_ = []

    def _epochs(self, n, incremental):
        for _ in range(n):
            if self._epoch():
                return
        if not incremental:
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
        if mlp.shuffle:
            places = np.arange(len(self.order))
            mlp._random_state.shuffle(places)
            self.order = self.order[places]
        mlp.loss_, n_seen, is_late = self._steps()
        mlp.n_iter_ += 1
        mlp.t_ += n_seen
        mlp.loss_curve_.append(mlp.loss_)
        self._say(f"Iteration {mlp.n_iter_}, loss = {mlp.loss_:.8f}")
        if self.validation is not None:
            self._validate()
        has_stalled = self._has_stalled()
        mlp._optimizer.end_epoch(mlp.t_)
        return any([self._is_over(has_stalled), stops(mlp), is_late])

    # Steps -----------------------------------------------------------------------------------------------------------

    def _steps(self):
        """The steps of an epoch. Returns the mean loss, the samples that were seen, and whether time is up."""
        mlp, order = self.mlp, self.rows[self.order]
        starts = np.arange(0, len(order), self.batch_size)
        sizes = np.diff(starts, append=len(order))
        weights = sizes.astype(float) if self.samples.weights is None else np.add.reduceat(self.samples.weights[order], starts)
        first_step, rates = mlp._optimizer.t, mlp._optimizer.take(len(starts))
        loss, done, is_late = 0.0, 0, False
        for first, last in self._stretches(sizes, weights):
            data, rows = self._dense(order[starts[first]:starts[first] + sizes[first:last].sum()])
            update = self.update | {"l2": float(mlp.alpha / weights[first]) if weights[first] > 0 else 0.0}
            run = Run(self.net._stack, data, rows, self.batch_size, update, rates[first:last],
                      self.net._key(first_step + int(first)), self.team, mlp.n_iter_, int(first), False)
            run.mark()
            is_late = run.advance(run.n_steps, lambda: time.monotonic() >= self.deadline)
            if run.totals[2] > 0:
                loss += run.n_samples_done * mlp._reported(run.totals[0] / run.totals[2], data, rows[:run.n_samples_done])
            done += run.n_samples_done
            if is_late:
                mlp._optimizer.t = first_step + int(first) + run.step
                break
        return (loss + self._penalty(sizes, weights)) / done, done, is_late

    def _stretches(self, sizes, weights):
        """Neighbouring batches that are equal in size and weight, as pairs (first, last)."""
        is_new = (np.diff(sizes) != 0) | (np.diff(weights) != 0) | issparse(self.samples.X)
        edges = [0, *(np.flatnonzero(is_new) + 1).tolist(), len(sizes)]
        return list(zip(edges, edges[1:]))

    def _dense(self, rows):
        """Data, and places in it: a sparse X is made dense batch by batch."""
        X, y, weights = self.samples
        if not issparse(X):
            return self.samples, rows
        data = Data(X[rows].toarray(), y[rows], None if weights is None else weights[rows])
        return data, np.arange(len(rows))

    def _penalty(self, sizes, weights):
        """Sum over the samples of their batch's penalty, by |W|^2 at both ends of the epoch: linear in between."""
        if self.mlp.alpha == 0:
            return 0.0
        before, self.squares = self.squares, squares(self.net)
        norms = before + (self.squares - before) * np.arange(len(sizes)) / len(sizes)
        shares = np.divide(sizes, weights, out=np.zeros(len(sizes)), where=weights > 0)
        return self.mlp.alpha / 2 * float((shares * norms).sum())

    # Between epochs --------------------------------------------------------------------------------------------------

    def _validate(self):
        mlp, net, (data, targets) = self.mlp, self.net, self.validation
        X = data.X.toarray() if issparse(data.X) else data.X
        threads = net._inference_threads(X, mlp._n_threads())
        loss, _, weight = training.evaluate(net._stack, data._replace(X=X), net._flops(1), threads)
        mlp.validation_loss_curve_.append(mlp._reported(loss / weight, data, slice(None)))
        if mlp.early_stopping:
            score = mlp._score(net.forward(X, n_threads=mlp._n_threads()), targets, data.weights)
            mlp.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")

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


def stops(mlp):
    """Whether one of the user's callbacks ends the fit; each sees the parameters of now."""
    if mlp.callbacks:
        mlp._take_parameters()
    return any([says_stop(callback(mlp)) for callback in mlp.callbacks])
