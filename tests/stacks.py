"""What the tests of the twin and of the cores build their networks from. Needs no compiled core."""

import numpy as np

from fastbp.reference import ACTIVATIONS, LOSSES, RULES

#: where the derivative of an activation jumps
KINKS = {"relu": (0,), "leaky_relu": (0,), "selu": (0,), "hard_sigmoid": (-3, 3), "hard_tanh": (-1, 1)}
PARAMETER = {"huber": 0.7, "binary_cross_entropy": 0.1, "softmax_cross_entropy": 0.2}
RPROP = {"beta1": 0.5, "beta2": 1.2, "eps": 1e-6, "upper": 50.0}


def layer(n_out, activation="tanh", **settings):
    """A LayerSpec; `kind` 1 is SCALE, `norm` 1 layer and 2 batch."""
    spec = {"kind": 0, "n_out": n_out, "activation": list(ACTIVATIONS).index(activation), "norm": 0,
            "residual": False, "trainable": True, "dropout": 0.0, "rate": 1.0, "bias_rate": 1.0, "decay": 1.0,
            "max_norm": 0.0}
    assert set(settings) <= set(spec)
    return spec | settings


def rule(name="sgd", **settings):
    """An Update; plain but for the settings."""
    update = {"rule": list(RULES).index(name), "learning_rate": 0.1, "momentum": 0.9, "beta1": 0.9, "beta2": 0.99,
              "eps": 1e-3, "upper": 0.0, "weight_decay": 0.0, "l2": 0.0, "l1": 0.0, "clip_value": 0.0,
              "clip_layer": 0.0, "clip_norm": 0.0, "average": -1.0}
    own = RPROP if name == "rprop" else {}
    assert set(settings) <= set(update)
    return update | own | settings


def fourth_power(raw, y):
    """A user's loss: the mean over samples of the sum of (raw - y)^4."""
    return ((raw - y) ** 4).sum() / len(raw), 4 * (raw - y) ** 3 / len(raw)


def loss_spec(name, n_out, **settings):
    """A LossSpec, with parameters that are none of the defaults."""
    spec = {"code": list(LOSSES).index(name), "parameter": PARAMETER.get(name, 0.0),
            "levels": tuple(np.linspace(0.1, 0.8, n_out)) if name == "quantile" else (),
            "function": fourth_power if name == "custom" else None}
    assert set(settings) <= set(spec)
    return spec | settings


def targets(rng, name, n, n_out, missing=0.1):
    """What a loss accepts; a share of it NaN where that is accepted."""
    if name == "softmax_cross_entropy":
        return rng.integers(0, n_out, n)
    if name in ("binary_cross_entropy", "hinge"):
        return rng.integers(0, 2, (n, n_out)).astype(float)
    y = rng.poisson(2.0, (n, n_out)).astype(float) if name == "poisson" else rng.normal(size=(n, n_out))
    if name != "custom":
        y[rng.random(y.shape) < missing] = np.nan
    return y


def parameters(rng, n_in, layers):
    """Rows of every layer: weights that keep the size of what comes in, variances that are positive."""
    blocks = []
    for spec in layers:
        n_w = 1 if spec["kind"] else n_in
        rows = rng.normal(size=(n_w + (1, 2, 4)[spec["norm"]], spec["n_out"])) / np.sqrt(n_w)
        if spec["norm"]:
            rows[n_w + 1] += 1
        if spec["norm"] == 2:
            rows[-1] = rng.uniform(0.5, 2, spec["n_out"])
        blocks.append(rows)
        n_in = spec["n_out"]
    return blocks


def near_a_kink(stack, passes, y, margin):
    """Whether, in the twin, an argument of an activation or of the loss comes so close to a jump of the derivative that
    rounding might decide on its side."""
    for its, p in zip(stack.layers, passes):
        for kink in KINKS.get(list(ACTIVATIONS)[its.activation], ()):
            if (np.abs(p.z - kink) < margin).any():
                return True
    name, raw = list(LOSSES)[stack.loss["code"]], passes[-1].out
    if name in ("absolute_error", "quantile"):
        return (np.abs(raw - y) < margin).any()
    return name == "hinge" and (np.abs(1 - (2 * y - 1) * raw) < margin).any()


#: networks of 4 inputs and 3 outputs with every kind of layer
STACKS = {
    "plain": [layer(5), layer(3, "identity")],
    "layer norm": [layer(5, norm=1), layer(3, "gelu", norm=1)],
    "batch norm": [layer(5, norm=2), layer(3, "softplus", norm=2)],
    "residual": [layer(4, residual=True), layer(4, "silu", residual=True, norm=1), layer(3)],
    "scale": [layer(4, kind=1), layer(5, "mish"), layer(5, "sigmoid", kind=1), layer(3, "identity")],
    "dropout": [layer(6, dropout=0.5), layer(6, dropout=0.3, residual=True, norm=2), layer(6, kind=1, dropout=0.2),
                layer(3, dropout=0.4)],
}
