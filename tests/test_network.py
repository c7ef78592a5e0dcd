"""Network: its settings, parameters, training and predictions, as its users meet them."""
import copy
import doctest
import importlib
import pickle
import pkgutil
import re

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Dense, Network
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.losses import LOSSES

N, N_IN, N_OUT = 30, 5, 3
RNG = np.random.default_rng(0)
X, X_VALID = RNG.standard_normal((N, N_IN)), RNG.standard_normal((11, N_IN))
MOMENTUM = SGD(0.1, momentum=0.9)


def targets(loss, n=N, n_out=N_OUT):
    kind = LOSSES[loss].targets
    values = np.random.default_rng(1).uniform(size=(n, n_out))
    return values if kind == "values" else (values > 0.5) * 1.0 if kind == "binary" else values.argmax(axis=1)


def network(loss="softmax_cross_entropy", dtype="float64", seed=0, **options):
    return Network([N_IN, 7, N_OUT], activation="tanh", loss=loss, dtype=dtype, seed=seed, **options)


def state(net):
    """All of a network that lasts."""
    return [a.tobytes() for a in (*net.weights, *net.biases)], repr(net.classes_), net.n_epochs, repr(net)


def test_examples_in_the_documentation():
    names = {module.name for module in pkgutil.iter_modules(fastbp.__path__)} - {"__main__"}
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
      for bad in ("zeros", None, 1)),
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
    return [(dict([(name, bad)]), TypeError, f"{name} must be a number, not ")
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


GOOD_W, GOOD_B = [np.ones((N_IN, 7)), np.ones((7, N_OUT))], [np.ones(7), np.ones(N_OUT)]
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


# Predictions ------------------------------------------------------------------------------------------------

def test_predictions_of_labels():
    net = network()
    raw = net.forward(X)
    assert raw.shape == (N, N_OUT) and net.predict(X).tolist() == raw.argmax(axis=1).tolist()
    net.fit(X, np.array(["no", "so", "yes"])[targets(net.loss)], epochs=2)
    raw, p = net.forward(X), net.predict_proba(X)
    assert net.predict(X).tolist() == net.classes_[raw.argmax(axis=1)].tolist() and p.shape == (N, N_OUT)
    # a few roundings of exp and of the division
    np.testing.assert_allclose(p, np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), rtol=1e-14)


def test_predictions_of_one_binary_output():
    net = Network([N_IN, 1], loss="binary_cross_entropy", dtype="float64", seed=0)
    y = np.where(X[:, 0] > 0, "yes", "no")
    net.fit(X, y, epochs=2)
    raw, p = net.forward(X), net.predict_proba(X)
    assert p.shape == (N, 2) and net.classes_.tolist() == ["no", "yes"]
    assert net.predict(X).tolist() == np.where(raw[:, 0] > 0, "yes", "no").tolist()
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-raw[:, 0])), rtol=1e-14)


def test_predictions_of_several_binary_outputs_and_of_values():
    net = network("binary_cross_entropy")
    assert net.predict(X).tolist() == (net.forward(X) > 0).astype(int).tolist()
    np.testing.assert_allclose(net.predict_proba(X), 1 / (1 + np.exp(-net.forward(X))), rtol=1e-14)
    net = network("squared_error")
    assert net.predict(X).tobytes() == net.forward(X).tobytes()
    with pytest.raises(ValueError, match="squared_error gives no probabilities"):
        net.predict_proba(X)
    assert Network([N_IN, 1], loss="squared_error").predict(X).shape == (N,)


LARGE = np.array([1e4, -1e4, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss, y, wanted", [
    ("softmax_cross_entropy", [0, 1, 2], [0, 2e4, 1e4]),
    ("squared_error", [LARGE, -LARGE, LARGE], [0, 4e8, 0]),
    ("binary_cross_entropy", [[1, 0, 1], [0, 1, 1], [0.5, 0.5, 1]], np.log(2) + [0, 2e4, 1e4])])
