"""The core once more, in NumPy float64: the shortest correct line for each thing it does, the oracle of its tests.

The same names, arguments and order of codes as the compiled core; written from the formulas, not from its code.
Functions of one number are in `_reference_math`, here are layers and whole steps. Production imports neither.
"""

import copy
import math
import time
from types import SimpleNamespace

import numpy as np

from fastbp._reference_math import (
    ACTIVATIONS,
    ELEMENTARY,
    LOSSES,
    RULES,
    STEEPEST,
    activation_backward,
    activation_forward,
    elementary,
    link,
    loss_forward_backward,
    loss_of,
    update,
)

__all__ = [
    "ACTIVATIONS", "ELEMENTARY", "LOSSES", "RULES", "Layer", "Stack", "activation_backward", "activation_forward",
    "dense_backward", "dense_forward", "elementary", "gemm", "keep_factors", "link", "loss_forward_backward",
    "normal_numbers", "update",
]

# Random numbers: a function of key, step, stream, place in the batch and feature ----------------------------

GOLDEN = 0x9E3779B97F4A7C15


def _mix(x):
    """The finaliser of SplitMix64, on an array of uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hash(state, numbers):
    return _mix(state + (numbers + np.uint64(1)) * np.uint64(GOLDEN))


def _words(key, step, stream, n, n_features):
    """The low and the high halves of the words of n rows, each (n, ceil(n_features / 2))."""
    base = np.array([key], np.uint64)
    for number in (step, stream):
        base = _hash(base, np.array([number], np.uint64))
    rows, pairs = np.arange(n, dtype=np.uint64)[:, None], np.arange((n_features + 1) // 2, dtype=np.uint64)
    words = _hash(base, (rows << np.uint64(32)) + pairs)
    return words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)


def keep_factors(key, step, stream, n, n_features, p):
    """1/(1-p) where dropout keeps an entry of (n, n_features), 0 where it drops it."""
    each = np.stack(_words(key, step, stream, n, n_features), axis=-1).reshape(n, -1)[:, :n_features]
    return np.where(each < math.floor(p * 2**32), 0, 1 / (1 - p))


def normal_numbers(key, step, stream, n, n_features):
    """Standard normal numbers (n, n_features), by Box and Muller (1958): a pair of features from a word."""
    low, high = _words(key, step, stream, n, n_features)
    radius, turn = np.sqrt(-2 * np.log((low + 1.0) / 2**32)), high / 2**32
    pairs = [radius * np.cos(2 * np.pi * (turn - shift)) for shift in (0, 1 / 4)]
    return np.stack(pairs, axis=-1).reshape(n, -1)[:, :n_features]


# Layers -----------------------------------------------------------------------------------------------------

DENSE, SCALE = 0, 1
LAYER_NORM, BATCH_NORM = 1, 2
NORM_EPS, NORM_KEEP = 1e-5, 0.9


def dense_forward(X, W, b, activation, z, a, n_threads):
    """z = X W + b, a = f(z)."""
    z[...] = X @ W + b
    activation_forward(activation, z, a)


def dense_backward(X, W, z, a, da, activation, dX, dW, db, n_threads):
    """dz = da * f'(z); dX = dz W^T, dW = X^T dz, db = sum of dz over the samples."""
    dz = np.empty_like(z)
    activation_backward(activation, z, a, da, dz)
    dX[...], dW[...], db[...] = dz @ W.T, X.T @ dz, dz.sum(axis=0)


def gemm(A, B, transposed, C):
    """C = A B, or A^T B when `transposed`."""
    C[...] = (A.T if transposed else A) @ B


def _moments(v, axis):
    mean = v.mean(axis, keepdims=True)
    return mean, ((v - mean) ** 2).mean(axis, keepdims=True)


