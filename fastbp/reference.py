"""The core once more, in NumPy float64: the shortest correct line for each thing it does, and the oracle of its tests.

The same names, arguments and order of codes as the compiled core; written from the formulas, not from its code. Works on
complex numbers too, so that a test may take derivatives by complex step. Production never imports it.
"""

import copy
import math
import time

import numpy as np

# Elementary functions ------------------------------------------------------------------------------------------------


def _abs(z):
    """|z| of the real part, analytic on both sides of 0."""
    return np.where(z.real < 0, -z, z)


def _positive(z):
    return np.where(z.real < 0, 0 * z, z)


def _sigmoid(z):
    e = np.exp(-_abs(z))
    return np.where(z.real < 0, e, 1) / (1 + e)


def _erf(z):
    """erf, and for a complex step its first-order term."""
    real = np.vectorize(math.erf, otypes=[float])(z.real)
    return real + 1j * z.imag * 2 / math.sqrt(math.pi) * np.exp(-z.real**2) if np.iscomplexobj(z) else real


def _log1p(u):
    """log(1 + u) for a small complex step in u as well, where NumPy's loses digits."""
    return np.log1p(u.real) + 1j * u.imag / (1 + u.real) if np.iscomplexobj(u) else np.log1p(u)


ELEMENTARY = {
    "exp": np.exp, "log": np.log, "sigmoid_function": _sigmoid, "tanh_function": np.tanh, "erf": _erf, "log1p_of": np.log1p,
}


def elementary(function, x, out):
    """out = function(x), elementwise."""
    out[...] = list(ELEMENTARY.values())[function](x.astype(np.float64))


# Activations: f(z) and f'(z) -----------------------------------------------------------------------------------------


