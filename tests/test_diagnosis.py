"""Verdicts on the gradient health of a fit: each illness is found, nothing else is, and the remedy that is named helps."""

import os
import re

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Dense, Network, health
from fastbp.activations import ACTIVATIONS
from fastbp.datasets import load_digits
from fastbp.health import DEAD, DW_NORM, DZ_NORM, SATURATED, W_NORM, verdict
from fastbp.initializers import INITIALIZERS

ACTS = ("sigmoid", "relu", "identity")
X, y = load_digits()
X, y = X[:500] / 16, y[:500]


def table(**columns):
    """A healthy epoch of three layers, but for these columns, by layer."""
    columns = {"dz": [0.3, 0.4, 0.5], "dw": [1, 1, 1], "saturated": [0, 0, 0], "dead": [0, 0, 0]} | columns
    out = np.ones((3, 6))
    for column, name in ((DZ_NORM, "dz"), (DW_NORM, "dw"), (SATURATED, "saturated"), (DEAD, "dead")):
        out[:, column] = columns[name]
    return out


# Tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, layer, columns", [
    ("healthy", None, {}),
    ("vanishing", 0, {"dz": [0.5 / 30.1, 0.4, 0.5]}),
    ("healthy", None, {"dz": [0.5 / 29.9, 0.4, 0.5]}),
    ("vanishing", 1, {"dz": [0.4, 0, 0.5]}),
    ("exploding", 0, {"dz": [0.5 * 30.1, 1, 0.5]}),
    ("healthy", None, {"dz": [0.5 * 29.9, 1, 0.5]}),
    ("healthy", None, {"dz": [0, 0, 0]}),           # a loss of 0: nothing to learn, nothing wrong
    ("dead", 1, {"dead": [0, 0.4, 0]}),
    ("healthy", None, {"dead": [0, 0.39, 0.39]}),
    ("saturated", 0, {"saturated": [0.5, 0, 0]}),
    ("healthy", None, {"saturated": [0.49, 0, 0]}),
    ("diverged", 1, {"dz": [1, np.nan, 1]}),
    ("diverged", 2, {"dw": [1, 1, np.inf]}),
])
def test_a_table_is_judged(kind, layer, columns):
    said = verdict([table(**columns)], ACTS)
    assert said.kind == kind and said.epoch == 0 and said.past == ()
    assert [finding.layer for finding in said.findings] == ([] if layer is None else [layer])
    assert bool(said.remedies) == (kind != "healthy")


def test_causes_come_before_symptoms():
    said = verdict([table(dz=[0, 0.4, 0.5], dead=[0, 1, 0], saturated=[0.9, 0, 0])], ACTS)
    assert [finding.kind for finding in said.findings] == ["dead", "saturated", "vanishing"] and said.kind == "dead"
    assert list(health.JUDGES) == ["diverged", "dead", "saturated", "exploding", "vanishing"]


def test_a_gradient_that_grows_a_hundredfold_explodes():
    tables = [table(), table(dw=[1, 99, 1]), table(dw=[1, 1, 101])]
    assert [verdict(tables, ACTS, epoch=i).kind for i in range(3)] == ["healthy", "healthy", "exploding"]
    assert verdict(tables, ACTS).findings[0].layer == 2


@pytest.mark.parametrize("losses, kind", [
    ([2.0, 1.0], "healthy"), ([2.0, 19.0], "healthy"), ([2.0, 21.0], "diverged"), ([2.0, np.inf], "diverged"),
    ([2.0, np.nan], "diverged"), ([-2.0, -50.0], "healthy"), ([0.0, 1.0], "healthy")])
def test_losses_tell_of_divergence(losses, kind):
    assert verdict([table(), table()], ACTS, losses).kind == kind
    assert verdict([table(), table()], ACTS, losses, epoch=0).kind == "healthy"


def test_an_output_layer_may_saturate_when_it_is_right():
    tables = [table(saturated=[0, 0, 0.9])] * 2
    assert verdict(tables, ACTS, [1.0, 0.4]).kind == "healthy"
    wrong = verdict(tables, ACTS, [1.0, 0.6])
    assert wrong.kind == "saturated" and "cross-entropy" in wrong.remedies[0]


def test_an_epoch_in_which_nobody_looked_is_unknown():
    tables = [table(), np.full((3, 6), np.nan)]
    tables[1][:, W_NORM] = 1
    assert verdict(tables, ACTS).kind == "unknown"
    assert verdict(tables, ACTS, [1.0, np.nan]).kind == "diverged"


