"""Names and settings: every word of the core can be said, every setting arrives there, and every wrong one is refused."""

import copy
import ctypes
import dataclasses
import json
import pickle

import numpy as np
import pytest

import fastbp
from fastbp import layers, losses, optimizers, schedules
from fastbp._dispatch import core
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.layers import Dense, Scale
from fastbp.lbfgs import LBFGS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS, SGD, AdaGrad, Adam, AdamW, Lion, NAdam, RMSprop, Rprop

RULES = {name: kind for name, kind in OPTIMIZERS.items() if kind is not LBFGS}
UPDATE_KEYS = {
    "rule", "learning_rate", "momentum", "beta1", "beta2", "eps", "upper", "weight_decay", "l2", "l1", "clip_value", "clip_layer",
    "clip_norm", "average",
}
LAYER_KEYS = {
    "kind", "n_out", "activation", "norm", "residual", "trainable", "dropout", "rate", "bias_rate", "decay", "max_norm",
}


def names(enum):
    return [name.lower() for name in enum.__members__]


# Optimizers ----------------------------------------------------------------------------------------------------------

VARIANTS = [SGD(), SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), AdaGrad(), RMSprop(), Adam(), Adam(amsgrad=True), AdamW(),
            NAdam(), Lion(), Rprop()]


def test_every_rule_of_the_core_has_a_class_and_the_reverse():
    said = {optimizer.update()["rule"] for optimizer in VARIANTS}
    assert said == {int(code) for code in core("float32").Rule.__members__.values()}
    assert {type(optimizer) for optimizer in VARIANTS} == set(RULES.values())


@pytest.mark.parametrize("optimizer", VARIANTS, ids=str)
def test_an_update_has_every_key_and_plain_numbers(optimizer):
    update = optimizer.update()
    assert update.keys() == UPDATE_KEYS
    assert all(type(value) is float for key, value in update.items() if key != "rule")
    assert update["learning_rate"] == optimizer.learning_rate and update["average"] == -1


@pytest.mark.parametrize("kind", RULES.values())
def test_common_settings_arrive(kind):
    update = kind(weight_decay=0.25, l2=0.5, l1=0.125, clip_value=2, clip_layer_norm=3, clip_norm=4, average=0.75).update()
    wanted = {"weight_decay": 0.25, "l2": 0.5, "l1": 0.125, "clip_value": 2, "clip_layer": 3, "clip_norm": 4, "average": 0.75}
    assert {key: update[key] for key in wanted} == wanted
    assert kind(average="polyak").update()["average"] == 1


def sgd(o, w, g, memory, t):
    return w - o.learning_rate * g


def momentum(o, w, g, memory, t):
    memory["v"] = o.momentum * memory.get("v", 0) - o.learning_rate * g
    return w + (o.momentum * memory["v"] - o.learning_rate * g if o.nesterov else memory["v"])


def adagrad(o, w, g, memory, t):
    memory["r"] = memory.get("r", 0) + g**2
    return w - o.learning_rate * g / (np.sqrt(memory["r"]) + o.eps)


def rmsprop(o, w, g, memory, t):
    memory["v"] = o.rho * memory.get("v", 0) + (1 - o.rho) * g**2
    memory["u"] = o.momentum * memory.get("u", 0) - o.learning_rate * g / (np.sqrt(memory["v"]) + o.eps)
    return w + memory["u"]


def adam(o, w, g, memory, t):
    memory["m"] = o.beta1 * memory.get("m", 0) + (1 - o.beta1) * g
    memory["v"] = o.beta2 * memory.get("v", 0) + (1 - o.beta2) * g**2
    memory["largest"] = np.maximum(memory.get("largest", 0), memory["v"])
    m, v = memory["m"] / (1 - o.beta1**t), memory["largest" if getattr(o, "amsgrad", False) else "v"] / (1 - o.beta2**t)
    if isinstance(o, NAdam):
        m = o.beta1 * memory["m"] / (1 - o.beta1 ** (t + 1)) + (1 - o.beta1) * g / (1 - o.beta1**t)
    return w - o.learning_rate * m / (np.sqrt(v) + o.eps)


def lion(o, w, g, memory, t):
    m = memory.get("m", 0)
    memory["m"] = o.beta2 * m + (1 - o.beta2) * g
    return w - o.learning_rate * np.sign(o.beta1 * m + (1 - o.beta1) * g)