def _normal_cdf(z):
    return 0.5 + 0.5 * _erf(z / math.sqrt(2))


ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "relu": (lambda z: _positive(z), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: np.where(z.real < 0, 0.01 * z, z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "softplus": (lambda z: _positive(z) + _log1p(np.exp(-_abs(z))), _sigmoid),
    "gelu": (lambda z: z * _normal_cdf(z),
             lambda z: _normal_cdf(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
}


def activation_forward(activation, z, a):
    """a = f(z)."""
    a[...] = list(ACTIVATIONS.values())[activation][0](z)


def activation_backward(activation, z, a, da, dz):
    """dz = da * f'(z), where a = f(z)."""
    dz[...] = da * list(ACTIVATIONS.values())[activation][1](z)


# Losses: loss of each sample, d(sum of losses)/d(raw), hits ----------------------------------------------------------


def _squared_error(raw, y):
    return ((raw - y) ** 2).sum(axis=1) / 2, raw - y, np.zeros(len(raw), bool)


def _binary_cross_entropy(raw, y):
    losses = _positive(raw) - raw * y + _log1p(np.exp(-_abs(raw)))
    return losses.sum(axis=1), _sigmoid(raw) - y, ((raw.real > 0) == (y > 0.5)).all(axis=1)


def _softmax(raw):
    e = np.exp(raw - raw.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_cross_entropy(raw, labels):
    rows, m = np.arange(len(raw)), raw.real.max(axis=1, keepdims=True)
    losses = np.log(np.exp(raw - m).sum(axis=1)) - (raw[rows, labels] - m[:, 0])
    return losses, _softmax(raw) - (np.arange(raw.shape[1]) == labels[:, None]), raw.real.argmax(axis=1) == labels


LOSSES = {
    "squared_error": (_squared_error, lambda raw: raw),
    "binary_cross_entropy": (_binary_cross_entropy, _sigmoid),
    "softmax_cross_entropy": (_softmax_cross_entropy, _softmax),
}


def loss_forward_backward(loss, raw, y, losses, hits, draw):
    """Loss and hit of each sample, and draw = d(sum of losses)/d(raw). y is int64 labels or (n_samples, n_out) values."""
    losses[...], draw[...], hits[...] = list(LOSSES.values())[loss][0](raw, y)


def link(loss, raw):
    """The loss's inverse link, in place: probabilities for the cross entropies."""
    raw[...] = list(LOSSES.values())[loss][1](raw)


# Update rules --------------------------------------------------------------------------------------------------------

RULES = ("gradient", "sgd", "momentum", "nesterov", "adam")


def update(rule, t, w, dw, slots):
    """Update number t = 1, 2, ... of w, and of the two slots (2, n), of which a rule uses as many as it has."""
    name, eta = RULES[rule["rule"]], rule["learning_rate"]
    if name == "gradient":
        slots[0] = dw
        return
    g = dw + rule["l2"] * w
    w -= eta * rule["weight_decay"] * w
    if name == "sgd":
        w -= eta * g
    elif name == "momentum":
        slots[0] = rule["momentum"] * slots[0] - eta * g
        w += slots[0]
    elif name == "nesterov":
        slots[0] = rule["momentum"] * slots[0] - eta * g
        w += rule["momentum"] * slots[0] - eta * g
    elif name == "adam":
        slots[0] = rule["beta1"] * slots[0] + (1 - rule["beta1"]) * g
        slots[1] = rule["beta2"] * slots[1] + (1 - rule["beta2"]) * g**2
        m, v = slots[0] / (1 - rule["beta1"] ** t), slots[1] / (1 - rule["beta2"] ** t)
        w -= eta * m / (np.sqrt(v) + rule["eps"])


# Layers --------------------------------------------------------------------------------------------------------------


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


class Stack:
    """A stack of dense layers under a loss."""

    dtype, chunk_size = "float64", 126

    def __init__(self, sizes, activations, loss):
        self.activations, self.loss, self.n_layers = activations, loss, len(activations)
        self.W = [np.zeros(shape) for shape in zip(sizes, sizes[1:])]
        self.b = [np.zeros(n_out) for n_out in sizes[1:]]
        self.reset_slots(RULES.index("sgd"))

    def set_parameters(self, layer, W, b):
        self.W[layer][...], self.b[layer][...] = W, b

    def get_parameters(self, layer, W, b):
        W[...], b[...] = self.W[layer], self.b[layer]

    def reset_slots(self, rule):
        self.slots = [[np.zeros((2, *p.shape)) for p in block] for block in (self.W, self.b)]
        self.n_updates = 0

    def save_state(self):
        self.saved = copy.deepcopy((self.W, self.b, self.slots, self.n_updates))

    def restore_state(self):
        self.W, self.b, self.slots, self.n_updates = copy.deepcopy(self.saved)

    def layers(self, X):
        """z and a of every layer."""
        pairs, a = [], X.astype(np.float64)
        for W, b, activation in zip(self.W, self.b, self.activations):
            z = a @ W + b
            a = np.empty_like(z)
            activation_forward(activation, z, a)
            pairs.append((z, a))
        return pairs

    def forward(self, X, out, n_threads):
        out[...] = self.layers(X)[-1][1]

    def forward_small(self, X, out, most):
        out = np.empty((len(X), len(self.b[-1]))) if out is None else out
        self.forward(X, out, 1)
        return out

    def evaluate(self, X, y, losses, hits, n_threads):
        for chunk in range(len(losses)):
            part = slice(chunk * self.chunk_size, (chunk + 1) * self.chunk_size)
            each, _, hit = list(LOSSES.values())[self.loss][0](self.layers(X[part])[-1][1], y[part])
            losses[chunk], hits[chunk] = each.sum(), hit.sum()

    def loss_and_gradient(self, X, y):
        """Losses and hits of the samples, and dW, db of their mean loss: backpropagation."""
        pairs = self.layers(X)
        losses, da, hits = list(LOSSES.values())[self.loss][0](pairs[-1][1], y)
        da = da / len(X)
        dW, db = [None] * self.n_layers, [None] * self.n_layers
        for layer in reversed(range(self.n_layers)):
            x = pairs[layer - 1][1] if layer else X
            dX, dW[layer], db[layer] = np.empty(x.shape), np.empty_like(self.W[layer]), np.empty_like(self.b[layer])
            dense_backward(x, self.W[layer], *pairs[layer], da, self.activations[layer], dX, dW[layer], db[layer], 1)
            da = dX
        return losses, hits, dW, db

    def gradient(self, X, y, n_threads):
        losses, _, *self.gradients = self.loss_and_gradient(X, y)
        return losses.mean()

    def get_gradient(self, layer, dW, db):
        dW[...], db[...] = self.gradients[0][layer], self.gradients[1][layer]

    def train(self, X, y, order, batch_size, step, last, rule, seconds, totals, n_threads):
        deadline = time.monotonic() + seconds
        while step < last:
            batch = order[step * batch_size:(step + 1) * batch_size]
            losses, hits, dW, db = self.loss_and_gradient(X[batch], y[batch])
            if not np.isfinite(losses.sum()):
                return step, True
            self.n_updates += 1
            for layer in range(self.n_layers):
                update(rule, self.n_updates, self.W[layer], dW[layer], self.slots[0][layer])
                update(rule | {"weight_decay": 0, "l2": 0}, self.n_updates, self.b[layer], db[layer], self.slots[1][layer])
            totals += losses.sum(), hits.sum()
            step += 1
            if time.monotonic() > deadline:
                break
        return step, False

    def finite(self):
        return all(np.isfinite(p).all() for p in self.W + self.b + self.slots[0] + self.slots[1])

    def overflowed(self):
        pairs = enumerate(zip(self.W, self.b))
        return next((i for i, (W, b) in pairs if not (np.isfinite(W).all() and np.isfinite(b).all())), self.n_layers)

    def not_finite(self, batch_size):
        """First layer with a number that is not finite in the last batch; -1 for its X, n_layers for the loss alone."""
        raise NotImplementedError("the twin keeps no workspace of the last batch")