class Layer:
    """The spec's words as attributes, and `rows`: W, b, gain, running mean and variance, all zero at first."""

    def __init__(self, n_in, spec):
        self.__dict__.update(spec)
        self.n_in, self.n_w = n_in, 1 if self.kind == SCALE else n_in
        self.f, self.f_prime = list(ACTIVATIONS.values())[self.activation]
        self.rows = np.zeros((self.n_w + (1, 2, 4)[self.norm], self.n_out))

    def forward(self, x, batch, keep):
        """All that backward needs, and `out`. Batch norm takes the statistics of x if `batch`, else the running."""
        W, (b, *norm_rows) = self.rows[:self.n_w], self.rows[self.n_w:]
        p = SimpleNamespace(x=x, keep=keep, v=x * W[0] if self.kind == SCALE else x @ W)
        p.axis = {LAYER_NORM: 1, BATCH_NORM: 0 if batch else None}.get(self.norm)
        if self.norm:
            p.mean, p.variance = norm_rows[1:] if p.axis is None else _moments(p.v, p.axis)
            p.u = (p.v - p.mean) / np.sqrt(p.variance + NORM_EPS)
        p.z = (norm_rows[0] * p.u if self.norm else p.v) + b
        p.a = self.f(p.z)
        p.out = p.a * keep + (x if self.residual else 0)
        return p

    def backward(self, p, dout):
        """dz, the gradient of `rows`, and dx."""
        dz = dout * p.keep * self.f_prime(p.z)
        dv, gradient = dz, np.zeros(self.rows.shape)
        gradient[self.n_w] = dz.sum(axis=0)
        if self.norm:
            gradient[self.n_w + 1] = (dz * p.u).sum(axis=0)
            dv = dz * self.rows[self.n_w + 1]
            if p.axis is not None:
                dv = dv - dv.mean(p.axis, keepdims=True) - p.u * (dv * p.u).mean(p.axis, keepdims=True)
            dv = dv / np.sqrt(p.variance + NORM_EPS)
        W = self.rows[:self.n_w]
        gradient[:self.n_w] = (p.x * dv).sum(axis=0) if self.kind == SCALE else p.x.T @ dv
        return dz, gradient, (dv * W[0] if self.kind == SCALE else dv @ W.T) + (dout if self.residual else 0)

    def update(self, rule, t, gradient, slots):
        """One step by a rule with this layer's factors."""
        w, rest = np.s_[:self.n_w], np.s_[self.n_w:self.n_w + 1 + bool(self.norm)]
        decays, lr = {name: rule[name] * self.decay for name in ("weight_decay", "l1", "l2")}, rule["learning_rate"]
        for_w = rule | decays | {"learning_rate": lr * self.rate}
        for_rest = rule | dict.fromkeys(decays, 0) | {"learning_rate": lr * self.bias_rate}
        update(for_w, t, self.rows[w], gradient[w], slots[:, w])
        update(for_rest, t, self.rows[rest], gradient[rest], slots[:, rest])

    def keep_statistics(self, p):
        """Batch norm's running mean and (unbiased) variance."""
        if self.norm == BATCH_NORM:
            now = p.mean[0], p.variance[0] * len(p.x) / max(len(p.x) - 1, 1)
            self.rows[-2:] = NORM_KEEP * self.rows[-2:] + (1 - NORM_KEEP) * np.array(now)

    def limit(self):
        """Max-norm: no unit's incoming weights are longer than this."""
        if self.max_norm:
            norms = np.sqrt((self.rows[:self.n_w] ** 2).sum(axis=0))
            self.rows[:self.n_w] *= np.minimum(1, self.max_norm / np.maximum(norms, 1e-300))


# Whole networks ---------------------------------------------------------------------------------------------


def _clipped(rule, gradients):
    """The layers' gradients by value, then by the norm of each layer, then by the norm of all."""
    if rule["clip_value"]:
        gradients = [np.clip(g, -rule["clip_value"], rule["clip_value"]) for g in gradients]
    if rule["clip_layer"]:
        gradients = [g * min(1, rule["clip_layer"] / max(np.linalg.norm(g), 1e-300)) for g in gradients]
    if rule["clip_norm"]:
        norm = math.sqrt(sum((g**2).sum() for g in gradients))
        gradients = [g * min(1, rule["clip_norm"] / max(norm, 1e-300)) for g in gradients]
    return gradients


