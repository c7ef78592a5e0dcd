"""What `fit` can be asked for besides plain epochs: weights, schedules, averages, health, L-BFGS, losses of one's own."""
import copy

import numpy as np
import pytest
from networks import N_IN, N_OUT, NUMBERS, TEXT, X_VALID, N, X, bits, network, state, targets

import fastbp
from fastbp import LBFGS, SGD, Adam, Dense, Network, Scale, losses, optimizers, schedules
from fastbp.losses import LOSSES

WEIGHTS = np.random.default_rng(2).integers(0, 4, N)

# Weights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_k_counts_as_k_copies(loss):
    net, twin, y = network(loss), network(loss), targets(loss)
    weighted = net.fit(X, y, epochs=3, batch_size=N, shuffle=False, sample_weight=WEIGHTS)
    copies = twin.fit(np.repeat(X, WEIGHTS, axis=0), np.repeat(y, WEIGHTS, axis=0), epochs=3, batch_size=WEIGHTS.sum(),
                      shuffle=False)
    # sums of some 50 terms in another order, over 3 steps
    assert weighted.loss == pytest.approx(copies.loss, rel=1e-13)
    for ours, theirs in zip(net.weights + net.biases, twin.weights + twin.biases):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_weights_follow_their_samples():
    net, twin = network(), network()
    net.fit(X, NUMBERS, epochs=2, batch_size=7, sample_weight=WEIGHTS)
    keep = WEIGHTS > 0
    twin.fit(X, np.where(keep, NUMBERS, (NUMBERS + 1) % 3), epochs=2, batch_size=7, sample_weight=WEIGHTS)
    assert bits(net) == bits(twin) != bits(network())        # labels that count nothing teach nothing


def test_class_weights_are_sample_weights():
    for given, each in (({"a": 2.0, "c": 0.5}, {"a": 2, "b": 1, "c": 0.5}), ("balanced", {"a": 30 / 3 / 10, "b": 1, "c": 1})):
        nets = network(), network()
        nets[0].fit(X, TEXT, epochs=2, class_weight=given, sample_weight=WEIGHTS + 1)
        nets[1].fit(X, TEXT, epochs=2, sample_weight=[each[label] for label in TEXT] * (WEIGHTS + 1))
        assert bits(nets[0]) == bits(nets[1])
    y = np.where(np.arange(N) < 24, 0, 1)
    nets = [Network([N_IN, 1], loss="binary_cross_entropy", seed=0) for _ in range(2)]
    nets[0].fit(X, y, class_weight="balanced")
    nets[1].fit(X, y, sample_weight=np.where(y, 30 / 12, 30 / 48))
    assert bits(nets[0]) == bits(nets[1])