def rprop(o, w, g, memory, t):
    s, p = memory.get("s", np.full_like(w, o.learning_rate)), g * memory.get("g", np.zeros_like(g))
    s = np.where(p > 0, np.minimum(o.eta_plus * s, o.step_max), np.where(p < 0, np.maximum(o.eta_minus * s, o.step_min), s))
    memory["s"], memory["g"] = s, np.where(p < 0, 0, g)
    return w - np.sign(memory["g"]) * s


FORMULAS = [
    (SGD(0.3), sgd), (SGD(0.3, 0.7), momentum), (SGD(0.3, 0.7, nesterov=True), momentum), (AdaGrad(0.3, 0.01), adagrad),
    (RMSprop(0.3, 0.6, 0.7, 0.01), rmsprop), (Adam(0.3, 0.8, 0.6, 0.01), adam), (Adam(0.3, 0.8, 0.6, 0.01, True), adam),
    (NAdam(0.3, 0.8, 0.6, 0.01), adam), (Lion(0.3, 0.8, 0.6), lion), (Rprop(0.3, 0.4, 1.5, 0.1, 0.5), rprop),
]


@pytest.mark.parametrize("optimizer, formula", FORMULAS, ids=lambda value: str(getattr(value, "__name__", value)))
def test_the_core_does_what_the_docstring_says(optimizer, formula):
    rng = np.random.default_rng(0)
    w, slots, memory = rng.normal(size=40), np.zeros((3, 40)), {}
    expected = w.copy()
    for t in range(1, 6):
        g = rng.normal(size=40)
        expected = formula(optimizer, expected, g, memory, t)
        core("float64").update(optimizer.update(), t, w, g, slots)
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)     # another order of the same few operations


def test_l2_l1_and_decay_are_penalties_of_the_loss_and_of_the_weights():
    w, g = np.array([2.0, -2.0]), np.array([0.5, 0.5])
    stepped = w.copy()
    core("float64").update(SGD(0.1, l2=0.3, l1=0.2, weight_decay=0.4).update(), 1, stepped, g, np.zeros((3, 2)))
    np.testing.assert_allclose(stepped, w - 0.1 * 0.4 * w - 0.1 * (g + 0.3 * w + 0.2 * np.sign(w)), rtol=1e-14)


BAD_SETTINGS = [
    *[(kind, {"learning_rate": bad}) for kind in RULES.values() for bad in (0, -1, np.nan, np.inf, "fast", None, True, SGD)],
    *[(kind, {name: bad}) for kind in RULES.values() for name in ("weight_decay", "l2", "l1") for bad in (-1e-9, np.inf, None)],
    *[(kind, {name: bad}) for kind in RULES.values() for name in ("clip_value", "clip_layer_norm", "clip_norm")
      for bad in (0, -1, np.nan, "1")],
    *[(kind, {"average": bad}) for kind in RULES.values() for bad in (1, -0.1, "ema", True)],
    *[(kind, {name: bad}) for kind, name in ((SGD, "momentum"), (RMSprop, "momentum"), (RMSprop, "rho"), (Adam, "beta1"),
      (AdamW, "beta2"), (NAdam, "beta1"), (Lion, "beta1"), (Lion, "beta2")) for bad in (1, -0.1, np.nan, "x", None)],
    *[(kind, {"eps": bad}) for kind in (AdaGrad, RMSprop, Adam, AdamW, NAdam) for bad in (0, 1e-31, -1, "x")],
    (SGD, {"nesterov": 1}), (SGD, {"nesterov": True}), (Adam, {"amsgrad": "yes"}),
    (Rprop, {"learning_rate": schedules.Constant(0.1)}), (Rprop, {"learning_rate": lambda step: 0.1}),
    (Rprop, {"eta_minus": 1}), (Rprop, {"eta_plus": 1}), (Rprop, {"step_min": 0}), (Rprop, {"step_max": 1e-6}),
    (LBFGS, {"n_pairs": 0}), (LBFGS, {"max_evaluations": 1.5}), (LBFGS, {"l2": -1}), (LBFGS, {"tolerance": -1}),
    (LBFGS, {"c1": 0}), (LBFGS, {"c2": 1e-4}), (LBFGS, {"c2": 1}),
]


@pytest.mark.parametrize("kind, setting", BAD_SETTINGS, ids=str)
def test_a_bad_setting_is_named(kind, setting):
    with pytest.raises((TypeError, ValueError), match=next(iter(setting))):
        kind(**setting)


@pytest.mark.parametrize("kind", RULES.values())
def test_settings_become_plain_numbers(kind):
    optimizer = kind(np.float32(0.5), l2=np.int64(1))
    assert type(optimizer.learning_rate) is float and type(optimizer.l2) is float
    assert optimizer == kind(0.5, l2=1.0)