def test_a_fit_that_broke_off_has_diverged():
    end = {"epoch": 1, "step": 3, "layer": 2, "message": "the loss of epoch 2, step 4 is not finite"}
    said = verdict([table()], ACTS, [1.0], diverged=end)
    assert (said.kind, said.epoch, said.evidence, said.past) == ("diverged", 1, end["message"], ("healthy",))
    assert verdict([table()], ACTS, [1.0], epoch=0, diverged=end).kind == "healthy"
    assert verdict([], ACTS, diverged=end | {"layer": None}).findings[0].layer == 0


def test_a_verdict_reads_well():
    bad, good = table(dz=[0.001, 0.4, 0.5], saturated=[0.75, 0, 0]), table()
    assert str(verdict([good], ACTS)) == (
        "healthy in epoch 1: gradients of 3 layers within a factor 1.7, at most 0% saturated and 0% dead")
    assert str(verdict([bad, bad, good, bad], ACTS)).splitlines() == [
        "saturated in epoch 4: in layer 0, 75% of the outputs of sigmoid are flat",
        "  also vanishing: the gradient in layer 0 is 500 times smaller than in the output layer",
        '  try initializer="auto" (glorot_uniform for sigmoid)',
        "  or  a smaller learning_rate",
        '  or  normalization="batch" or "layer" in the hidden layers',
        "  or  X (and y, for a regression) scaled to unit variance",
        '  or  activation="relu"',
        '  or  activation="relu" or "selu" in place of sigmoid',
        "  or  residual=True round hidden layers of equal width",
        "  before: saturated in epochs 1 to 2, healthy in epoch 3"]


def test_remedies_are_words_of_this_package():
    """Names that a user can type: settings of Dense, Network and the optimizers, and their values."""
    sick = [table(dz=[9, 0.001, 0.1], dead=[1, 1, 1], saturated=[1, 1, 1]), table(dz=[9, 0.001, 0.1], saturated=[0, 0, 1]),
            table(dz=[np.nan] * 3)]
    remedies = " ".join(remedy for columns in sick for remedy in verdict([columns], ACTS).remedies)
    named = set(re.findall(r'activation="(\w+)"(?: or "(\w+)")?', remedies))
    assert named == {("leaky_relu", "elu"), ("relu", ""), ("relu", "selu")}
    assert {"leaky_relu", "elu", "relu", "selu"} <= set(ACTIVATIONS)
    assert set(re.findall(r"\((\w+) for \w+\)", remedies)) <= set(INITIALIZERS)
    Network([2, Dense(2, normalization="batch", residual=True, initializer="auto"), Dense(2, normalization="layer"), 2])
    for setting in re.findall(r"(\w+)=1\.0", remedies):
        SGD(**{setting: 1.0})


@pytest.mark.parametrize("given, words", [
    (dict(health=[]), "health must have at least one epoch: train with fit(..., health=True)"),
    (dict(health=[np.ones((2, 6))]), "health[0] must have shape (3, 6), not (2, 6)"),
    (dict(losses=[1.0, 2.0]), "losses must have shape (1,), not (2,)"),
    (dict(epoch=1), "epoch must be from -1 to 0, not 1"),
    (dict(epoch=-2), "epoch must be from -1 to 0, not -2"),
])
def test_wrong_arguments(given, words):
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        verdict(**({"health": [table()], "activations": ACTS} | given))


# Fits --------------------------------------------------------------------------------------------------------


def fit(layers, scale=1.0, rate=0.05, epochs=3, **settings):
    """The history of a fit on digits, from weights so many times as large."""
    net = Network(layers, seed=0, **settings)
    net.set_parameters([scale * W for W in net.weights], net.biases)
    return net.fit(X, y, epochs=epochs, batch_size=10, optimizer=SGD(rate), health=True)


DEEP = [64, 30, 30, 30, 30, 10]