def test_partial_fit_and_the_gradient_are_weighted_alike():
    net, twin = network(), network()
    loss, dW, db = net.loss_and_gradient(X, NUMBERS, sample_weight=WEIGHTS)
    assert twin.partial_fit(X, NUMBERS, SGD(1.0), sample_weight=WEIGHTS) == loss
    # one subtraction
    np.testing.assert_allclose(net.weights[0] - twin.weights[0], dW[0], rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(net.biases[1] - twin.biases[1], db[1], rtol=1e-12, atol=1e-16)


def test_validation_data_may_be_weighted():
    net = network()
    history = net.fit(X, NUMBERS, epochs=1, validation_data=(X, NUMBERS, WEIGHTS))
    assert (history.val_loss[0], history.val_metric[0]) == net.evaluate(X, NUMBERS, sample_weight=WEIGHTS)


# Rates ------------------------------------------------------------------------------------------------------


def steps_one_by_one(net, y, rates, batch_size):
    starts = range(0, N, batch_size)
    for step, rate in enumerate(rates):
        start = starts[step % len(starts)]
        net.partial_fit(X[start:start + batch_size], y[start:start + batch_size], SGD(float(rate)))


@pytest.mark.parametrize("rate, wanted", [
    (schedules.OneCycle(0.2), lambda t: schedules.OneCycle(0.2).rates(t, 12, [])),
    (schedules.Warmup(schedules.Cosine(0.3), 5), lambda t: schedules.Warmup(schedules.Cosine(0.3), 5).rates(t, 12, [])),
    (lambda step: 0.1 / (1 + step), lambda t: 0.1 / (1 + t))], ids=["one cycle", "warm-up", "callable"])
def test_each_step_has_the_rate_of_its_schedule(rate, wanted):
    net, twin = network(), network()
    history = net.fit(X, NUMBERS, epochs=3, batch_size=8, optimizer=SGD(rate), shuffle=False)
    rates = wanted(np.arange(12))
    steps_one_by_one(twin, NUMBERS, rates, 8)
    assert bits(net) == bits(twin) and history.learning_rate == rates[3::4].tolist()


def test_a_plateau_is_one_of_the_validation_data():
    net, y = network(), TEXT
    rate = schedules.ReduceOnPlateau(0.1, factor=0.5, patience=1, min_delta=1e9)      # nothing is ever better
    history = net.fit(X, y, epochs=4, optimizer=SGD(rate), validation_data=(X_VALID, TEXT[:11]))
    assert history.learning_rate == [0.1, 0.1, 0.05, 0.025]


def test_partial_fit_follows_a_schedule_by_steps():
    net, twin, optimizer = network(), network(), SGD(schedules.StepDecay(0.2, every=2, factor=0.5))
    for _ in range(5):
        net.partial_fit(X, NUMBERS, optimizer)
    for rate in (0.2, 0.2, 0.1, 0.1, 0.05):
        twin.partial_fit(X, NUMBERS, SGD(rate))
    assert bits(net) == bits(twin)


@pytest.mark.parametrize("rate, message", [
    (schedules.ReduceOnPlateau(0.1), "ReduceOnPlateau watches val_loss and needs validation_data"),
    (lambda step: -1.0, "learning_rate of step 0 must be finite and at least 0")])
def test_a_rate_that_cannot_be_is_named(rate, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        net.fit(X, NUMBERS, optimizer=SGD(rate))
    assert state(net)[0] == state(network())[0]


# Averages ---------------------------------------------------------------------------------------------------


def average_of(net, optimizer, y, n_steps):
    """Polyak's mean of the parameters after each step, and the last ones."""
    visited = []
    for _ in range(n_steps):
        net.partial_fit(X, y, optimizer)
        visited.append(net.weights[0])
    return np.mean(visited, axis=0), visited[-1]


def test_the_average_is_evaluated_and_kept():
    net, twin, scores = network(), network(), []
    optimizer = SGD(0.5, momentum=0.9, average="polyak")
    wanted, last = average_of(twin, SGD(0.5, momentum=0.9), NUMBERS, 6)
    history = net.fit(X, NUMBERS, epochs=6, batch_size=N, shuffle=False, optimizer=optimizer, validation_data=(X, NUMBERS),
                      callbacks=[lambda net, history: scores.append(net.evaluate(X, NUMBERS))])
    # a running mean of 6 terms
    np.testing.assert_allclose(net.weights[0], wanted, rtol=1e-12)
    assert not np.allclose(last, wanted, rtol=1e-3)
    assert [loss for loss, _ in scores] == history.val_loss and scores[-1] == net.evaluate(X, NUMBERS)


def test_training_goes_on_from_what_is_averaged_not_from_the_average():
    plain, averaged = SGD(0.5, momentum=0.9), SGD(0.5, momentum=0.9, average=0.9)
    net, twin, whole = network(), network(), network()
    losses = [[each.partial_fit(X, NUMBERS, o) for _ in range(5)] for each, o in ((net, averaged), (twin, plain))]
    assert losses[0] == losses[1] and bits(net) != bits(twin)
    whole.fit(X, NUMBERS, epochs=3, batch_size=N, shuffle=False, optimizer=averaged)
    whole.partial_fit(X, NUMBERS, averaged), whole.partial_fit(X, NUMBERS, averaged)
    assert bits(whole) == bits(net)
    again = copy.deepcopy(net)
    assert again.partial_fit(X, NUMBERS, averaged) == net.partial_fit(X, NUMBERS, averaged) and bits(again) == bits(net)


def test_parameters_that_are_set_are_those_of_both():
    net, twin = network(), network(seed=1)
    net.partial_fit(X, NUMBERS, SGD(0.5, average=0.9))
    net.set_parameters(twin.weights, twin.biases)
    assert bits(net) == bits(twin)
    assert net.partial_fit(X, NUMBERS, SGD(0.5, average=0.9)) == twin.partial_fit(X, NUMBERS)


# Layers' own settings ---------------------------------------------------------------------------------------


def test_a_frozen_layer_stays():
    net = Network([N_IN, Dense(7, "tanh", trainable=False, normalization="batch"), Dense(N_OUT)], seed=0)
    before = net.get_parameters()
    net.fit(X, NUMBERS, epochs=2, optimizer=Adam(weight_decay=0.1, average=0.5))
    after = net.get_parameters()
    assert (before["weights"][0] == after["weights"][0]).all() and (before["weights"][1] != after["weights"][1]).any()
    assert (before["running_statistics"][0][0] == after["running_statistics"][0][0]).all()


def test_a_layers_rate_decay_and_norm_are_its_own():
    layers = [N_IN, Dense(7, "tanh", learning_rate_factor=0.0, decay_factor=0.0), Dense(N_OUT, max_norm=0.5)]
    net = Network(layers, dtype="float64", seed=0)
    before = net.weights[0]
    net.fit(X, NUMBERS, epochs=3, optimizer=SGD(0.1, weight_decay=0.5))
    assert (net.weights[0] == before).all()
    assert np.linalg.norm(net.weights[1], axis=0).max() <= 0.5 * (1 + 1e-15)       # one rounding


def dropping(**options):
    return Network([N_IN, Dense(40, "tanh", dropout=0.5), Dense(N_OUT)], seed=0, input_dropout=0.1, input_noise=0.3, **options)


def test_dropout_follows_from_the_seed_on_any_number_of_threads():
    nets = [dropping() for _ in range(3)]
    for net, n_threads in zip(nets, (1, 2, 1)):
        net.fit(X, NUMBERS, epochs=3, batch_size=8, n_threads=n_threads)
    assert bits(nets[0]) == bits(nets[1]) == bits(nets[2])
    again = dropping()
    again.fit(X, NUMBERS, epochs=1, batch_size=8)
    again.fit(X, NUMBERS, epochs=2, batch_size=8)       # its masks are those of epochs 1 and 2
    assert bits(again) == bits(nets[0])


def test_every_step_drops_others():
    net = dropping(dtype="float64")
    losses = [net.partial_fit(X, NUMBERS, SGD(1e-12)) for _ in range(3)]
    assert len(set(np.round(losses, 6))) == 3           # rates of 1e-12 do not show
    history = dropping(dtype="float64").fit(X, NUMBERS, epochs=3, batch_size=N, optimizer=SGD(1e-12))
    assert len(set(np.round(history.loss, 6))) == 3


def test_clipping_bounds_a_step():
    net, before = network(), network().weights
    net.partial_fit(X, NUMBERS, SGD(1.0, clip_norm=1e-3))
    moved = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(net.weights + net.biases, before + network().biases)))
    assert moved == pytest.approx(1e-3, rel=1e-9)       # differences of numbers near 1, each with a rounding of 1e-16


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_learns(name):
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    net = Network([N_IN, Scale(), Dense(30, "tanh", normalization="layer"), Dense(30, "selu", residual=True), N_OUT], seed=0)
    history = net.fit(X, y, epochs=60, batch_size=N, optimizer=optimizers.OPTIMIZERS[name]())
    assert history.loss[-1] < 0.9 * history.loss[0]


