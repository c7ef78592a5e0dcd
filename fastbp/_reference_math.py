"""The twin's formulas: elementary functions, activations, losses and update rules, in NumPy float64.

Forward and the losses take complex numbers too, so that a test may differentiate them by complex step.
"""

import math
from types import SimpleNamespace

import numpy as np

# Elementary functions ---------------------------------------------------------------------------------------


def _abs(z):
    """|z| of the real part, analytic on both sides of 0."""
    return np.where(z.real < 0, -z, z)


def _positive(z):
    return np.where(z.real < 0, np.zeros_like(z), z)


def _negative(z):
    return np.where(z.real < 0, z, np.zeros_like(z))


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
    "exp": np.exp, "log": np.log, "sigmoid_function": _sigmoid, "tanh_function": np.tanh, "erf": _erf,
    "log1p_of": np.log1p, "expm1_of": np.expm1,
}


def elementary(function, x, out):
    """out = function(x), elementwise."""
    out[...] = list(ELEMENTARY.values())[function](x.astype(np.float64))


# Activations: f(z) and f'(z) --------------------------------------------------------------------------------

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _clip(z, low, high):
    return np.where(z.real <= low, low, np.where(z.real >= high, high, z))


def _softplus(z):
    return _positive(z) + _log1p(np.exp(-_abs(z)))


def _silu_derivative(z):
    return _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))


def _mish_derivative(z):
    t = np.tanh(_softplus(z))
    return t + z * (1 - t**2) * _sigmoid(z)


def _normal_cdf(z):
    return 0.5 + 0.5 * _erf(z / math.sqrt(2))


def _gelu_derivative(z):
    return _normal_cdf(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_t(z):
    return np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))


