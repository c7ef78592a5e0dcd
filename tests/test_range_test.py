"""The learning-rate range test: what it tries, what it suggests, and that what it suggests trains."""

import re

import numpy as np
import pytest
from samples import samples

from fastbp import LBFGS, SGD, Adam, Dense, Network, Rprop
from fastbp.datasets import load_digits
from fastbp.range_test import RangeTest, learning_rate_range_test

X, y = load_digits()
X, y = X[:1000] / 16, y[:1000]


def digits(activation="relu", **settings):
    return Network([64, 32, 10], activation, seed=0, **settings)


# What it does ------------------------------------------------------------------------------------------------


def test_rates_rise_by_a_factor():
    test = learning_rate_range_test(digits(), X, y, lowest=1e-5, highest=1e-1, n_steps=21)
    np.testing.assert_allclose(test.rates, 10 ** np.linspace(-5, -1, 21), rtol=1e-12)
    assert test.losses.shape == test.smoothed.shape == (21,)


def test_steps_are_those_of_training():
    """With one batch of all samples, the losses are those of a fit that follows the same rates."""
    net = digits(dtype="float64")
    test = learning_rate_range_test(net, X, y, SGD(momentum=0.9), batch_size=1000, lowest=1e-3, highest=1.0, n_steps=20)
    rates = np.geomspace(1e-3, 1.0, 20)
    history = net.fit(X, y, epochs=20, batch_size=1000, optimizer=SGD(lambda step: rates[step], momentum=0.9), shuffle=False)
    np.testing.assert_allclose(test.losses, history.loss, rtol=1e-10)


def test_losses_are_smoothed():
    """A mean whose weights fall by the same factor from each step to the one before, and add up to 1."""
    test = learning_rate_range_test(digits(), X, y, n_steps=40)
    keep = 1 - 1 / (0.05 * 40)
    for t in range(len(test.losses)):
        weights = keep ** np.arange(t, -1, -1)
        assert test.smoothed[t] == pytest.approx((weights * test.losses[:t + 1]).sum() / weights.sum(), rel=1e-12)


def test_it_ends_where_the_loss_is_no_longer_finite():
    net = Network([64, 32, 10], "relu", "squared_error", seed=0)
    test = learning_rate_range_test(net, X, np.eye(10)[y], highest=1e6)
    assert 20 < len(test.rates) == len(test.losses) == len(test.smoothed) < 200
    assert np.isfinite(test.smoothed).all() and test.suggestion < test.lowest < 1


def test_the_network_stays_as_it_is():
    net = digits()
    before = net.get_parameters()
    one, two = (learning_rate_range_test(net, X, y, Adam(), n_steps=20, n_threads=n) for n in (1, 2))
    np.testing.assert_equal(net.get_parameters(), before)
    assert net.classes_ is None and net.n_epochs == 0
    np.testing.assert_array_equal(one.losses, two.losses)


# What it suggests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("optimizer", [SGD, lambda rate: SGD(rate, momentum=0.9), Adam], ids=["SGD", "momentum", "Adam"])
def test_the_suggestion_trains(activation, optimizer):
    """Better than rates far below it, and far above the one where the loss was lowest."""
    test = learning_rate_range_test(digits(activation), X, y, optimizer(0.5))
    smaller, suggested, larger = (
        digits(activation).fit(X, y, epochs=5, optimizer=optimizer(rate)).loss[-1]
        for rate in (test.suggestion / 10, test.suggestion, 10 * test.lowest))
    assert suggested < min(0.8, smaller, larger / 2), (smaller, suggested, larger)


def test_it_does_not_depend_on_the_rate_that_the_optimizer_has():
    one, two = (learning_rate_range_test(digits(), X, y, SGD(rate), n_steps=20) for rate in (1e-4, lambda step: 0.5))
    np.testing.assert_array_equal(one.losses, two.losses)


def test_nothing_is_suggested_where_nothing_is_learned():
    """All layers are frozen; and curves by hand, one that falls by more than batches differ and one by less."""
    net = Network([64, Dense(10, trainable=False)], seed=0)
    test = learning_rate_range_test(net, X, y)
    assert test.suggestion is None
    assert str(test).startswith("at none of 200 rates from 1e-06 to 1e+02 did the loss fall")
    rates, noise = np.geomspace(1e-4, 1, 20), np.array([2.0, 2.2] * 10)
    for drop, found in ((1.0, True), (0.1, False)):
        by_hand = RangeTest(rates, noise - drop * (np.arange(20) > 14), window=1.5)
        assert (by_hand.suggestion is not None) == found


@pytest.mark.parametrize("n_steps", [20, 50, 200])
@pytest.mark.parametrize("seed", range(10))
def test_batches_that_differ_are_no_fall(n_steps, seed):
    net = Network([64, Dense(10, trainable=False)], seed=seed)
    test = learning_rate_range_test(net, X, y, n_steps=n_steps)
    assert test.suggestion is None


def test_it_reads_well():
    test = RangeTest(np.geomspace(1e-4, 1, 20), np.linspace(2, 1, 20), window=1.5)
    assert str(test) == "learning_rate=0.1: of 20 rates from 0.0001 to 1, the loss was lowest at 1"


@pytest.mark.parametrize("given, error, words", [
    (dict(optimizer=LBFGS()), ValueError, "not LBFGS"), (dict(optimizer=Rprop()), ValueError, "not Rprop"),
    (dict(optimizer="sgd"), TypeError, "optimizer must be one of"),
    (dict(lowest=0), ValueError, "lowest must be finite and greater than 0, not 0"),
    (dict(lowest=1.0, highest=0.5), ValueError, "highest must be finite and greater than 1, not 0.5"),
    (dict(n_steps=19), ValueError, "n_steps must be finite and at least 20, not 19"),
    (dict(n_steps=2.5), TypeError, "n_steps must be an integer"),
    (dict(batch_size=0), ValueError, "batch_size must be at least 1"),
    (dict(X=np.full((20, 4), np.inf)), ValueError, "X and y must give a finite loss for a range test"),
])
def test_wrong_arguments(given, error, words):
    net = Network([4, 3], seed=0)
    data = dict(zip("Xy", samples(net)))
    with pytest.raises(error, match=re.escape(words)):
        learning_rate_range_test(net, **(data | given))
