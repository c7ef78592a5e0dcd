"""Network: its settings and parameters, as its users meet them."""
import doctest
import importlib
import importlib.util
import pkgutil
import re

import numpy as np
import pytest
from networks import GOOD_B, GOOD_W, N_IN, N_OUT, X, bits, network, state, targets

import fastbp
from fastbp import SGD, Adam, Dense, Network, Scale, losses
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.losses import LOSSES


def test_examples_in_the_documentation():
    names = {module.name for module in pkgutil.iter_modules(fastbp.__path__)} - {"__main__"}
    if importlib.util.find_spec("sklearn") is None:
        names = {name for name in names if "sklearn" not in name}      # the facade of an optional package
    results = [doctest.testmod(importlib.import_module(f"fastbp.{name}")) for name in names]
    assert sum(result.failed for result in results) == 0 and sum(result.attempted for result in results) > 0


# Settings ---------------------------------------------------------------------------------------------------

REGISTRIES = {"activation": ACTIVATIONS, "loss": LOSSES, "initializer": ["auto", *INITIALIZERS]}
ONE_OF = {name: f"{name} must be one of {', '.join(known)}; not " for name, known in REGISTRIES.items()}
NO_ACTIVATIONS = ("Relu", "", None, ["relu"], 1, "relu ")
BAD_SETTINGS = [
    *((dict(activation=bad), ValueError, ONE_OF["activation"] + re.escape(repr(bad)))
      for bad in NO_ACTIVATIONS),
    *((dict(loss=bad), ValueError, ONE_OF["loss"] + re.escape(repr(bad)))
      for bad in ("mse", "", None, ["squared_error"], 0)),
    *((dict(dtype=bad), ValueError, "dtype must be one of float32, float64; not ")
      for bad in ("float16", "f4", int, None, np.dtype(">f8"), "", 4)),
    *((dict(initializer=bad), ValueError, ONE_OF["initializer"] + re.escape(repr(bad)))
      for bad in ("xavier", None, 1)),
    *((dict(seed=bad), ValueError, r"seed must be an integer from 0 to 2\*\*64 - 1, or None, not ")
      for bad in (-1, 2**64, 1.0, True, "1", [1])),
    *((dict(layers=bad), ValueError, "layers must be the number of inputs and at least one layer, such as ")
      for bad in (None, 5, [], [5], "55", b"55", (n for n in (5, 3)))),
    *((dict(layers=bad), TypeError, r"layers\[0\] must be an integer of at least 1, not ")
      for bad in ([5.0, 3], ["5", 3], [None, 3], [True, 3], [[5], 3], np.ones((2, 2), int))),
    *((dict(layers=bad), TypeError, r"layers\[2\] must be an integer of at least 1, not ")
      for bad in ([5, 4, 3.0], [5, 4, "3"], [5, 4, None], [5, 4, Dense])),
    (dict(layers=[0, 3]), ValueError, r"layers\[0\] must be at least 1, not 0"),
    (dict(layers=[5, -3]), ValueError, r"layers\[1\] must be at least 1, not -3"),
    (dict(layers=[Dense(5), 3]), ValueError, r"layers\[0\] must be the number of inputs"),
    (dict(layers=[2**62, 2**62]), ValueError, "layers make .* parameters; at most "),
    (dict(layers=[5, 10**30]), ValueError, "layers make .* parameters; at most "),
    (dict(layers=[5, 1]), ValueError, "softmax_cross_entropy needs at least 2 outputs.*'binary_cross"),
]


@pytest.mark.parametrize("settings, error, message", [
    *BAD_SETTINGS, *((dict(layers=bad), ValueError, "layers") for bad in ({0: 5, 1: 3}, {5, 3}))])
def test_a_wrong_setting_is_named(settings, error, message):
    with pytest.raises(error, match=f"^{message}"):
        Network(**({"layers": [5, 3]} | settings))


