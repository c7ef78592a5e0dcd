"""Training: what a few lines of NumPy do, from where a network stands, and what the history says of it."""
import re

import numpy as np
import pytest
from networks import GOOD_B, GOOD_W, MOMENTUM, N_OUT, NOT_FINITE, NUMBERS, X_VALID, N, X, network, state, targets

import fastbp
from fastbp import SGD, Adam
from fastbp.losses import LOSSES


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
              SGD(0.1, l2=0.3), SGD(0.1, 0.9, True, weight_decay=0.2, l2=0.3),
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
