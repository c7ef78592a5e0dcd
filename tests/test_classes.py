"""The labels that outputs stand for."""
import numpy as np
import pytest
from networks import MOMENTUM, NUMBERS, TEXT, N, X, network, state, targets


def step(**wrong):
    return lambda net: net.partial_fit(**{"X": X, "y": NUMBERS, "optimizer": MOMENTUM} | wrong)


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