# L-BFGS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_finds_the_least_squares(dtype):
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((200, N_IN)), rng.standard_normal((200, 2))
    net = Network([N_IN, 2], loss="squared_error", dtype=dtype, seed=0)
    history = net.fit(A, B, epochs=200, optimizer=LBFGS(l2=0.01))
    ones = np.hstack([A, np.ones((200, 1))])
    penalty = 0.01 * 200 * np.diag([1.0] * N_IN + [0])
    wanted = np.linalg.solve(ones.T @ ones + penalty, ones.T @ B)
    tolerance = 1e-7 if dtype == "float64" else 1e-3    # of a minimum that rounding of the loss makes flat
    np.testing.assert_allclose(np.vstack([net.weights[0], net.biases[0]]), wanted, rtol=tolerance, atol=tolerance)
    assert history.n_epochs < 200 and len(history.learning_rate) == history.n_epochs      # it ends when nothing is lower
    assert history.loss[0] > history.loss[-1] == pytest.approx(net.evaluate(A, B)[0], rel=1e-5)


def test_lbfgs_history_is_that_of_the_start_of_each_epoch():
    net, scores = network(), [network().evaluate(X, NUMBERS)]
    history = net.fit(X, NUMBERS, epochs=4, optimizer=LBFGS(), callbacks=[
        lambda net, history: scores.append(net.evaluate(X, NUMBERS))])
    assert list(zip(history.loss, history.metric)) == scores[:4] and history.loss == sorted(history.loss, reverse=True)


