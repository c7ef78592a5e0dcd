"""One step of backpropagation, nothing hidden: every number of it under the names of the textbook, for people who learn it.

The four equations are those of Nielsen, Neural Networks and Deep Learning (2015), chapter 2:

- BP1  delta^L = dC/da^L * f'(z^L)
- BP2  delta^l = (delta^(l+1) W^(l+1)^T) * f'(z^l)
- BP3  dC/db^l = delta^l, summed over the samples
- BP4  dC/dW^l = (a^(l-1))^T delta^l

C is the mean loss of the samples, so delta carries 1/n. Samples are rows and W is (n_in, n_out), the transpose of Nielsen's.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import gradients
from fastbp._dispatch import core
from fastbp._rates import rates_of
from fastbp._typing import Doubles
from fastbp.activations import ACTIVATIONS
from fastbp.optimizers import LBFGS, read_optimizer

MAX_ROWS, MAX_COLUMNS = 4, 5        # of each array in a printed trace
EXTRAS = ("dropout", "normalization", "residual")      # of a layer, that the four equations know nothing of


@dataclass(frozen=True)
class Trace:
    """What one step computes, in float64; ``str()`` of it is a table.

    Lists have an entry a layer, from the first hidden layer (Nielsen's l = 2) to the output; ``a`` begins with the input.

    Attributes
    ----------
    loss : float
        C, the mean loss of the samples before the step.
    y : ndarray
        Targets as the loss reads them: numbers of the classes (n_samples,), or values (n_samples, n_out).
    W, b : list of ndarray (n_in, n_out), (n_out,)
        Parameters before the step.
    z, a : list of ndarray (n_samples, n_out)
        z = x W + b and a = f(z); ``a[0]`` is X, so that ``a[l]`` goes into layer l and ``a[l + 1]`` comes out of it.
    output : ndarray (n_samples, n_out)
        Predictions: the loss's link (sigmoid, softmax, exp or none) of the last a.
    delta : list of ndarray (n_samples, n_out)
        dC/dz: BP1 for the last layer, BP2 for the others.
    dW, db : list of ndarray
        dC/dW by BP4 and dC/db by BP3.
    update_W, update_b : list of ndarray
        What the optimizer adds to W and b.
    activations : tuple of str
    settings : str
        Loss and optimizer.
    """

    loss: float
    y: NDArray[Any]
    W: list[Doubles]
    b: list[Doubles]
    z: list[Doubles]
    a: list[Doubles]
    output: Doubles
    delta: list[Doubles]
    dW: list[Doubles]
    db: list[Doubles]
    update_W: list[Doubles]
    update_b: list[Doubles]
    activations: tuple[str, ...]
    settings: str

    def __str__(self):
        n_samples = len(self.a[0])
        lines = [f"One step on {n_samples} sample{'s'[:n_samples > 1]}: C = {self.loss:.9g} ({self.settings})", "",
                 "FORWARD", *_rows("a^1 = x", self.a[0], "sample")]
        for i in range(len(self.z)):
            lines += self._forward(i)
        y = self.y.reshape(n_samples, -1)
        lines += [*_rows("output", self.output, "sample"), *_rows("y", y, "sample"), "", "BACKWARD"]
        for i in reversed(range(len(self.z))):
            lines += self._backward(i)
        lines += ["", "UPDATE"]
        for i in range(len(self.z)):
            lines += self._update(i)
        return "\n".join(lines)

    def _title(self, i):
        return f"layer {i} (l = {i + 2}), {self.activations[i]}"

    def _forward(self, i):
        return [self._title(i), *_rows(f"z^{i + 2} = a^{i + 1} W^{i + 2} + b^{i + 2}", self.z[i], "sample"),
                *_rows(f"a^{i + 2} = f(z^{i + 2})", self.a[i + 1], "sample")]

    def _backward(self, i):
        below, here, above = i + 1, i + 2, i + 3
        is_last = i + 1 == len(self.z)
        error = f"BP1 delta^{here} = dC/da^{here}" if is_last else f"BP2 delta^{here} = delta^{above} (W^{above})T"
        return [self._title(i), *_rows(f"{error} f'(z^{here})", self.delta[i], "sample"),
                *_rows(f"BP3 dC/db^{here} = sum of delta^{here}", self.db[i]),
                *_rows(f"BP4 dC/dW^{here} = (a^{below})T delta^{here}", self.dW[i], "from")]

    def _update(self, i):
        W, b = f"W^{i + 2}", f"b^{i + 2}"
        return [self._title(i), *_rows(f"{b} changes by", self.update_b[i]), *_rows(f"{b} is now", self.b[i] + self.update_b[i]),
                *_rows(f"{W} changes by", self.update_W[i], "from"),
                *_rows(f"{W} is now", self.W[i] + self.update_W[i], "from")]


def _rows(label, array, row_name=""):
    """Lines of a table: an array's rows under one label, cut where it is large."""
    rows, lines = np.atleast_2d(array), []
    for i, row in enumerate(rows[:MAX_ROWS]):
        name = f"{row_name} {i}" if len(rows) > 1 else ""
        numbers = "".join(f"{value + 0.0:13.6g}" for value in row[:MAX_COLUMNS])       # + 0.0 makes 0 of -0
        more = f"  ... {len(row) - MAX_COLUMNS} more" if len(row) > MAX_COLUMNS else ""
        lines.append(f"  {label if i == 0 else '':37}{name:>9}{numbers}{more}")
    if len(rows) > MAX_ROWS:
        lines.append(f"  {'':37}{'...':>9}  {len(rows) - MAX_ROWS} more rows")
    return lines


def trace_step(net, X, y, optimizer=None):
    """One step on the samples as one batch, from the parameters as they are; see `Network.trace_step`."""
    _refuse_others(net)
    optimizer = read_optimizer(optimizer)
    if isinstance(optimizer, LBFGS):
        raise ValueError("optimizer must be one that takes steps by BP1 to BP4, not LBFGS, which searches along a line")
    X, y, _ = net._read_data(X, y)
    stack = gradients.copy_stack(net, "float64")
    W, b = _parameters(net, stack)
    z, a = _forward(net, W, b, X.astype(np.float64))
    loss, output, draw = _loss(net, a[-1], y)
    delta, dW, db = _backward(net, W, z, a, draw)
    if not np.isfinite(loss):
        raise ValueError(f"X and y must give a finite loss for a step, not {loss}")
    _take_step(stack, X, y, optimizer)
    update_W, update_b = ([new - old for new, old in zip(*pair)] for pair in zip(_parameters(net, stack), (W, b)))
    return Trace(loss, y, W, b, z, a, output, delta, dW, db, update_W, update_b, net.activations,
                 f"{net.loss}, {_settings(optimizer)}")


def _refuse_others(net):
    """BP1 to BP4 are about plain dense layers."""
    extras = [f"{name}={getattr(net, name)}" for name in ("input_dropout", "input_noise") if getattr(net, name)]
    for i, layer in enumerate(net.layers):
        extras += [f"a Scale layer {i}"] if layer.name == "scale" else [
            f"{name}={getattr(layer, name)!r} in layer {i}" for name in EXTRAS if getattr(layer, name)]
    if extras:
        raise ValueError(f"trace_step follows BP1 to BP4 as the textbook has them, through plain Dense layers; this network has "
                         f"{extras[0]}")


def _parameters(net, stack):
    blocks = gradients.rows(net, stack)
    return [block[:-1] for block in blocks], [block[-1] for block in blocks]


def _forward(net, W, b, X):
    """z and a of every layer, a beginning with X."""
    z, a = [], [X]
    for i, activation in enumerate(net.activations):
        z.append(np.empty((len(X), len(b[i]))))
        a.append(np.empty_like(z[i]))
        core("float64").dense_forward(a[i], W[i], b[i], ACTIVATIONS[activation], z[i], a[i + 1], 1)
    return z, a


def _loss(net, raw, y):
    """Mean loss, predictions, and the gradient of the mean loss in raw."""
    spec, n, draw, output = net._loss.spec(net.sizes[-1]), len(raw), np.empty_like(raw), raw.copy()
    losses = np.empty(n)
    core("float64").loss_forward_backward(spec, raw, y, losses, np.empty(n), draw)
    core("float64").link(spec["code"], output)
    return float(losses.mean()), output, draw / n


def _take_step(stack, X, y, optimizer):
    """The first of a fit with all samples in one batch."""
    rule, rates = optimizer.update(), rates_of(optimizer.learning_rate, np.zeros(1, np.int64), 1, ())
    stack.reset_slots(rule)
    stack.train(X, y, None, np.arange(len(X)), len(X), 0, 1, rule, rates, 0, np.inf, np.zeros(3), 1)


def _settings(optimizer):
    """The optimizer with its learning rate and whatever is not the default."""
    shown = [f"{field.name}={getattr(optimizer, field.name)!r}" for field in fields(optimizer)
             if field.name == "learning_rate" or getattr(optimizer, field.name) != field.default]
    return f"{type(optimizer).__name__}({', '.join(shown)})"


def _backward(net, W, z, a, da):
    """delta, dW and db of every layer."""
    delta, dW, db = ([None] * len(z) for _ in range(3))
    for i in reversed(range(len(z))):
        code, dX = ACTIVATIONS[net.activations[i]], np.empty_like(a[i])
        delta[i], dW[i], db[i] = np.empty_like(z[i]), np.empty_like(W[i]), np.empty(W[i].shape[1])
        core("float64").activation_backward(code, z[i].ravel(), a[i + 1].ravel(), da.ravel(), delta[i].reshape(-1))
        core("float64").dense_backward(a[i], W[i], z[i], a[i + 1], da, code, dX, dW[i], db[i], 1)
        da = dX
    return delta, dW, db