def _gelu_tanh_derivative(z):
    t = _gelu_t(z)
    return (1 + t) / 2 + z / 2 * (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "relu": (_positive, lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: np.where(z.real < 0, 0.01 * z, z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (lambda z: _positive(z) + np.expm1(_negative(z)),
            lambda z: np.where(z > 0, 1.0, np.exp(_negative(z)))),
    "selu": (lambda z: SELU_SCALE * (_positive(z) + SELU_ALPHA * np.expm1(_negative(z))),
             lambda z: SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(_negative(z)))),
    "gelu": (lambda z: z * _normal_cdf(z), _gelu_derivative),
    "gelu_tanh": (lambda z: z / 2 * (1 + _gelu_t(z)), _gelu_tanh_derivative),
    "silu": (lambda z: z * _sigmoid(z), _silu_derivative),
    "mish": (lambda z: z * np.tanh(_softplus(z)), _mish_derivative),
    "softplus": (_softplus, _sigmoid),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
    "hard_sigmoid": (lambda z: _clip(z / 6 + 0.5, 0, 1), lambda z: np.where(abs(z) < 3, 1 / 6, 0.0)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "hard_tanh": (lambda z: _clip(z, -1, 1), lambda z: np.where(abs(z) < 1, 1.0, 0.0)),
}
STEEPEST = {"sigmoid": 1 / 4, "hard_sigmoid": 1 / 6, "tanh": 1, "hard_tanh": 1}     # f' of those that saturate


def activation_forward(activation, z, a):
    """a = f(z)."""
    a[...] = list(ACTIVATIONS.values())[activation][0](z)


def activation_backward(activation, z, a, da, dz):
    """dz = da * f'(z), where a = f(z)."""
    dz[...] = da * list(ACTIVATIONS.values())[activation][1](z)


# Losses: of each sample, the gradient in its raw outputs, its score ------------------------------------------


def _squares(e):
    return e**2 / 2, e


def _absolutes(e):
    return _abs(e), np.sign(e.real)


def _huber(e, delta):
    inside = abs(e.real) <= delta
    return np.where(inside, e**2 / 2, delta * (_abs(e) - delta / 2)), np.clip(e.real, -delta, delta)


def _log_cosh(e):
    return _abs(e) + _log1p(np.exp(-2 * _abs(e))) - math.log(2), np.tanh(e)


def _pinball(e, levels):
    """q u where the target is above, u = y - raw > 0, and (q - 1) u where it is below."""
    slope = np.where(e.real < 0, -np.array(levels), np.where(e.real > 0, 1 - np.array(levels), 0))
    return slope * e, slope


def _regression(of_error):
    """A loss of e = raw - y, with the squared error for its score; an output whose target is NaN counts nothing."""
    def loss(spec, raw, y):
        e = np.where(np.isnan(y), 0, raw - y)
        each, gradient = of_error(e, spec)
        return each.sum(axis=1), gradient, (e**2).sum(axis=1)
    return loss


def _poisson(spec, raw, y):
    each, miss = (np.where(np.isnan(y), 0, v) for v in (np.exp(raw) - y * raw, np.exp(raw) - y))
    return each.sum(axis=1), miss, (miss**2).sum(axis=1)


def _binary_cross_entropy(spec, raw, y):
    t = y * (1 - spec["parameter"]) + spec["parameter"] / 2
    losses = _positive(raw) - raw * t + _log1p(np.exp(-_abs(raw)))
    return losses.sum(axis=1), _sigmoid(raw) - t, ((raw.real > 0) == (y > 0.5)).all(axis=1)


def _softmax(raw):
    e = np.exp(raw - raw.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_cross_entropy(spec, raw, labels):
    s, n_out = spec["parameter"], raw.shape[1]
    t = (1 - s) * (np.arange(n_out) == labels[:, None]) + s / n_out
    shifted = raw - raw.real.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - (t * shifted).sum(axis=1)
    return losses, _softmax(raw) - t, raw.real.argmax(axis=1) == labels


def _hinge(spec, raw, y):
    s = 2 * y - 1
    losses, gradient = _positive(1 - s * raw), np.where(s * raw.real < 1, -s, 0)
    return losses.sum(axis=1), gradient, ((raw.real > 0) == (y > 0.5)).all(axis=1)


def _custom(spec, raw, y):
    """The user's mean loss for every sample, and their gradient of it."""
    mean, draw = spec["function"](raw, y)
    return np.full(len(raw), mean), len(raw) * np.asarray(draw), np.zeros(len(raw))


LOSSES = {
    "squared_error": (_regression(lambda e, spec: _squares(e)), lambda raw: raw),
    "absolute_error": (_regression(lambda e, spec: _absolutes(e)), lambda raw: raw),
    "huber": (_regression(lambda e, spec: _huber(e, spec["parameter"])), lambda raw: raw),
    "log_cosh": (_regression(lambda e, spec: _log_cosh(e)), lambda raw: raw),
    "quantile": (_regression(lambda e, spec: _pinball(e, spec["levels"])), lambda raw: raw),
    "poisson": (_poisson, np.exp),
    "binary_cross_entropy": (_binary_cross_entropy, _sigmoid),
    "softmax_cross_entropy": (_softmax_cross_entropy, _softmax),
    "hinge": (_hinge, lambda raw: raw),
    "custom": (_custom, lambda raw: raw),
}


def loss_of(spec, raw, y):
    """Losses of the samples, gradient of each in its raw outputs, scores."""
    return list(LOSSES.values())[spec["code"]][0](spec, raw, y)


def loss_forward_backward(loss, raw, y, losses, scores, draw):
    """Loss and score of each sample, and draw = d(sum of losses)/d(raw). y is int64 labels or values (n, n_out)."""
    losses[...], draw[...], scores[...] = loss_of(loss, raw, y)


def link(loss, raw):
    """The loss's inverse link, in place: probabilities for the cross entropies, counts for poisson."""
    raw[...] = list(LOSSES.values())[loss][1](raw)


# Update rules: w and the slots s change in place ------------------------------------------------------------


def _sgd(u, t, w, g, s):
    w -= u.learning_rate * g


def _momentum(u, t, w, g, s):
    s[0] = u.momentum * s[0] - u.learning_rate * g
    w += s[0]


def _nesterov(u, t, w, g, s):
    s[0] = u.momentum * s[0] - u.learning_rate * g
    w += u.momentum * s[0] - u.learning_rate * g


def _adagrad(u, t, w, g, s):
    s[0] += g**2
    w -= u.learning_rate * g / (np.sqrt(s[0]) + u.eps)


def _rmsprop(u, t, w, g, s):
    s[0] = u.beta2 * s[0] + (1 - u.beta2) * g**2
    s[1] = u.momentum * s[1] - u.learning_rate * g / (np.sqrt(s[0]) + u.eps)
    w += s[1]


def _moments(u, g, s):
    s[0] = u.beta1 * s[0] + (1 - u.beta1) * g
    s[1] = u.beta2 * s[1] + (1 - u.beta2) * g**2


def _adam(u, t, w, g, s):
    _moments(u, g, s)
    w -= u.learning_rate * s[0] / (1 - u.beta1**t) / (np.sqrt(s[1] / (1 - u.beta2**t)) + u.eps)


def _nadam(u, t, w, g, s):
    _moments(u, g, s)
    m = u.beta1 * s[0] / (1 - u.beta1 ** (t + 1)) + (1 - u.beta1) * g / (1 - u.beta1**t)
    w -= u.learning_rate * m / (np.sqrt(s[1] / (1 - u.beta2**t)) + u.eps)


def _amsgrad(u, t, w, g, s):
    _moments(u, g, s)
    s[2] = np.maximum(s[2], s[1])
    w -= u.learning_rate * s[0] / (1 - u.beta1**t) / (np.sqrt(s[2] / (1 - u.beta2**t)) + u.eps)


def _lion(u, t, w, g, s):
    w -= u.learning_rate * np.sign(u.beta1 * s[0] + (1 - u.beta1) * g)
    s[0] = u.beta2 * s[0] + (1 - u.beta2) * g


def _rprop(u, t, w, g, s):
    agree = g * s[0]
    size = np.where(s[1] == 0, u.learning_rate, s[1])
    s[1] = np.where(agree > 0, np.minimum(size * u.beta2, u.upper),
                    np.where(agree < 0, np.maximum(size * u.beta1, u.eps), size))
    s[0] = np.where(agree < 0, 0, g)
    w -= np.sign(s[0]) * s[1]


RULES = {       # and how many slots each has
    "sgd": (_sgd, 0), "momentum": (_momentum, 1), "nesterov": (_nesterov, 1), "adagrad": (_adagrad, 1),
    "rmsprop": (_rmsprop, 2), "adam": (_adam, 2), "nadam": (_nadam, 2), "amsgrad": (_amsgrad, 3),
    "lion": (_lion, 1), "rprop": (_rprop, 2),
}


def update(rule, t, w, dw, slots):
    """Update number t = 1, 2, ... of w, and of the slots, of which a rule uses as many as it has."""
    u = SimpleNamespace(**rule)
    g = dw + u.l2 * w + u.l1 * np.sign(w)
    w -= u.learning_rate * u.weight_decay * w
    list(RULES.values())[u.rule][0](u, t, w, g, slots)