@pytest.mark.parametrize("kind", [kind for kind in RULES.values() if kind is not Rprop])
@pytest.mark.parametrize("rate", [schedules.Cosine(0.1), lambda step: 0.1])
def test_a_learning_rate_may_change(kind, rate):
    optimizer = kind(rate)
    assert optimizer.learning_rate is rate and optimizer.update()["learning_rate"] == 0


def test_adamw_is_adam_with_decay():
    assert AdamW() == AdamW(weight_decay=0.01) and AdamW().update() == Adam(weight_decay=0.01).update()


@pytest.mark.parametrize("optimizer", [*VARIANTS, LBFGS()], ids=str)
def test_an_optimizer_can_be_copied_and_sent(optimizer):
    assert pickle.loads(pickle.dumps(optimizer)) == copy.deepcopy(optimizer) == optimizer
    assert optimizers.read_optimizer(optimizer) is optimizer
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizer.l2 = 1.0


EVALUATED = vars(fastbp) | vars(schedules) | vars(losses)


@pytest.mark.parametrize("settings, text", [
    (Adam(), "Adam()"), (Adam(0.001, 0.9), "Adam()"), (SGD(0.2, 0.9, l2=1), "SGD(learning_rate=0.2, l2=1.0, momentum=0.9)"),
    (SGD(schedules.Warmup(schedules.Cosine(0.1), 5)), "SGD(learning_rate=Warmup(then=Cosine(learning_rate=0.1), n_steps=5))"),
    (Dense(3, "relu", dropout=0.5), "Dense(n_out=3, activation='relu', dropout=0.5)"), (Scale(), "Scale()"),
    (losses.Quantile(0.9), "Quantile(levels=(0.9,))"), (LBFGS(n_pairs=3), "LBFGS(n_pairs=3)")])
def test_settings_print_as_one_would_write_them(settings, text):
    assert repr(settings) == str(settings) == text and eval(text, EVALUATED) == settings


def test_what_is_no_optimizer_is_told_which_there_are():
    assert optimizers.read_optimizer(None) == SGD()
    for bad in ("sgd", SGD, 0.1):
        with pytest.raises(TypeError, match=r"fastbp.SGD\(...\), .*fastbp.LBFGS\(...\); not"):
            optimizers.read_optimizer(bad)


# Losses --------------------------------------------------------------------------------------------------------------

OTHERS = [losses.Huber(0.5), losses.Quantile((0.1, 0.5)), losses.Quantile(0.9), losses.BinaryCrossEntropy(0.1),
          losses.SoftmaxCrossEntropy(0.2)]
ALL_LOSSES = [*(kind() for kind in LOSSES.values()), *OTHERS]


def capsule(name=b"fastbp.loss.float32"):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(1, name, None)


def test_every_loss_of_the_core_has_a_class_and_the_reverse():
    assert [*LOSSES, "custom"] == names(core("float32").Loss)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_a_loss_says_what_the_core_needs(loss):
    spec = loss.spec(2)
    assert spec.keys() == {"code", "parameter", "levels", "function"} and spec["function"] is None
    assert names(core("float32").Loss)[spec["code"]] == loss.name
    assert loss.targets in ("labels", "binary", "values", "counts")
    assert (loss.metric == "accuracy") == (loss.targets in ("labels", "binary"))


def test_settings_of_losses_arrive():
    assert losses.Huber(0.5).spec(1)["parameter"] == 0.5
    assert losses.BinaryCrossEntropy(0.1).spec(1)["parameter"] == losses.SoftmaxCrossEntropy(0.1).spec(2)["parameter"] == 0.1
    assert losses.Quantile([0.1, 0.9]).spec(2)["levels"] == (0.1, 0.9)
    assert losses.Quantile().spec(3)["levels"] == (0.5, 0.5, 0.5)
    assert losses.CustomLoss(len).spec(1)["function"] is len


@pytest.mark.parametrize("kind, setting", [
    *[(losses.Huber, {"delta": bad}) for bad in (0, -1, np.inf, "x", None)],
    *[(losses.Quantile, {"levels": bad}) for bad in (0, 1, (), (0.5, 1.5), ("a",), "0.5", None, np.nan)],
    *[(kind, {"label_smoothing": bad}) for kind in (losses.BinaryCrossEntropy, losses.SoftmaxCrossEntropy)
      for bad in (1, -0.1, "x")],
    *[(losses.CustomLoss, {"function": bad}) for bad in (None, 3, losses.Huber)]], ids=str)
