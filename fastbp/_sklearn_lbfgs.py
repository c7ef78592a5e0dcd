"""solver="lbfgs" of the estimators of `fastbp.sklearn`: SciPy's minimiser over the core's gradients."""

import math
import time
import warnings

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from fastbp import _threads
from fastbp._sklearn_fit import NOT_FINITE, squares, stops


class Descent:
    """A `fit` by lbfgs: SciPy's L-BFGS-B on all samples, as scikit-learn uses it."""

    def __init__(self, mlp, net, data):
        self.mlp, self.net, self.data = mlp, net, data
        self.threads = _threads.choose(mlp._n_threads(), net._flops(len(data.X), training=True), net._openmp_limit())
        self.l2 = mlp.alpha / (len(data.X) if data.weights is None else data.weights.sum())
        self.deadline = math.inf if mlp.max_time is None else time.monotonic() + mlp.max_time

    def run(self):
        mlp = self.mlp
        ftol = max(2.220446049250313e-09, 8 * np.finfo(self.net.dtype).eps)     # SciPy's; in float32 a loss tells no less
        start = np.concatenate([block.ravel() for block in self.net._rows(self.net._stack.get_rows)])
        result = scipy.optimize.minimize(
            self._evaluate, start.astype(np.float64), method="L-BFGS-B", jac=True, callback=self._after_step,
            options={"maxfun": mlp.max_fun, "maxiter": mlp.max_iter, "gtol": mlp.tol, "ftol": ftol})
        self._put(result.x)
        mlp.n_iter_ = min(result.nit, mlp.max_iter)
        if not all(np.isfinite(block).all() for block in self._blocks(result.x)):
            raise ValueError(NOT_FINITE)
        mlp.loss_ = self._reported(result.fun)
        if result.status in (1, 2):
            warnings.warn(f"lbfgs failed to converge after {mlp.n_iter_} iteration(s) (status={result.status}): "
                          f"{result.message}. Increase max_iter or max_fun, or scale the data.", ConvergenceWarning, stacklevel=6)

    def _evaluate(self, w):
        """What is minimised, and its gradient."""
        self._put(w)
        loss = self.net._stack.gradient(*self.data, self.threads)
        gradient = np.concatenate([block.ravel() for block in self.net._rows(self.net._stack.get_gradient)]).astype(np.float64)
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

    def _reported(self, value):
        penalty = self.l2 / 2 * squares(self.net)
        return self.mlp._reported(value - penalty, self.data, slice(None)) + penalty

    def _after_step(self, intermediate_result):
        mlp = self.mlp
        self._put(intermediate_result.x)
        mlp.loss_curve_.append(self._reported(intermediate_result.fun))
        mlp.n_iter_ = len(mlp.loss_curve_)
        if mlp.verbose:
            print(f"Iteration {mlp.n_iter_}, loss = {mlp.loss_curve_[-1]:.8f}")
        if stops(mlp) or time.monotonic() >= self.deadline:
            raise StopIteration