def test_lbfgs_keeps_frozen_layers_and_starts_anew_from_parameters_that_are_set():
    net = Network([N_IN, Dense(7, "tanh", trainable=False), Dense(N_OUT)], dtype="float64", seed=0)
    start, frozen, reached = (net.weights, net.biases), net.weights[0], []

    def back(net, history):
        reached.append(bits(net))
        net.set_parameters(*start)
    history = net.fit(X, NUMBERS, epochs=4, optimizer=LBFGS(l2=0.1), callbacks=[back])
    assert (net.weights[0] == frozen).all() and len(set(history.loss)) == len(set(reached)) == 1
    net.fit(X, NUMBERS, epochs=2, optimizer=LBFGS(l2=0.1))
    assert (net.weights[0] == frozen).all() and (net.weights[1] != start[0][1]).any()


@pytest.mark.parametrize("make, options, message", [
    (lambda: dropping(), {}, "LBFGS needs a loss without randomness: input_dropout"),
    (lambda: Network([N_IN, Dense(4, dropout=0.1), 3]), {}, r"LBFGS cannot train layers\[1\] with dropout=0.1"),
    (lambda: Network([N_IN, 4, Dense(3, max_norm=1)]), {}, r"LBFGS cannot train layers\[2\] with max_norm=1"),
    (lambda: Network([N_IN, Scale(learning_rate_factor=2.0), 3]), {}, r"LBFGS cannot train layers\[1\] with learning_rate_"),
    (lambda: Network([N_IN, Dense(4, normalization="batch"), 3]), {}, r"LBFGS cannot train layers\[1\] with normalization"),
    (network, {"health": True}, "health=True watches"),
])
def test_what_lbfgs_cannot_do_is_named(make, options, message):
    net = make()
    before = bits(net)
    with pytest.raises(ValueError, match=f"^{message}"):
        net.fit(X, NUMBERS, optimizer=LBFGS(), **options)
    with pytest.raises(ValueError, match="^optimizer must be one that takes steps on batches, not LBFGS"):
        net.partial_fit(X, NUMBERS, LBFGS())
    assert bits(net) == before


def test_lbfgs_that_is_broken_off_amid_a_search_leaves_the_last_step():
    left, reached = [7], []

    def breaks_off(raw, y):
        left[0] -= 1
        if left[0] == 0:
            raise LookupError
        return squared_error(raw, y)
    net = network(breaks_off)
    with pytest.raises(LookupError):
        net.fit(X, targets("squared_error"), epochs=50, optimizer=LBFGS(), callbacks=[lambda net, _: reached.append(bits(net))])
    assert bits(net) == reached[-1]


def test_lbfgs_on_a_loss_that_is_not_finite_says_so():
    net = network("squared_error")
    before = bits(net)
    with pytest.raises(fastbp.DivergenceError, match="because X row 3 is not"):
        net.fit(np.where(np.arange(N)[:, None] == 3, np.inf, X), targets("squared_error"), optimizer=LBFGS())
    assert bits(net) == before and net.n_epochs == 0


# Losses of one's own ----------------------------------------------------------------------------------------