@pytest.mark.parametrize("kind, layers, sick, cured", [
    ("vanishing", DEEP, {"activation": "sigmoid"}, {"activation": "relu"}),
    ("vanishing", DEEP, {"activation": "sigmoid"}, {"activation": "selu"}),
    ("vanishing", DEEP, {"scale": 0.2, "epochs": 1}, {}),
    ("exploding", DEEP, {"scale": 3.0, "rate": 1e-4}, {}),
    ("dead", DEEP, {"rate": 1.0}, {}),
    ("dead", DEEP, {"rate": 1.0}, {"activation": "elu"}),
    ("saturated", [64, 30, 10], {"activation": "tanh", "scale": 20.0}, {"activation": "tanh"}),
])
def test_an_illness_is_found_and_its_remedy_helps(kind, layers, sick, cured):
    ill, well = fit(layers, **sick), fit(layers, **cured)
    assert ill.verdict().kind == kind, str(ill.verdict())
    assert well.verdict().kind == "healthy", str(well.verdict())
    assert well.metric[-1] > ill.metric[-1]


@pytest.mark.parametrize("remedy", [{"normalization": "layer"}, {"normalization": "batch"}, {"residual": True}])
def test_remedies_of_layers_help_a_gradient_that_vanishes(remedy):
    """Of tanh, whose gradient vanishes where weights are small."""
    sick, cured = ([64, *[Dense(30, "tanh", **(settings if i else {})) for i in range(6)], 10] for settings in ({}, remedy))
    ill, well = fit(sick, scale=0.3), fit(cured, scale=0.3)
    assert ill.verdict(0).kind == "vanishing" and well.verdict(0).kind == "healthy"
    assert well.metric[-1] > ill.metric[-1]


def test_squared_error_on_a_saturated_output_gives_way_to_cross_entropy():
    """Nielsen's run with a learning rate of 100, which never learns (chapter 3)."""
    histories = []
    for output, loss, rate in ((Dense(10, "sigmoid"), "squared_error", 100.0), (10, "binary_cross_entropy", 0.5)):
        net = Network([64, Dense(30, "sigmoid"), output], loss=loss, seed=0)
        histories.append(net.fit(X, np.eye(10)[y], epochs=3, batch_size=10, optimizer=SGD(rate), health=True))
    said = histories[0].verdict()
    assert said.kind == "saturated" and said.findings[0].layer == 1 and "cross-entropy" in said.remedies[0]
    assert histories[1].verdict().kind == "healthy" and histories[1].metric[-1] > histories[0].metric[-1]


def test_a_fit_that_diverges_says_so_in_its_history():
    with pytest.raises(fastbp.DivergenceError) as caught:
        fit([64, 30, 10], activation="relu", scale=100.0, rate=1e30)
    said = caught.value.history.verdict()
    assert said.kind == "diverged" and said.evidence == str(caught.value)


def test_health_was_not_asked_for():
    history = Network([64, 10], seed=0).fit(X, y, epochs=1)
    with pytest.raises(ValueError, match="health=True"):
        history.verdict()


# Nielsen, Neural Networks and Deep Learning, chapter 5: "The vanishing gradient problem" -----------------------

MNIST = os.environ.get("FASTBP_MNIST")
PUBLISHED = {       # norm of dC/db of each hidden layer at the start, on 1000 digits
    2: [0.0657, 0.3092], 3: [0.0118, 0.0600, 0.2831], 4: [0.0030, 0.0171, 0.0695, 0.2851]}


@pytest.mark.skipif(not MNIST, reason="no MNIST here: set FASTBP_MNIST to the path of an mnist.npz")
@pytest.mark.parametrize("n_hidden", PUBLISHED)
def test_nielsens_gradient_norms_in_order_and_ratio(n_hidden):
    """His start: weights N(0, 1/n_in), biases N(0, 1). Seeds differ, so the ratios of layers are compared within a factor 2."""
    with np.load(MNIST) as data:
        images, labels = data["x_train"][:1000].reshape(1000, 784) / 256, np.eye(10)[data["y_train"][:1000]]
    net = Network([784, *[30] * n_hidden, 10], "sigmoid", "binary_cross_entropy", "float64", seed=0)
    rng, found = np.random.default_rng(0), []
    for _ in range(5):
        net.set_parameters([rng.normal(0, 1 / np.sqrt(len(W)), W.shape) for W in net.weights],
                           [rng.standard_normal(b.shape) for b in net.biases])
        found.append([np.linalg.norm(db) for db in net.loss_and_gradient(images, labels)[2][:-1]])
    mean = np.exp(np.log(found).mean(axis=0))
    assert list(mean) == sorted(mean)
    published = np.array(PUBLISHED[n_hidden])
    ratios, theirs = mean[1:] / mean[:-1], published[1:] / published[:-1]
    assert np.all(ratios < 2 * theirs) and np.all(theirs < 2 * ratios), (ratios, theirs)
