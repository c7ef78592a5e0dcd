"""solver="lbfgs" of the estimators of `fastbp.sklearn`: SciPy's minimiser over the core's gradients."""

import math
import time
import warnings

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from fastbp import _threads, training
from fastbp.sklearn._records import NOT_FINITE, Records
from fastbp.sklearn._sparse import dense_parts, rows_at_once


class Descent:
    """A `fit` by lbfgs: SciPy's L-BFGS-B on all samples, as scikit-learn uses it.

    Parameters
    ----------
    mlp, net, samples, validation, audience
        See `_fit.Epochs`. A sparse X is made dense in parts, whose gradients are summed.
    """

    def __init__(self, mlp, net, samples, validation, audience):
        if np.any(mlp.dropout):
            raise ValueError("dropout must be 0 for solver='lbfgs', whose line search needs a loss without randomness")
        if mlp.warm_start == "exact":
            raise ValueError("warm_start='exact' is for solver='sgd' or 'adam'; SciPy's lbfgs cannot go on where it stood")
        self.mlp, self.net, self.data, self.audience = mlp, net, samples, audience
        n = samples.X.shape[0]
        size = min(n, rows_at_once(samples.X))
        self.threads = _threads.choose(mlp._n_threads(), net._flops(size, training=True), net._openmp_limit())
        self.weight = n if samples.weights is None else samples.weights.sum()
        self.l2 = mlp.alpha / self.weight
        self.records = Records(mlp, net, samples.y, validation, self.threads, mlp.max_iter)
        self.deadline = math.inf if mlp.max_time is None else time.monotonic() + mlp.max_time

    def run(self):
        mlp, audience = self.mlp, self.audience
        ftol = max(2.220446049250313e-09, 8 * np.finfo(self.net.dtype).eps)     # SciPy's; in float32 a loss tells no less
        start = np.concatenate([block.ravel() for block in self.net._rows(self.net._stack.get_rows)])
        with self.net._exclusive(training=True):
            try:
                audience.begin(self.net, self.records.history)
                self.started = time.perf_counter()
                result = scipy.optimize.minimize(
                    self._evaluate, start.astype(np.float64), method="L-BFGS-B", jac=True, callback=self._after_step,
                    options={"maxfun": mlp.max_fun, "maxiter": mlp.max_iter, "gtol": mlp.tol, "ftol": ftol})
                self._put(result.x)
                self._conclude(result)
                audience.finish()
            finally:
                audience.close()

    def _conclude(self, result):
        mlp = self.mlp
        mlp.n_iter_ = min(result.nit, mlp.max_iter)
        if not all(np.isfinite(block).all() for block in self._blocks(result.x)):
            raise ValueError(NOT_FINITE)
        mlp.loss_ = self._reported(result.fun)
        if result.status in (1, 2):
            warnings.warn(f"lbfgs failed to converge after {mlp.n_iter_} iteration(s) (status={result.status}): "
                          f"{result.message}. Increase max_iter or max_fun, or scale the data.", ConvergenceWarning, stacklevel=7)

    def _evaluate(self, w):
        """What is minimised, and its gradient."""
        self.audience.begin_epoch()
        self._put(w)
        loss, gradient = 0.0, np.zeros(len(w))
        for part in dense_parts(self.data):
            share = (len(part.X) if part.weights is None else part.weights.sum()) / self.weight
            if share > 0:
                loss += share * self.net._stack.gradient(*part, self.threads)
                blocks = self.net._rows(self.net._stack.get_gradient)
                gradient += share * np.concatenate([block.ravel() for block in blocks]).astype(np.float64)
        for block, own in zip(self._blocks(gradient), self._blocks(w)):
            block[:-1] += self.l2 * own[:-1]
            loss += self.l2 / 2 * float(np.square(own[:-1]).sum())
        return loss, gradient

    def _blocks(self, w):
        """A vector of all parameters, as a view (n_in + 1, n_out) of each layer's weights and bias."""
        ends = np.cumsum([(n_in + 1) * n_out for n_in, n_out in zip(self.net.sizes, self.net.sizes[1:])])
        return [part.reshape(-1, n_out) for part, n_out in zip(np.split(w, ends[:-1]), self.net.sizes[1:])]

    def _put(self, w):
        with np.errstate(over="ignore"):
            self.net._set_rows([{0: block.astype(self.net.dtype)} for block in self._blocks(w)])

    def _parts(self, value):
        """What is minimised, as the loss of the samples and the penalty."""
        penalty = self.l2 / 2 * self.net._stack.weights_squared()
        return value - penalty, penalty

    def _reported(self, value):
        loss, penalty = self._parts(value)
        return self.mlp._reported(loss, self.data, slice(None)) + penalty

    def _after_step(self, intermediate_result):
        mlp = self.mlp
        self._put(intermediate_result.x)
        mlp.loss_curve_.append(self._reported(intermediate_result.fun))
        mlp.n_iter_ = len(mlp.loss_curve_)
        if mlp.verbose:
            print(f"Iteration {mlp.n_iter_}, loss = {mlp.loss_curve_[-1]:.8f}")
        totals, seconds = self._totals(intermediate_result.fun), time.perf_counter() - self.started
        self.records.note(totals, mlp.n_iter_)
        wants_end = self.audience.end_steps()
        self.records.add(totals, len(self.data.y), mlp.n_iter_, math.nan, seconds)
        if self.audience.end_epoch() or wants_end or time.monotonic() >= self.deadline:
            raise StopIteration
        self.started = time.perf_counter()

    def _totals(self, value):
        """Sums of losses, scores and weights over the samples, by the parameters of now. Scores cost a pass over the samples,
        which is taken if a callback of networks reads them."""
        if not self.audience.of_networks:
            return np.array([self._parts(value)[0], math.nan, 1.0])
        return sum(np.array(training.evaluate(self.net._stack, part, self.net._flops(1), self.threads))
                   for part in dense_parts(self.data))