def squared_error(raw, y):
    return float(((raw - y) ** 2).sum() / 2 / len(raw)), (raw - y) / len(raw)


def test_a_loss_of_ones_own_trains_as_its_twin():
    net, twin, y = network(squared_error), network("squared_error"), targets("squared_error")
    histories = [each.fit(X, y, epochs=3, batch_size=8, validation_data=(X, y)) for each in (net, twin)]
    # losses are means of batches, times their size
    assert histories[0].loss == pytest.approx(histories[1].loss, rel=1e-13)
    assert histories[0].val_loss == pytest.approx(histories[1].val_loss, rel=1e-13)
    assert histories[0].metric == histories[0].loss and histories[0].columns[:3] == ("epoch", "loss", "val_loss")
    for ours, theirs in zip(net.weights, twin.weights):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert net.predict(X).tobytes() == net.forward(X).tobytes()


def test_an_error_of_ones_own_loss_comes_out_and_the_step_is_not_taken():
    calls = []

    def fails_third(raw, y):
        calls.append(len(raw))
        if len(calls) == 3:
            raise LookupError("mine")
        return squared_error(raw, y)
    net, twin, y = network(fails_third), network(squared_error), targets("squared_error")
    with pytest.raises(LookupError, match="mine"):
        net.fit(X, y, epochs=1, batch_size=8, shuffle=False)
    twin.fit(X[:16], y[:16], epochs=1, batch_size=8, shuffle=False)
    assert bits(net) == bits(twin) and calls == [8, 8, 8]
    net.fit(X, y, epochs=1)


def test_weights_of_a_function_that_takes_its_own_mean_are_refused():
    with pytest.raises(ValueError, match="sample_weight and class_weight must be None"):
        network(squared_error).fit(X, targets("squared_error"), sample_weight=WEIGHTS)


def test_settings_of_a_loss_reach_the_core():
    y = targets("quantile")
    low, high = (network(losses.Quantile((q,))) for q in (0.1, 0.9))
    for net in (low, high):
        net.fit(X, y, epochs=50, optimizer=Adam(0.01))
    assert (low.predict(X) < high.predict(X)).mean() > 0.9
    smooth, sharp = network(losses.SoftmaxCrossEntropy(label_smoothing=0.2)), network()
    assert smooth.evaluate(X, NUMBERS)[0] != sharp.evaluate(X, NUMBERS)[0]


# Health -----------------------------------------------------------------------------------------------------


def test_health_is_a_table_an_epoch():
    net = Network([N_IN, Dense(7, "sigmoid"), 3], dtype="float64", seed=0)
    history = net.fit(X, NUMBERS, epochs=3, batch_size=4, health=True)
    assert [table.shape for table in history.health] == [(2, 6)] * 3
    assert all(np.isfinite(table).all() for table in history.health)
    # ||W|| is that of the epoch's end
    assert history.health[-1][:, 4] == pytest.approx([np.linalg.norm(W) for W in net.weights], rel=1e-12)
    assert history.verdict().kind == "healthy"
    assert net.fit(X, NUMBERS, epochs=1).health == []


def test_health_is_of_the_gradient_of_the_watched_step():
    net = network()
    _, dW, _ = net.loss_and_gradient(X, NUMBERS)
    history = net.fit(X, NUMBERS, epochs=1, batch_size=N, health=True)
    assert history.health[0][:, 1] == pytest.approx([np.linalg.norm(g) for g in dW], rel=1e-12)


def test_health_changes_no_bit():
    net, twin = network(), network()
    net.fit(X, NUMBERS, epochs=3, batch_size=4, health=True)
    twin.fit(X, NUMBERS, epochs=3, batch_size=4)
    assert bits(net) == bits(twin)


def test_a_fit_that_diverged_leaves_its_history():
    with pytest.raises(fastbp.DivergenceError) as caught:
        network("squared_error").fit(X, targets("squared_error"), epochs=500, optimizer=SGD(3.0), health=True)
    history = caught.value.history
    assert history.n_epochs == caught.value.epoch and history.diverged["message"] == str(caught.value)
    assert (history.diverged["epoch"], history.diverged["step"]) == (caught.value.epoch, caught.value.step)