def test_outputs_of_ten_thousand_lose_nothing(loss, y, wanted, dtype):
    net = Network([N_IN, N_OUT], loss=loss, dtype=dtype, seed=0)
    net.set_parameters([np.zeros((N_IN, N_OUT))], [LARGE])
    rounding = 4 * float(np.finfo(dtype).eps)       # the losses are sums of at most three numbers
    assert [net.evaluate(X[:1], [row])[0] for row in y] == pytest.approx(wanted, rel=rounding)
    mean, dW, db = net.loss_and_gradient(X[:3], y)
    assert mean == pytest.approx(np.mean(wanted), rel=rounding)
    assert np.isfinite(dW[0]).all() and np.isfinite(db[0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_out", [2, 3, 17, 1000])
@pytest.mark.parametrize("scale", [0, 1, 30, 1e4])
def test_probabilities_sum_to_one(n_out, scale, dtype):
    net = Network([N_IN, n_out], dtype=dtype, seed=0)
    net.set_parameters([scale * W for W in net.weights], net.biases)
    p = net.predict_proba(X)
    assert (p >= 0).all()
    # the quotients are rounded; so are the n_out sums of their denominator, and those here
    rounding = np.finfo(dtype).eps + n_out * np.finfo("f8").eps
    np.testing.assert_allclose(p.sum(axis=1, dtype="f8"), 1, rtol=rounding)


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_is_the_mean_loss_and_metric_of_forward(loss):
    net, y = network(loss), targets(loss)
    raw = net.forward(X)
    p = 1 / (1 + np.exp(-raw))
    mean_loss, metric = {
        "squared_error": lambda: (((raw - y) ** 2).sum() / 2 / N,
                                  1 - ((raw - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()),
        "binary_cross_entropy": lambda: (-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / N,
                                         ((p > 0.5) == y).all(axis=1).mean()),
        "softmax_cross_entropy": lambda: ((np.log(np.exp(raw).sum(1)) - raw[np.arange(N), y]).mean(),
                                          (raw.argmax(1) == y).mean())}[loss]()
    # sums of 90 terms in another order
    assert net.evaluate(X, y) == pytest.approx((mean_loss, metric), rel=1e-13)
    assert all(type(number) is float for number in net.evaluate(X, y))


# Training ---------------------------------------------------------------------------------------------------

def sgd_in_numpy(o, w, v, _, g, step):
    v[:] = o.momentum * v - o.learning_rate * g
    w += o.momentum * v - o.learning_rate * g if o.nesterov else v


def adam_in_numpy(o, w, m, v, g, step):
    m[:] = o.beta1 * m + (1 - o.beta1) * g
    v[:] = o.beta2 * v + (1 - o.beta2) * g**2
    w -= o.learning_rate * (m / (1 - o.beta1**step)) / (np.sqrt(v / (1 - o.beta2**step)) + o.eps)


def train_in_numpy(parameters, X, Y, batch_size, epochs, o):
    """Trains a tanh layer and an identity under squared error; `parameters` are W, b, W, b, in place."""
    rule = adam_in_numpy if isinstance(o, Adam) else sgd_in_numpy
    slots = [np.zeros((2, *p.shape)) for p in parameters]
    for step, start in enumerate([*range(0, len(X), batch_size)] * epochs, 1):
        x, t = X[start:start + batch_size], Y[start:start + batch_size]
        W1, b1, W2, b2 = parameters
        h = np.tanh(x @ W1 + b1)
        d2 = (h @ W2 + b2 - t) / len(x)
        d1 = d2 @ W2.T * (1 - h**2)
        for w, slot, g in zip(parameters, slots, (x.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0))):
            decays = w.ndim == 2        # a bias does not
            g = g + decays * o.l2 * w
            w -= decays * o.learning_rate * o.weight_decay * w
            rule(o, w, *slot, g, step)


OPTIMIZERS = [SGD(0.1), SGD(0.1, momentum=0.9), SGD(0.05, 0.8, nesterov=True), SGD(0.1, weight_decay=0.3),
              SGD(0.1, l2=0.3), SGD(0.1, 0.9, True, 0.2, 0.3),
              Adam(), Adam(0.01, 0.5, 0.9, 1e-3), Adam(0.01, 0, 0), Adam(0.01, weight_decay=0.2, l2=0.3)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_training_does_what_a_few_lines_of_numpy_do(optimizer):
    net, Y = network("squared_error"), targets("squared_error")
    net.set_parameters(net.weights, [np.full(7, 0.5), np.full(3, -0.5)])
    parameters = [a.copy() for pair in zip(net.weights, net.biases) for a in pair]
    train_in_numpy(parameters, X, Y, 7, 4, optimizer)
    net.fit(X, Y, epochs=4, batch_size=7, optimizer=optimizer, shuffle=False)
    # 20 steps that add up rounding errors of 1e-16
    for ours, theirs in zip([a for pair in zip(net.weights, net.biases) for a in pair], parameters):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_partial_fit_is_a_step_of_fit(loss, optimizer):
    net, twin, again, y = network(loss), network(loss), network(loss), targets(loss)
    history = net.fit(X, y, epochs=3, batch_size=N, optimizer=optimizer, shuffle=False)
    assert [twin.partial_fit(X, y, optimizer) for _ in range(3)] == history.loss
    assert state(net)[0] == state(twin)[0]
    again.fit(X, y, epochs=2, batch_size=N, optimizer=optimizer, shuffle=False)
    again.partial_fit(X, y, optimizer)          # the velocity goes on
    assert state(again)[0] == state(net)[0]
    net.fit(X, y, epochs=1, batch_size=8, optimizer=optimizer, shuffle=False)
    velocity_starts_at_zero = SGD(0.5, momentum=0.5)
    twin.partial_fit(X[:1], y[:1], velocity_starts_at_zero)
    twin.set_parameters(again.weights, again.biases)
    for start in range(0, N, 8):
        twin.partial_fit(X[start:start + 8], y[start:start + 8], optimizer)
    assert state(net)[0] == state(twin)[0]


def test_fit_goes_on_from_where_it_stands():
    net, twin, y = network(), network(), targets("softmax_cross_entropy")
    first, second = net.fit(X, y, epochs=2), net.fit(X, y, epochs=3)
    whole = twin.fit(X, y, epochs=5)            # plain SGD keeps nothing else
    assert state(net) == state(twin) and net.n_epochs == 5 and first.loss + second.loss == whole.loss
    before = net.weights[0]
    net.partial_fit(X, y)
    assert net.n_epochs == 5 and (net.weights[0] != before).any()


def test_shuffling_is_a_new_order_each_epoch_from_the_seed():
    y = targets("softmax_cross_entropy")
    orders = []
    for shuffle, seed in ((True, 0), (True, 0), (True, 1), (False, 0), (False, 1)):
        net = network(seed=seed)
        net.set_parameters(GOOD_W, GOOD_B)
        orders.append((net.fit(X, y, epochs=2, batch_size=4, shuffle=shuffle).loss, state(net)[0]))
    assert orders[0] == orders[1] != orders[2] and orders[3] == orders[4] != orders[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_history_is_of_what_was_trained_on(loss):
    net, y, scores = network(loss), targets(loss), []
    data = X_VALID, targets(loss, 11)
    history = net.fit(X, y, epochs=3, batch_size=N, validation_data=data, callbacks=[
        lambda net, history: scores.append((*net.evaluate(X, y), *net.evaluate(*data)))])
    train_loss, train_metric, val_loss, val_metric = zip(*scores)
    # the losses of an epoch of one batch are those before its step, added up in another order
    assert history.loss[1:] == pytest.approx(train_loss[:-1], rel=1e-14)
    assert history.metric[1:] == pytest.approx(train_metric[:-1], rel=1e-13)
    assert (history.val_loss, history.val_metric) == (list(val_loss), list(val_metric))
    assert (history.n_epochs, history.n_samples, history.metric_name) == (3, N, net.metric_name)
    assert history.n_threads >= 1 and history.isa == fastbp.config()["isa"] and len(history.seconds) == 3
    # forward and dW of 5 x 7 and 7 x 3, dX of the second alone
    assert history.flops_per_sample == 2 * (2 * (35 + 21) + 21)
    assert history.samples_per_second == pytest.approx(3 * N / sum(history.seconds))
    assert history.gflops == pytest.approx(history.samples_per_second * history.flops_per_sample / 1e9)
    history = net.fit(X, y, epochs=1)
    assert history.val_loss == history.val_metric == []


def test_losses_leave_out_l2():
    y = targets("softmax_cross_entropy")
    assert network().partial_fit(X, y, SGD(l2=100.0)) == network().partial_fit(X, y)


def test_validation_data_never_train():
    nets, y = [network(), network()], targets("softmax_cross_entropy")
    nets[0].fit(X, y, epochs=3, validation_data=[X_VALID, targets("softmax_cross_entropy", 11)])
    nets[1].fit(X, y, epochs=3)
    assert state(nets[0]) == state(nets[1])


@pytest.mark.parametrize("data, lines", [(None, r"epoch (\d)/3  loss \d\.\d{4}  accuracy \d\.\d{4}"), (
    (X_VALID, targets("softmax_cross_entropy", 11)),
    r"epoch (\d)/3  loss \d\.\d{4}  accuracy \d\.\d{4}  val_loss \d\.\d{4}  val_accuracy \d\.\d{4}")])
def test_verbose_prints_a_line_an_epoch(capsys, data, lines):
    network().fit(X, targets("softmax_cross_entropy"), epochs=3, validation_data=data)
    assert capsys.readouterr() == ("", "")
    network().fit(X, targets("softmax_cross_entropy"), epochs=3, validation_data=data, verbose=1)
    printed = capsys.readouterr().out.splitlines()
    assert [re.fullmatch(lines, line)[1] for line in printed] == ["1", "2", "3"]


# Callbacks --------------------------------------------------------------------------------------------------

def test_every_callback_is_called_after_every_epoch_until_one_returns_true():
    net, calls = network(), []

    def second(*arguments):
        calls.append((*arguments, arguments[1].n_epochs, arguments[0].n_epochs))
        return arguments[1].n_epochs == 2
    history = net.fit(X, targets(net.loss), epochs=9, callbacks=(
        lambda *_: "no bool", second, lambda *_: calls.append(3)))
    assert calls == [(net, history, 1, 1), 3, (net, history, 2, 2), 3]
    assert net.n_epochs == history.n_epochs == 2


@pytest.mark.parametrize("stop", [np.True_, None], ids=["numpy", "comparison"])
def test_a_callback_may_stop_with_a_numpy_bool(stop):
    history = network().fit(X, targets("softmax_cross_entropy"), epochs=3, callbacks=[
        lambda net, history: history.loss[-1] < 1e9 if stop is None else stop])
    assert history.n_epochs == 1


def test_a_callback_may_set_parameters_and_save(tmp_path):
    net, y = network(), targets("softmax_cross_entropy")
    start = net.weights, net.biases

    def rewind(net, history):
        net.save(tmp_path / str(history.n_epochs))
        net.set_parameters(*start)
    history = net.fit(X, y, epochs=3, shuffle=False, callbacks=[rewind])
    assert len(set(history.loss)) == 1 and state(net)[0] == state(network())[0]
    assert state(fastbp.load(tmp_path / "1"))[0] == state(fastbp.load(tmp_path / "3"))[0] != state(net)[0]


def test_an_error_in_a_callback_ends_the_fit_and_nothing_else():
    net, twin, y = network(), network(), targets("softmax_cross_entropy")
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, epochs=5, callbacks=[lambda net, history: 1 // (2 - history.n_epochs)])
    twin.fit(X, y, epochs=2)
    assert state(net) == state(twin)
    net.fit(X, y, epochs=1)


@pytest.mark.parametrize("train", [
    lambda net, y: net.fit(X, y, epochs=1, optimizer=SGD(1e-300)),
    lambda net, y: net.partial_fit(X, y, SGD(1e-300))], ids=["fit", "partial_fit"])
def test_a_callback_cannot_train_the_network_in_training(train):
    y = targets("softmax_cross_entropy")
    with pytest.raises(RuntimeError):       # it would take the velocity away from the fit that calls it
        network().fit(X, y, epochs=2, optimizer=MOMENTUM, callbacks=[lambda net, history: train(net, y)])


def test_a_callback_that_looks_on_changes_nothing():
    net, twin, y = network(), network(), targets("softmax_cross_entropy")

    def look(net, history):
        net.loss_and_gradient(np.tile(X, (3, 1)), np.tile(y, 3))        # a larger batch than that of the fit
        net.evaluate(X, y), net.predict_proba(X), pickle.dumps(net), copy.deepcopy(net).fit(X, y, epochs=1)
    net.fit(X, y, epochs=3, optimizer=MOMENTUM, callbacks=[look])
    twin.fit(X, y, epochs=3, optimizer=MOMENTUM)
    assert state(net) == state(twin)


# Wrong calls ------------------------------------------------------------------------------------------------

NUMBERS, TEXT = np.arange(N) % N_OUT, np.array(["a", "b", "c"] * 10)
NOT_FINITE = np.where(np.arange(N)[:, None] == 3, np.nan, X)


def fit(**wrong):
    return lambda net: net.fit(**{"X": X, "y": NUMBERS, "epochs": 1} | wrong)


def step(**wrong):
    return lambda net: net.partial_fit(**{"X": X, "y": NUMBERS, "optimizer": MOMENTUM} | wrong)


BAD_CALLS = {
    **{f"epochs {bad!r}": (fit(epochs=bad), "epochs must be") for bad in (0, -1, 1.0, "1", None, True)},
    **{f"batch_size {bad!r}": (fit(batch_size=bad), "batch_size must be")
       for bad in (0, -1, 8.0, "8", None, True)},
    **{f"shuffle {bad!r}": (fit(shuffle=bad), "shuffle must be True or False") for bad in (None, 1, "yes")},
    **{f"optimizer {bad!r}": (call(optimizer=bad), r"optimizer must be one of fastbp.SGD\(...\), .*; not ")
       for bad in ("sgd", SGD, 0.1, {}) for call in (fit, step)},
    **{f"n_threads {bad!r} {i}": (call, "n_threads must be an integer") for bad in (0, -1, 1.0, "2", True)
       for i, call in enumerate((fit(n_threads=bad), step(n_threads=bad),
                                 lambda net, n=bad: net.forward(X, n_threads=n),
                                 lambda net, n=bad: net.evaluate(X, NUMBERS, n_threads=n),
                                 lambda net, n=bad: net.loss_and_gradient(X, NUMBERS, n_threads=n)))},
    "callbacks of text": (fit(callbacks=["stop"]), r"callbacks must be callables taking \(net, history\)"),
    **{f"validation_data {bad!r}": (fit(validation_data=bad), r"validation_data must be a pair \(X, y\)")
       for bad in ((), (1,), (1, 2, 3), "ab", 5, {"X": 1, "y": 2})},
    "validation X": (fit(validation_data=(X[:, 1:], NUMBERS)), "validation_data X must have 5 columns"),
    "validation y": (fit(validation_data=(X, NUMBERS[1:])), "validation_data y must have one entry a sample"),
    "validation label": (fit(validation_data=(X, NUMBERS + 1)), "validation_data y row 2 is 3"),
    "fit X": (fit(X=X[:, 1:]), "X must have 5 columns"),
    "fit y": (fit(y=NUMBERS[1:]), "y must have one entry a sample"),
    "step X": (step(X=X[0]), "X must have two dimensions .*; reshape one sample to"),
    "step y": (step(y=NUMBERS / 2), "y must hold labels"),
    "evaluate": (lambda net: net.evaluate(X, NUMBERS / 2), "y must hold labels"),
    "gradient": (lambda net: net.loss_and_gradient(X, NUMBERS + 9.5), "y must hold labels"),
    "forward": (lambda net: net.forward([[1.0]]), "X must have 5 columns"),
    "forward out": (lambda net: net.forward(X, out=np.empty((3, N))), "out must be a writable"),
    "predict": (lambda net: net.predict(None), "X must be an array, not None"),
    "save": (lambda net: net.save("no/such/directory/m"), "No such "),
    **{f"callbacks {bad!r}": (fit(callbacks=bad), "callbacks must be") for bad in (None, print, 5)},
    **{f"verbose {bad!r}": (fit(verbose=bad), "verbose must be") for bad in ("no", None, -1)},
    "no validation": (fit(validation_data=(X[:0], NUMBERS[:0])), "validation_data X must have at least one"),
}


@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
@pytest.mark.parametrize("call, message", [
    *(pytest.param(*case, id=name) for name, case in BAD_CALLS.items())])
def test_a_wrong_call_names_the_argument_and_changes_nothing(call, message, trained):
    net, twin = network(), network()
    for each in (net, twin):
        if trained:
            each.fit(X, NUMBERS, epochs=1, optimizer=MOMENTUM)
    before = state(net)
    with pytest.raises((TypeError, ValueError, OSError), match=f"^(\\[Errno 2\\] )?{message}"):
        call(net)
    assert state(net) == before
    for each in (net, twin):        # the velocity is where it was, too
        each.partial_fit(X, NUMBERS, MOMENTUM)
    assert state(net) == state(twin)


# Classes ----------------------------------------------------------------------------------------------------

def test_integers_in_range_stand_for_themselves():
    net = network()
    net.fit(X, np.zeros(N, int), epochs=1)          # a part of the data that lacks two classes
    assert net.classes_.tolist() == [0, 1, 2]
    net.partial_fit(X, NUMBERS)
    assert net.classes_.tolist() == [0, 1, 2]


def test_partial_fit_is_told_the_classes_that_its_first_batch_lacks():
    net, twin = network(), network()
    net.partial_fit(X[:1], ["b"], classes=["c", "a", "b", "a"])
    assert net.classes_.tolist() == ["a", "b", "c"]
    twin.partial_fit(X[:1], [1])
    assert state(net)[0] == state(twin)[0]
    net.partial_fit(X, TEXT, classes=["a", "b", "c"])       # as long as they stay the same


@pytest.mark.parametrize("call", [
    step(classes=["a", "b", "c"], y=TEXT, X=X[0]), step(classes=["x", "y", "z"], y=TEXT)], ids=["X", "y"])
def test_classes_of_a_refused_batch_are_forgotten(call):
    net = network()
    with pytest.raises(ValueError, match="^(X|y) "):
        call(net)
    assert net.classes_ is None


@pytest.mark.parametrize("classes", [["a", "b", "c"], range(4), [1, 2, 3], 5], ids=str)
def test_classes_that_change_are_named(classes):
    net = network()
    net.partial_fit(X, NUMBERS)
    with pytest.raises((TypeError, ValueError), match="^classes "):
        net.partial_fit(X, NUMBERS, classes=classes)


def test_classes_of_a_loss_that_has_none_are_named():
    with pytest.raises((TypeError, ValueError), match="^classes "):
        network("squared_error").partial_fit(X, targets("squared_error"), classes=[0, 1, 2])


def test_classes_that_are_too_many_are_named():
    with pytest.raises(ValueError, match=r"^classes has 4 distinct labels \(0, 1, 2, 3\); .* 3 apart"):
        network().partial_fit(X, NUMBERS, classes=range(4))


def test_a_first_batch_that_lacks_a_class_is_named():
    with pytest.raises(ValueError, match=r"^y has 1 distinct labels \('b'\); this network tells 3 apart"):
        network().partial_fit(X[:1], ["b"])


# A loss that is not finite ----------------------------------------------------------------------------------

def test_a_step_that_is_not_taken_changes_no_parameter():
    net, twin = network(), network()
    for each in (net, twin):
        each.partial_fit(X, NUMBERS, MOMENTUM)
    with pytest.raises(fastbp.DivergenceError, match="because X row 3 is not"):
        net.partial_fit(NOT_FINITE, NUMBERS, MOMENTUM)
    for each in (net, twin):
        each.partial_fit(X, NUMBERS, MOMENTUM)
    assert state(net) == state(twin)


def test_a_step_that_overflows_is_not_taken():
    net, y = network("squared_error", "float32"), np.full((N, N_OUT), 1e3)
    before = state(net)
    with pytest.raises(fastbp.DivergenceError):
        net.partial_fit(X, y, SGD(3e38))
    assert state(net)[0] == before[0]


def test_the_gradient_of_a_loss_that_is_not_finite_is_not_of_another_batch():
    net = network()
    net.loss_and_gradient(X, NUMBERS)
    loss, dW, db = net.loss_and_gradient(NOT_FINITE, NUMBERS)
    assert np.isnan(loss) and all(np.isnan(a).any() for a in dW + db)


# Copies -----------------------------------------------------------------------------------------------------

def saved(net, directory):
    net.save(directory / "m")
    return fastbp.load(directory / "m")


WAYS = {"pickle": lambda net, _: pickle.loads(pickle.dumps(net)), "file": saved,
        "deepcopy": lambda net, _: copy.deepcopy(net), "copy": lambda net, _: copy.copy(net)}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_copy_predicts_and_trains_to_the_same_bits(tmp_path, loss, dtype, way):
    net, y = network(loss, dtype), targets(loss)
    net.fit(X, y, epochs=2, batch_size=8)
    twin = way(net, tmp_path)
    assert state(twin) == state(net) and twin.seed == net.seed
    assert twin.forward(X).tobytes() == net.forward(X).tobytes()
    histories = [each.fit(X, y, epochs=2, batch_size=8, validation_data=(X, y)) for each in (net, twin)]
    assert state(twin) == state(net) and histories[0].val_loss == histories[1].val_loss
    before = state(net)
    twin.partial_fit(X, y)              # a copy is nobody else
    assert state(net) == before != state(twin)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copy_knows_the_classes(tmp_path, way):
    net = network()
    net.fit(X, TEXT, epochs=1)
    twin = way(net, tmp_path)
    np.testing.assert_array_equal(twin.classes_, net.classes_, strict=True)
    np.testing.assert_array_equal(twin.predict(X), net.predict(X), strict=True)