def test_a_bad_setting_of_a_loss_is_named(kind, setting):
    with pytest.raises((TypeError, ValueError), match=next(iter(setting))):
        kind(**setting)


def test_a_loss_refuses_outputs_that_it_cannot_stand_over():
    with pytest.raises(ValueError, match="at least 2 outputs.*'binary_cross_entropy'"):
        losses.SoftmaxCrossEntropy().spec(1)
    with pytest.raises(ValueError, match="2 levels for 3 outputs"):
        losses.Quantile((0.1, 0.9)).spec(3)


@pytest.mark.parametrize("name", LOSSES)
def test_a_name_gives_the_default(name):
    assert losses.read_loss(name) == LOSSES[name]()


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_an_object_gives_itself(loss):
    assert losses.read_loss(loss) is loss


@pytest.mark.parametrize("function", [lambda raw, y: (0.0, raw), len, capsule()])
def test_a_function_gives_a_loss_of_the_users_own(function):
    loss = losses.read_loss(function)
    assert loss == losses.CustomLoss(function) and loss.metric == "loss" and loss.spec(3)["function"] is function


@pytest.mark.parametrize("bad", ["mse", "custom", "", None, 3, losses.Huber, ["huber"]])
def test_what_is_no_loss_is_told_which_there_are(bad):
    with pytest.raises(ValueError, match=f"loss must be one of {', '.join(LOSSES)}; not "):
        losses.read_loss(bad)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_a_loss_survives_a_file(loss):
    assert losses.from_config(json.loads(json.dumps(losses.to_config(loss)))) == loss


def test_of_a_loss_of_the_users_own_a_file_holds_the_name():
    config = losses.to_config(losses.CustomLoss(len))
    assert config == {"name": "custom"}
    with pytest.raises(ValueError, match="no file holds"):
        losses.from_config(config)


@pytest.mark.parametrize("config", [
    None, [], "huber", {}, {"name": None}, {"name": ["huber"]}, {"name": "mse"}, {"name": "huber", "delta": "1"},
    {"name": "huber", "delta": 0}, {"name": "huber", "epsilon": 1.0}, {"name": "quantile", "levels": {}},
    {"name": "quantile", "levels": [[0.5]]}, {"name": "custom", "function": "os.system"}], ids=str)
def test_a_bad_description_of_a_loss_is_a_value_error(config):
    with pytest.raises(ValueError, match="loss|delta|levels"):
        losses.from_config(config)


# Layers --------------------------------------------------------------------------------------------------------------

FULL = Dense(8, "tanh", dropout=0.25, normalization="batch", residual=True, initializer="orthogonal", trainable=False,
             learning_rate_factor=2, bias_learning_rate_factor=0.5, decay_factor=0, max_norm=3)
SOME_LAYERS = [FULL, Dense(3), Dense(3, normalization="layer"), Scale(), Scale(activation="tanh", learning_rate_factor=6)]


def resolved(layer, n_in=8):
    return layers.read_layers([n_in, layer, 3], "relu")[1][0]


@pytest.mark.parametrize("layer", SOME_LAYERS, ids=str)
def test_a_layer_says_what_the_core_needs(layer):
    spec = layers.layer_spec(resolved(layer))
    assert spec.keys() == LAYER_KEYS
    assert [type(value) for key, value in spec.items() if key in ("residual", "trainable")] == [bool, bool]


def test_settings_of_a_layer_arrive():
    assert layers.layer_spec(resolved(FULL)) == {
        "kind": 0, "n_out": 8, "activation": ACTIVATIONS["tanh"], "norm": 2, "residual": True, "trainable": False,
        "dropout": 0.25, "rate": 2.0, "bias_rate": 0.5, "decay": 0.0, "max_norm": 3.0}
    assert layers.layer_spec(resolved(Dense(4, learning_rate_factor=3))) == {
        "kind": 0, "n_out": 4, "activation": ACTIVATIONS["relu"], "norm": 0, "residual": False, "trainable": True,
        "dropout": 0.0, "rate": 3.0, "bias_rate": 3.0, "decay": 1.0, "max_norm": 0.0}
    scale = layers.layer_spec(resolved(Scale(activation="relu", learning_rate_factor=6)))
    assert (scale["kind"], scale["n_out"], scale["rate"], scale["bias_rate"], scale["decay"]) == (1, 8, 6, 6, 0)
    assert layers.layer_spec(resolved(Dense(4, normalization="layer")))["norm"] == 1