@pytest.mark.parametrize("arguments, error, message", [
    *(((3, bad), ValueError, ONE_OF["activation"]) for bad in NO_ACTIVATIONS if bad is not None),
    *(((bad,), ValueError, f"n_out must be at least 1, not {bad}") for bad in (0, -2)),
    *(((bad,), TypeError, "n_out must be an integer of at least 1, not ")
      for bad in (3.0, "3", None, True, [3]))])
def test_a_wrong_layer_is_named(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        Dense(*arguments)


def bad_numbers(*names, values, bounds):
    return [(dict([(name, bad)]), ValueError, f"{name} must be finite and {bounds}, not ")
            for name in names for bad in (*values, np.nan, np.inf, -np.inf)]


def no_numbers(*names):
    return [(dict([(name, bad)]), TypeError, f"{name} must be a number, ")
            for name in names for bad in ("0.1", None, True, 1j, [0.1])]


@pytest.mark.parametrize("settings, error, message", [
    *bad_numbers("learning_rate", values=(0, -0.1), bounds="greater than 0"),
    *bad_numbers("momentum", values=(-0.1, 1), bounds="at least 0 and less than 1"),
    *bad_numbers("weight_decay", "l2", values=(-1e-9,), bounds="at least 0"),
    *no_numbers("learning_rate", "momentum", "weight_decay", "l2"),
    (dict(nesterov=1), TypeError, "nesterov must be True or False, not 1"),
    (dict(nesterov=True), ValueError, "nesterov=True needs momentum greater than 0"),
    (dict(learning_rate=10**400), ValueError, "learning_rate must be finite")])
def test_a_wrong_setting_of_sgd_is_named(settings, error, message):
    with pytest.raises(error, match=f"^{message}"):
        SGD(**settings)
    with pytest.raises(error, match=f"^{message}"):
        fastbp.sgd_update(np.zeros(3), np.zeros(3), np.zeros(3), **settings)


@pytest.mark.parametrize("settings, error, message", [
    *bad_numbers("learning_rate", values=(0, -0.1), bounds="greater than 0"),
    *bad_numbers("eps", values=(0, -0.1, 1e-40), bounds="at least 1e-30"),
    *bad_numbers("beta1", "beta2", values=(-0.1, 1), bounds="at least 0 and less than 1"),
    *bad_numbers("weight_decay", "l2", values=(-1e-9,), bounds="at least 0"),
    *no_numbers("learning_rate", "beta1", "beta2", "eps", "weight_decay", "l2")])
def test_a_wrong_setting_of_adam_is_named(settings, error, message):
    with pytest.raises(error, match=f"^{message}"):
        Adam(**settings)


def test_layers_may_have_settings_of_their_own():
    layers = np.int64(5), 4, Dense(3, "sigmoid"), Dense(2), Dense(2, "relu")
    net = Network(layers, "tanh", loss="squared_error", seed=3)
    assert net.sizes == (5, 4, 3, 2, 2) and net.activations == ("tanh", "sigmoid", "tanh", "relu")
    assert Network([5, 4, 2], seed=3).activations == ("relu", "identity")
    assert (net.n_layers, net.n_params) == (4, 24 + 15 + 8 + 6)
    assert (net.loss, net.metric_name) == ("squared_error", "r2")
    assert (net.dtype, net.seed, net.n_epochs, net.classes_) == (np.dtype("float32"), 3, 0, None)
    assert repr(net) == ("<fastbp.Network 5, 4 tanh, 3 sigmoid, 2 tanh, 2 relu; "
                         "squared_error, float32, 53 parameters>")
    assert f"{Network([999, 9]).n_params:,}" in repr(Network([999, 9]))


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64"), np.dtype("=f8")])
def test_a_dtype_has_several_names(dtype):
    assert Network([2, 2], dtype=dtype).weights[0].dtype == "float64"


def test_the_seed_determines_the_network():
    assert state(network()) == state(network()) != state(network(seed=1))
    drawn = [Network([5, 3]) for _ in range(2)]
    assert drawn[0].seed != drawn[1].seed
    assert state(drawn[0]) == state(Network([5, 3], seed=drawn[0].seed))
    single, double = network(dtype="float32"), network()
    assert all((a == b.astype("f4")).all() for a, b in zip(single.weights, double.weights))


@pytest.mark.parametrize("initializer, activation, variance", [
    ("auto", "relu", 2 / 400), ("auto", "tanh", 2 / 600), ("he_normal", "tanh", 2 / 400),
    ("glorot_uniform", "relu", 2 / 600)])
def test_starting_weights_have_the_variance_of_their_rule(initializer, activation, variance):
    net = Network([400, Dense(200, activation), 2], seed=0, initializer=initializer)
    # a sample variance over 80,000 numbers is within 2 % of the variance, four times its standard error
    assert net.weights[0].var() == pytest.approx(variance, rel=0.02)
    assert not any(b.any() for b in net.biases)


# Parameters -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_are_read_only_copies(dtype):
    net = network(dtype=dtype)
    W, b = net.weights, net.biases
    assert [a.shape for a in W] == [(5, 7), (7, 3)] and [a.shape for a in b] == [(7,), (3,)]
    for a in W + b:
        assert a.dtype == dtype and not a.flags.writeable and a.flags.c_contiguous
    before = [a.copy() for a in W + b]
    net.fit(X, targets(net.loss), epochs=1)
    assert all((a == c).all() for a, c in zip(W + b, before)) and (net.weights[0] != W[0]).any()
    given = [np.ones((5, 7)), np.ones((7, 3))]
    net.set_parameters(given, [[0] * 7, [1, 2, 3]])
    given[0][:] = 5
    assert (net.weights[0] == 1).all() and net.biases[1].tolist() == [1, 2, 3]


def test_set_parameters_is_what_training_goes_on_from():
    net, other = network(), network(seed=1)
    other.fit(X, targets(net.loss), epochs=1)           # its transposed weights exist, and must follow
    other.set_parameters(net.weights, net.biases)
    for each in (net, other):
        each.partial_fit(X, targets(net.loss))
    assert state(net)[0] == state(other)[0]


BAD_PARAMETERS = [
    (GOOD_W[:1], GOOD_B, ValueError, "weights must be 2 arrays, one a layer, not 1"),
    (GOOD_W, GOOD_B * 2, ValueError, "biases must be 2 arrays, one a layer, not 4"),
    ([GOOD_W[0], GOOD_W[1].T], GOOD_B, ValueError, r"weights\[1\] must have shape \(7, 3\), not \(3, 7\)"),
    (GOOD_W, [GOOD_B[0], np.ones((1, 3))], ValueError, r"biases\[1\] must have shape \(3,\), not \(1, 3\)"),
    (GOOD_W, [GOOD_B[0], None], TypeError, r"biases\[1\] must be an array, not None"),
    (GOOD_W, [GOOD_B[0], ["a"] * 3], TypeError, r"biases\[1\] must hold real numbers, not <U1"),
    *(pytest.param(bad, GOOD_B, TypeError, "weights") for bad in (None, 2, iter(GOOD_W))),
    *(pytest.param(GOOD_W, bad, TypeError, "biases") for bad in (None, 2, iter(GOOD_B))),
]


@pytest.mark.parametrize("weights, biases, error, message", BAD_PARAMETERS)
def test_parameters_are_set_whole_or_not_at_all(weights, biases, error, message):
    net = network()
    before = state(net)
    with pytest.raises(error, match=f"^{message}"):
        net.set_parameters(weights, biases)
    assert state(net) == before


NORMALISED = [N_IN, Scale(), Dense(7, "tanh", normalization="batch"), Dense(7, normalization="layer", residual=True), N_OUT]


def normalised(**options):
    return Network(NORMALISED, loss="squared_error", dtype="float64", seed=0, **options)


def test_layers_have_the_parameters_of_their_kind():
    net = normalised()
    assert [W.shape for W in net.weights] == [(1, 5), (5, 7), (7, 7), (7, 3)]
    assert (net.weights[0] == 1).all() and not any(b.any() for b in net.biases)
    assert [g if g is None else g.tolist() for g in net.gains] == [None, [1] * 7, [1] * 7, None]
    mean, variance = net.running_statistics[1]
    assert [pair is None for pair in net.running_statistics] == [True, False, True, True]
    assert not mean.any() and (variance == 1).all() and not variance.flags.writeable
    assert net.n_params == 5 * 2 + 7 * (5 + 2) + 7 * (7 + 2) + 3 * (7 + 1)
    assert net.layers[1] == Dense(7, "tanh", normalization="batch", initializer="glorot_uniform")


def test_parameters_come_back_as_they_were_got():
    net, twin = normalised(), normalised()
    net.fit(X, targets(net.loss), epochs=2)
    assert bits(net) != bits(twin)
    twin.set_parameters(**net.get_parameters())
    assert bits(net) == bits(twin) and net.forward(X).tobytes() == twin.forward(X).tobytes()


def test_gains_and_statistics_stay_unless_they_are_given():
    net = normalised()
    net.fit(X, targets(net.loss), epochs=1)
    before = net.get_parameters()
    net.set_parameters(before["weights"], [b + 1 for b in before["biases"]])
    after = net.get_parameters()
    assert after["gains"][1].tobytes() == before["gains"][1].tobytes()
    assert after["running_statistics"][1][1].tobytes() == before["running_statistics"][1][1].tobytes()
    assert (after["biases"][2] == before["biases"][2] + 1).all()


GAINS, STATISTICS = [None, np.ones(7), np.ones(7), None], [None, (np.zeros(7), np.ones(7)), None, None]


@pytest.mark.parametrize("wrong, message", [
    (dict(gains=[None] * 4), r"gains\[1\] must be an array, not None"),
    (dict(gains=[np.ones(5), *GAINS[1:]]), r"gains\[0\] must be None for a layer without normalisation"),
    (dict(gains=GAINS[:3]), "gains must be 4 arrays, one a layer, not 3"),
    (dict(gains=[None, np.ones(6), np.ones(7), None]), r"gains\[1\] must have shape \(7,\), not \(6,\)"),
    (dict(gains=[None, np.full(7, np.nan), np.ones(7), None]), r"gains\[1\] must be finite"),
    (dict(running_statistics=[None, np.ones(7), None, None]), r"running_statistics\[1\] must be a pair"),
    (dict(running_statistics=[None, STATISTICS[1], STATISTICS[1], None]),
     r"running_statistics\[2\] must be None for a layer without batch normalisation"),
    (dict(running_statistics=[None, (np.zeros(7), np.full(7, -1.0)), None, None]),
     r"running_statistics\[1\] must have variances of at least 0, not -1"),
], ids=str)
def test_wrong_gains_and_statistics_are_named(wrong, message):
    net = normalised()
    before = bits(net)
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        net.set_parameters(net.weights, net.biases, **wrong)
    assert bits(net) == before


@pytest.mark.parametrize("settings, message", [
    (dict(input_dropout=1), "input_dropout must be finite and at least 0 and less than 1, not 1"),
    (dict(input_noise=-0.5), "input_noise must be finite and at least 0, not -0.5"),
    (dict(loss=losses.Quantile((0.1, 0.9))), "quantile has 2 levels for 3 outputs")])
def test_wrong_settings_of_training_are_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Network([5, 3], **settings)


def test_a_loss_may_be_a_name_an_object_or_a_function():
    assert Network([5, 3], loss=losses.Huber(0.5)).loss == "huber"
    net = Network([5, 3], loss=lambda raw, y: (0.0, np.zeros_like(raw)))
    assert (net.loss, net.metric_name) == ("custom", "loss")
