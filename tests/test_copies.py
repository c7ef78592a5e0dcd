"""Copies of a network, however they are made, predict and train to the same bits."""
import copy
import pickle

import numpy as np
import pytest
from networks import TEXT, X, bits, network, state, targets

import fastbp
from fastbp import SGD, Adam, Dense, Network, Rprop, Scale, losses
from fastbp.losses import LOSSES


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


@pytest.mark.parametrize("way", [WAYS[name] for name in ("pickle", "deepcopy", "copy")])
@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01, average=0.9), Rprop()], ids=str)
def test_a_copy_keeps_what_the_optimizer_keeps(optimizer, way):
    net, y = network(), targets("softmax_cross_entropy")
    net.fit(X, y, epochs=2, optimizer=optimizer)
    twin = way(net, None)
    assert [net.partial_fit(X, y, optimizer) for _ in range(3)] == [twin.partial_fit(X, y, optimizer) for _ in range(3)]
    assert bits(net) == bits(twin)


def test_a_copy_has_all_settings_and_parameters():
    layers = [5, Scale(), Dense(7, "selu", dropout=0.2, normalization="batch", residual=False), Dense(3, max_norm=1.0)]
    net = Network(layers, loss=losses.SoftmaxCrossEntropy(0.1), seed=2, input_dropout=0.1, input_noise=0.2)
    y = targets("softmax_cross_entropy")
    net.fit(X, y, epochs=2)
    twin = pickle.loads(pickle.dumps(net))
    assert bits(net) == bits(twin)
    for each in (net, twin):
        each.fit(X, y, epochs=2)
    assert bits(net) == bits(twin) and net.layers == twin.layers