def test_what_is_left_open_is_the_networks():
    sizes, made = layers.read_layers([5, Scale(), 7, Dense(7, "selu", residual=True), Dense(4, initializer="zeros"), 3], "relu")
    assert sizes == (5, 5, 7, 7, 4, 3)
    assert [layer.activation for layer in made] == ["identity", "relu", "selu", "relu", "identity"]
    assert [layer.initializer for layer in made[1:]] == ["he_normal", "lecun_normal", "zeros", "glorot_uniform"]
    assert made[0].n_out == 5
    assert layers.read_layers([5, *made], "tanh", "normal") == (sizes, made)        # resolved already: it stays
    assert layers.read_layers([5, 4, 3], "relu", "normal")[1][0].initializer == "normal"


def test_the_last_layer_ends_in_raw_outputs_unless_told():
    assert layers.read_layers([2, 3], "relu")[1][-1].activation == "identity"
    assert layers.read_layers([2, Dense(3, "tanh")], "relu")[1][-1].activation == "tanh"


def test_parameters_are_counted():
    assert resolved(Dense(4)).n_params(8) == 36
    assert resolved(Dense(4, normalization="layer")).n_params(8) == resolved(Dense(4, normalization="batch")).n_params(8) == 40
    assert resolved(Scale()).n_params(8) == 16


def test_first_weights():
    rng = np.random.default_rng(0)
    assert np.array_equal(resolved(Scale()).initial_weights(rng, 8), np.ones((1, 8)))
    for name, initializer in INITIALIZERS.items():
        W = resolved(Dense(4, initializer=name)).initial_weights(np.random.default_rng(1), 8)
        assert np.array_equal(W, initializer(np.random.default_rng(1), 8, 4)), name


@pytest.mark.parametrize("kind, setting", [
    *[(Dense, {"n_out": bad}) for bad in (0, -1, 1.5, "3", None, True)],
    *[(Dense, {name: bad}) for name in ("activation", "normalization", "initializer") for bad in ("no such", 3)],
    *[(Dense, {"dropout": bad}) for bad in (1, -0.1, None, "x")],
    *[(Dense, {name: bad}) for name in ("residual", "trainable") for bad in (1, None, "yes")],
    *[(Dense, {name: bad}) for name in ("learning_rate_factor", "bias_learning_rate_factor", "decay_factor")
      for bad in (-1, np.nan, "x")],
    *[(Dense, {"max_norm": bad}) for bad in (0, -1, np.inf)],
    (Scale, {"activation": None}), (Scale, {"activation": "no such"}), (Scale, {"trainable": 1}),
    (Scale, {"learning_rate_factor": -1}), (Scale, {"bias_learning_rate_factor": -1}), (Scale, {"n_out": 0})], ids=str)
def test_a_bad_setting_of_a_layer_is_named(kind, setting):
    with pytest.raises((TypeError, ValueError), match=next(iter(setting))):
        kind(**({"n_out": 3} | setting if kind is Dense else setting))


@pytest.mark.parametrize("given, message", [
    (5, "layers must be"), ([5], "layers must be"), ("53", "layers must be"), ([Dense(5), 3], r"layers\[0\].*not a Dense"),
    ([Scale(), 3], r"layers\[0\].*not a Scale"), ([5, 0], r"layers\[1\]"), ([5, "relu"], r"layers\[1\]"),
    ([5, 4, Dense(3, residual=True)], r"layers\[2\].*n_out is 3, not 4"),
    ([5, Scale(n_out=4)], r"layers\[1\].*n_out is 4, not 5"), ([2**21, 2**21], "parameters; at most")], ids=str)
def test_layers_that_fit_nothing_are_named(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        layers.read_layers(given, "relu")


@pytest.mark.parametrize("layer", [*SOME_LAYERS, *map(resolved, SOME_LAYERS)], ids=str)
def test_a_layer_survives_a_file(layer):
    assert layers.from_config(json.loads(json.dumps(layers.to_config(layer)))) == layer


@pytest.mark.parametrize("config", [
    None, 3, {}, {"name": "dense"}, {"name": "conv", "n_out": 3}, {"name": "dense", "n_out": 3.5},
    {"name": "scale", "dropout": 0.1},
    {"name": "dense", "n_out": 3, "activation": "no such"}, {"name": "dense", "n_out": 3, "dropout": "0"}], ids=str)
def test_a_bad_description_of_a_layer_is_a_value_error(config):
    with pytest.raises(ValueError, match="layer|activation"):
        layers.from_config(config)