class Stack:
    """A stack of layers under a loss."""

    dtype, chunk_size = "float64", 126

    def __init__(self, n_in, layers, loss, input_dropout=0.0, input_noise=0.0):
        widths = [n_in, *(spec["n_out"] for spec in layers)]
        self.layers = [Layer(*pair) for pair in zip(widths, layers)]
        self.loss, self.n_layers = loss, len(layers)
        self.input_dropout, self.input_noise = input_dropout, input_noise
        self.block_size, self.gradients = sum(layer.rows.size for layer in self.layers), None
        self.reset_slots({"rule": 0, "average": -1})
        self.watch(0)

    # Parameters and state

    def n_rows(self, layer):
        return len(self.layers[layer].rows)

    def set_rows(self, layer, rows):
        self.layers[layer].rows[...] = rows

    def get_rows(self, layer, rows):
        rows[...] = self.layers[layer].rows

    def weights_squared(self):
        return float(sum((layer.rows[:layer.n_w] ** 2).sum() for layer in self.layers))

    def get_gradient(self, layer, rows):
        rows[...] = self.gradients[layer]

    def reset_slots(self, rule):
        n = list(RULES.values())[rule["rule"]][1]
        self.slots = [np.zeros((n, *layer.rows.shape)) for layer in self.layers]
        self.average = [layer.rows.copy() for layer in self.layers] if rule["average"] >= 0 else []
        self.n_updates = 0

    def save_state(self):
        rows = [layer.rows for layer in self.layers]
        self.saved = copy.deepcopy((rows, self.slots, self.average, self.n_updates))

    def restore_state(self):
        rows, self.slots, self.average, self.n_updates = copy.deepcopy(self.saved)
        for layer, its in zip(self.layers, rows):
            layer.rows = its

    def _block(self, name):
        """A list of views, whose numbers in this order are the block."""
        params = [layer.rows for layer in self.layers]
        return {"params": params, "slots": [s[i] for i in range(len(self.slots[0])) for s in self.slots],
                "average": self.average, "gradient": self.gradients or []}[name]

    def n_blocks(self, name):
        return len(self._block(name)) // self.n_layers

    def get_block(self, name, out):
        out[...] = np.concatenate([np.zeros(0), *(part.ravel() for part in self._block(name))])

    def set_block(self, name, source):
        for part in self._block(name):
            part[...], source = source[:part.size].reshape(part.shape), source[part.size:]

    def swap_average(self):
        for layer, its in zip(self.layers, self.average):
            layer.rows[...], its[...] = its.copy(), layer.rows.copy()

    def finite(self):
        blocks = self._block("params") + self.slots + self.average
        return all(np.isfinite(block).all() for block in blocks)

    def overflowed(self):
        bad = (i for i, layer in enumerate(self.layers) if not np.isfinite(layer.rows).all())
        return next(bad, self.n_layers)

    def not_finite(self, batch_size):
        """First layer with a number that is not finite in the last batch; -1: its X, n_layers: the loss alone."""
        stages = [self.last_passes[0].x, *(p.out for p in self.last_passes)]
        return next((i for i, x in enumerate(stages) if not np.isfinite(x).all()), self.n_layers + 1) - 1

    # Inference

    def passes(self, X, batch=False, random=None):
        """Every layer's forward; with `random`, a pair (key, step), noise and dropout of that step."""
        x, keeps = X.astype(np.result_type(X, np.float64)), [1.0] * self.n_layers
        if random:
            x = x * keep_factors(*random, 0, *x.shape, self.input_dropout)
            x = x + self.input_noise * normal_numbers(*random, 1, *x.shape)
            keeps = [keep_factors(*random, 2 + i, len(x), layer.n_out, layer.dropout)
                     for i, layer in enumerate(self.layers)]
        found = []
        for layer, keep in zip(self.layers, keeps):
            found.append(layer.forward(x, batch, keep))
            x = found[-1].out
        return found

    def forward(self, X, out, n_threads):
        out[...] = self.passes(X)[-1].out

    def forward_small(self, X, out, most):
        out = np.empty((len(X), self.layers[-1].n_out)) if out is None else out
        self.forward(X, out, 1)
        return out

    def evaluate(self, X, y, weights, losses, scores, n_threads):
        each, _, score = loss_of(self.loss, self.passes(X)[-1].out, y)
        each = each if weights is None else weights * each
        for chunk in range(len(losses)):
            part = slice(chunk * self.chunk_size, (chunk + 1) * self.chunk_size)
            losses[chunk], scores[chunk] = each[part].sum(), score[part].sum()

    def vjp(self, X, draw, dX, n_threads):
        dout = draw.astype(np.float64)
        for layer, p in reversed(list(zip(self.layers, self.passes(X)))):
            _, _, dout = layer.backward(p, dout)
        dX[...] = dout

    # Training

    def mean_loss(self, X, y, weights=None, random=None):
        """Of a batch, and with it: the sums of losses, scores and weights, d(mean loss)/d(raw), the passes."""
        passes = self.passes(X, True, random)
        losses, draws, scores = loss_of(self.loss, passes[-1].out, y)
        w = np.ones(len(X)) if weights is None else weights
        sums = np.array([(w * losses).sum(), scores.sum(), w.sum()])
        share = w / w.sum() if w.sum() else np.zeros(len(w))
        return (share * losses).sum(), sums, share[:, None] * draws, passes

    def backpropagate(self, passes, draw):
        """dz of every layer and the gradients of its rows."""
        found, dout = [], draw
        for layer, p in reversed(list(zip(self.layers, passes))):
            dz, gradient, dout = layer.backward(p, dout)
            found.insert(0, (dz, gradient))
        return [list(part) for part in zip(*found)]

    def gradient(self, X, y, weights, n_threads):
        mean, _, draw, passes = self.mean_loss(X, y, weights)
        _, self.gradients = self.backpropagate(passes, draw)
        return mean

    def step(self, rule, passes, gradients):
        """One update by the gradients of a batch."""
        self.n_updates = t = self.n_updates + 1
        own = [i for i, layer in enumerate(self.layers) if layer.trainable]
        for i, gradient in zip(own, _clipped(rule, [gradients[i] for i in own])):
            layer = self.layers[i]
            layer.update(rule, t, gradient, self.slots[i])
            layer.keep_statistics(passes[i])
            if self.average:
                d = (t - 1) / t if rule["average"] == 1 else min(rule["average"], (1 + t) / (10 + t))
                self.average[i] = d * self.average[i] + (1 - d) * layer.rows
            layer.limit()

    def train(self, X, y, weights, order, batch_size, step, last, rule, rates, key, seconds, totals,
              n_threads):
        deadline = time.monotonic() + seconds
        while step < last:
            batch = order[step * batch_size:(step + 1) * batch_size]
            w = None if weights is None else weights[batch]
            _, sums, draw, self.last_passes = self.mean_loss(X[batch], y[batch], w, (key, step))
            if not np.isfinite(sums[0]):
                return step, True
            dzs, gradients = self.backpropagate(self.last_passes, draw)
            if self.every and step % self.every == 0:
                self.observe(dzs, gradients)
            self.step(rule | {"learning_rate": rates[step]}, self.last_passes, gradients)
            totals += sums
            step += 1
            if time.monotonic() > deadline:
                break
        return step, False

    # Health

    def watch(self, every):
        self.every, self.n_watched, self.sums = every, 0, np.zeros((self.n_layers, 4))
        self.alive = [np.zeros(layer.n_out, bool) for layer in self.layers]

    def observe(self, dzs, gradients):
        self.n_watched += 1
        for i, (layer, p, dz, gradient) in enumerate(zip(self.layers, self.last_passes, dzs, gradients)):
            slope, steepest = layer.f_prime(p.z), STEEPEST.get(list(ACTIVATIONS)[layer.activation])
            saturated = 0 if steepest is None else (abs(slope) <= 0.01 * steepest).mean()
            dw, w = (np.linalg.norm(rows[:layer.n_w]) for rows in (gradient, layer.rows))
            self.sums[i] += np.linalg.norm(dz), dw, dw / w if w else 0, saturated
            self.alive[i] |= (slope != 0).any(axis=0)

    def take_health(self):
        norms = [np.linalg.norm(layer.rows[:layer.n_w]) for layer in self.layers]
        dead = [1 - its.mean() for its in self.alive]
        report = np.column_stack([self.sums / max(self.n_watched, 1), norms, dead])
        report[...] = report if self.n_watched else np.nan
        self.watch(self.every)
        return report
