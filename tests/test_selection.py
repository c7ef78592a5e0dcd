"""Cross-validation and the search on it: folds, scores, and that it is single fits all the same."""
import itertools

import numpy as np
import pytest
from networks import N_IN, NUMBERS, TEXT, X_VALID, N, X, bits, network, targets

import fastbp
from fastbp import SGD, Adam, EarlyStopping, Network, cross_validate, search
from fastbp.losses import LOSSES

FIT = {"epochs": 4, "batch_size": 7}
LAYERS = {"layers": [[N_IN, 3], [N_IN, 6, 3]]}
RATES = [SGD(0.01), SGD(0.1)]


# Folds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cv", [2, 3, 4, 7, N])
@pytest.mark.parametrize("y, loss", [(TEXT, "softmax_cross_entropy"), (targets("squared_error"), "squared_error")],
                         ids=["labels", "numbers"])
def test_every_sample_is_held_out_once(cv, y, loss):
    found = cross_validate(network(loss), X, y, cv, epochs=1)
    tests = [test for _, test in found.folds]
    assert sorted(np.concatenate(tests).tolist()) == list(range(N))
    assert {len(test) for test in tests} <= {N // cv, -(-N // cv)}
    for train, test in found.folds:
        assert sorted([*train, *test]) == list(range(N))


def test_labels_are_spread_evenly():
    y = np.array(["rare"] * 5 + ["often"] * 12 + ["other"] * 13)
    for _, test in cross_validate(network(), X, y, 5, epochs=1).folds:
        counts = [(y[test] == label).sum() for label in ("rare", "often", "other")]
        assert counts[0] == 1 and counts[1] in (2, 3) and counts[2] in (2, 3)


def test_folds_are_drawn_by_the_seed():
    def folds(seed):
        return np.array([test for _, test in cross_validate(network(seed=seed), X, NUMBERS, epochs=1).folds]).tolist()
    assert folds(0) == folds(0) != folds(1)


def test_folds_may_be_given():
    pairs = [(np.arange(20), [20, 21]), ([1, 2, 3], np.arange(5, 30))]
    found = cross_validate(network(), X, NUMBERS, iter(pairs), epochs=1)
    assert [(train.tolist(), test.tolist()) for train, test in found.folds] == [(list(a), list(b)) for a, b in pairs]
    assert [history.n_samples for history in found.histories] == [20, 3]


def test_the_splitters_of_scikit_learn_fit():
    splits = pytest.importorskip("sklearn.model_selection").ShuffleSplit(3, random_state=0)
    assert len(cross_validate(network(), X, NUMBERS, splits.split(X), epochs=1).scores) == 3


# Cross-validation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error", "binary_cross_entropy"])
def test_a_fold_is_a_single_fit(loss):
    y = targets(loss)
    net, before = network(loss), bits(network(loss))
    found = cross_validate(net, X, y, 3, optimizer=Adam(0.01), **FIT)
    for i, (train, test) in enumerate(found.folds):
        twin = network(loss)
        history = twin.fit(X[train], y[train], optimizer=Adam(0.01), **FIT)
        assert bits(found.networks[i]) == bits(twin) and found.histories[i].loss == history.loss
        assert (found.losses[i], found.scores[i]) == twin.evaluate(X[test], y[test])
    assert bits(net) == before and net.n_epochs == 0
    assert found.mean == found.scores.mean() and found.std == found.scores.std()


def test_scores_are_larger_the_better():
    def square(raw, y):
        return ((raw - y) ** 2).sum() / len(y), 2 * (raw - y) / len(y)
    found = cross_validate(network(square), X, targets("squared_error"), 3, **FIT)
    assert (found.scores == -found.losses).all() and (found.losses > 0).all()


def test_scores_of_ones_own():
    seen = []

    def score(net, X, y):
        seen.append((net, X, y))
        return len(seen)
    found = cross_validate(network(), X, TEXT, 3, scoring=score, **FIT)
    assert found.scores.tolist() == [1, 2, 3]
    for (net, data, y), its, (_, test) in zip(seen, found.networks, found.folds):
        assert net is its and (data == X[test]).all() and (y == TEXT[test]).all()


def test_what_is_held_out_can_be_watched():
    stopping = EarlyStopping("val_loss", patience=1, min_delta=9)
    found = cross_validate(network(), X, NUMBERS, 3, validate=True, callbacks=[stopping], **FIT)
    assert [history.n_epochs for history in found.histories] == [2, 2, 2] and stopping.best is None
    assert [history.val_loss[0] for history in found.histories] == found.losses.tolist()   # it went back to the "best"


def test_a_diverged_fold_has_no_score():
    pairs = [(np.arange(first, first + 10), np.arange(20, N)) for first in (10, 0, 9)]
    found = cross_validate(network(), np.where(np.arange(N)[:, None] == 9, np.nan, X), NUMBERS, pairs, **FIT)
    assert np.isnan(found.scores).tolist() == np.isnan(found.losses).tolist() == [False, True, True] and np.isnan(found.mean)
    assert [history.diverged is not None for history in found.histories] == [False, True, True]


def test_folds_make_an_ensemble():
    found = cross_validate(network(), X, TEXT, 3, **FIT)
    assert fastbp.Ensemble(found.networks).predict(X_VALID).shape == (len(X_VALID),)


# Weights of the samples held out ----------------------------------------------------------------------------


WEIGHTS = np.random.default_rng(4).integers(0, 4, N)


@pytest.mark.parametrize("loss", [*LOSSES, fastbp.losses.Quantile([0.2, 0.5, 0.9])], ids=str)
def test_what_is_held_out_counts_by_its_weights(loss):
    """As if each sample were there as often as its weight says."""
    y = NUMBERS / 2.0 if not isinstance(loss, str) else targets(loss)
    if isinstance(loss, str) and LOSSES[loss].targets == "values":
        y[np.arange(0, N, 4), 1] = np.nan
    elif isinstance(loss, str) and LOSSES[loss].targets == "binary":
        y = (X[:, :3] > 0) * 1.0
    settings, plain = FIT | {"optimizer": Adam(0.03), "sample_weight": WEIGHTS}, []
    found = cross_validate(network(loss), X, y, 3, validate=True, **settings)
    for i, (train, test) in enumerate(found.folds):
        twin = network(loss)
        twin.fit(X, y, rows=train, **settings)
        assert bits(twin) == bits(found.networks[i])
        repeated = np.repeat(test, WEIGHTS[test])
        assert (found.losses[i], found.scores[i]) == pytest.approx(twin.evaluate(X[repeated], y[repeated]), rel=1e-12)
        assert found.histories[i].val_loss[-1] == found.losses[i]
        plain.append(twin.evaluate(X[test], y[test])[1])
    assert found.scores.tolist() != plain


def test_weighted_scores_by_hand():
    held_out, weights = np.array([0, 1, 2, 3]), np.ones(N)
    weights[held_out] = [0.5, 0.25, 2, 0]
    found = cross_validate(network(), X, NUMBERS, [(np.arange(4, N), held_out)], sample_weight=weights, epochs=1)
    right = found.networks[0].predict(X[:4]) == NUMBERS[:4]
    assert found.scores[0] == (0.5 * right[0] + 0.25 * right[1] + 2 * right[2]) / 2.75
    y = targets("squared_error")
    found = cross_validate(network("squared_error"), X, y, [(np.arange(4, N), held_out)], sample_weight=weights, epochs=1)
    squares = (found.networks[0].predict(X[:3]) - y[:3]) ** 2
    mean = (0.5 * y[0] + 0.25 * y[1] + 2 * y[2]) / 2.75
    r2 = 1 - (weights[:3] @ squares).sum() / (weights[:3] @ (y[:3] - mean) ** 2).sum()
    assert found.scores[0] == pytest.approx(r2, rel=1e-12)
    assert found.losses[0] == pytest.approx((weights[:3] @ squares).sum() / 2 / 2.75, rel=1e-12)


def test_scores_of_ones_own_get_the_weights():
    seen = []

    def score(net, X, y, sample_weight):
        seen.append(sample_weight)
        return len(seen)
    found = cross_validate(network(), X, NUMBERS, 3, scoring=score, sample_weight=WEIGHTS.tolist(), **FIT)
    for its, (_, test) in zip(seen, found.folds):
        assert its.tolist() == WEIGHTS[test].tolist()
    assert found.scores.tolist() == [1, 2, 3]


def test_a_search_may_weigh():
    found = search([{"sample_weight": WEIGHTS}, {}], X, TEXT, 3, seed=5, layers=[N_IN, 3], refit=False, **FIT)
    for row, weighted in zip(found.table, ({"sample_weight": WEIGHTS}, {})):
        alone = cross_validate(Network([N_IN, 3], seed=5), X, TEXT, 3, **weighted, **FIT)
        assert row["scores"].tolist() == alone.scores.tolist() and row["losses"].tolist() == alone.losses.tolist()


@pytest.mark.parametrize("wrong, error, message", [
    ({"net": "net"}, TypeError, "net must be a Network, not 'net'"),
    ({"cv": 1}, ValueError, "cv must be from 2 to the number of samples, 30; not 1"), ({"cv": 31}, ValueError, "30; not 31"),
    ({"cv": True}, TypeError, "cv must be an integer"), ({"cv": 2.5}, TypeError, "cv must be a number of folds or pairs"),
    ({"cv": [1, 2]}, TypeError, "cv must be a number of folds or pairs"), ({"cv": []}, ValueError, "at least one pair"),
    ({"cv": [([0, 1], [30])]}, ValueError, r"test of cv\[0\] must lie in 0..29"),
    ({"cv": [([], [0])]}, ValueError, r"train of cv\[0\] must be one integer or more"),
    ({"rows": [0]}, ValueError, "rows must not be given here"),
    ({"validate": True, "validation_data": (X, NUMBERS)}, ValueError, "validation_data must not be given here"),
    ({"scoring": "r2"}, TypeError, r"scoring must be a function \(net, X, y\) or None"),
    ({"scoring": lambda net, X, y: "good"}, TypeError, "what scoring returns must be a number"),
    ({"verbose": 1}, TypeError, "cross_validate takes no 'verbose'"), ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ({"callbacks": [fastbp.CSVLog("x")]}, ValueError, "callbacks must not write files"),
    ({"y": NUMBERS[1:]}, ValueError, "y must have one entry a sample"),
    ({"sample_weight": np.ones(N - 1)}, ValueError, "sample_weight must have one entry a sample"),
    ({"sample_weight": np.arange(N) - 1}, ValueError, "sample_weight must be at least 0; row 0 is -1"),
    ({"sample_weight": np.arange(N) == 3, "cv": 2}, ValueError, "leave a sample held out in fold [01] that counts more than 0"),
    ({"sample_weight": np.ones(N), "scoring": lambda net, X, y: 1}, TypeError,
     r"scoring must take \(net, X, y, sample_weight\) where sample_weight is given; <function"),
])
def test_what_is_wrong_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        cross_validate(**{"net": network(), "X": X, "y": NUMBERS, "epochs": 1} | wrong)


def test_a_trained_network_has_seen_what_is_held_out():
    for train in (lambda net: net.fit(X, NUMBERS, epochs=1), lambda net: net.partial_fit(X, NUMBERS)):
        net = network()
        train(net)
        with pytest.raises(ValueError, match="net must not be trained yet"):
            cross_validate(net, X, NUMBERS)


# Search -----------------------------------------------------------------------------------------------------


def test_a_search_is_cross_validations():
    found = search(LAYERS | {"optimizer": RATES}, X, TEXT, 3, seed=5, activation="tanh", **FIT)
    assert [row["settings"] for row in found.table] == [
        {"layers": layers, "optimizer": optimizer} for layers, optimizer in itertools.product(LAYERS["layers"], RATES)]
    for row in found.table:
        net = Network(row["settings"]["layers"], activation="tanh", seed=5)
        alone = cross_validate(net, X, TEXT, 3, optimizer=row["settings"]["optimizer"], **FIT)
        assert row["scores"].tolist() == alone.scores.tolist() and row["losses"].tolist() == alone.losses.tolist()
        assert (row["mean"], row["std"]) == (alone.mean, alone.std)
    means = [row["mean"] for row in found.table]
    assert found.best == found.table[int(np.argmax(means))]["settings"]
    twin = Network(found.best["layers"], activation="tanh", seed=5)
    twin.fit(X, TEXT, optimizer=found.best["optimizer"], **FIT)
    assert bits(found.network) == bits(twin) and found.history.n_epochs == FIT["epochs"]


def test_settings_may_be_drawn():
    candidates = {"layers": [[N_IN, 3]], "optimizer": lambda rng: SGD(rng.uniform(0.01, 0.1)), "batch_size": (4, 8)}
    first, again, other = (search(candidates, X, NUMBERS, 2, n_draws=9, seed=seed, epochs=1, refit=False) for seed in (0, 0, 1))
    settings = [[row["settings"] for row in found.table] for found in (first, again, other)]
    assert settings[0] == settings[1] != settings[2] and first.network is first.history is None
    rates = [own["optimizer"].learning_rate for own in settings[0]]
    assert len(set(rates)) == 9 and 0.01 <= min(rates) and max(rates) <= 0.1
    assert {own["batch_size"] for own in settings[0]} == {4, 8}


def test_settings_may_be_listed():
    listed = [{"layers": [N_IN, 3], "epochs": 2}, {"layers": [N_IN, 4, 3], "dtype": "float64"}]
    found = search(listed, X, NUMBERS, 2, batch_size=8)
    assert [row["settings"] for row in found.table] == listed and found.best in listed


def test_the_table_is_shown_best_first():
    found = search({"optimizer": [SGD(1e-9), SGD(1e200), SGD(0.5)]}, X, X[:, :1], 2, layers=[N_IN, 1], loss="squared_error",
                   seed=0, batch_size=8, epochs=5)
    lines = str(found).splitlines()
    assert [rate in line for rate, line in zip(("0.5", "1e-09", "1e+200"), lines)] == [True] * 3 and "nan" in lines[2]
    assert found.best == {"optimizer": SGD(0.5)}


def test_if_all_diverge_there_is_no_best():
    with pytest.raises(fastbp.DivergenceError, match="in every candidate a network diverged"):
        search({"optimizer": [SGD(1e200)]}, X, X[:, :1], 2, layers=[N_IN, 1], loss="squared_error", epochs=5, batch_size=8)


def test_callbacks_are_copied_for_each_fit():
    stopping = EarlyStopping("loss", patience=1, min_delta=9)
    found = search({"callbacks": [[], [stopping]]}, X, NUMBERS, 2, layers=[N_IN, 3], refit=False, **FIT)
    assert stopping.best is None and len(found.table) == 2


@pytest.mark.parametrize("candidates, more, error, message", [
    ({"layer": [1]}, {}, TypeError, "candidates takes no 'layer'; it takes layers, activation, .*, rows"),
    ({"seed": [1, 2]}, {}, TypeError, "candidates takes no 'seed'"), ({"y": [1, 2]}, {}, TypeError, "candidates takes no 'y'"),
    (LAYERS, {"verbose": 1}, TypeError, "search takes no 'verbose'"),
    ({"layers": []}, {}, TypeError, r"candidates\['layers'\] must be a list of values to try"),
    ({"epochs": 5}, {"layers": [N_IN, 3]}, TypeError, r"candidates\['epochs'\] must be a list of values to try"),
    ({"epochs": lambda rng: 3}, {"layers": [N_IN, 3]}, TypeError, r"candidates\['epochs'\] must be a list"),
    ([], {}, ValueError, "candidates must be at least one dict"), ([{}, 3], {}, TypeError, r"candidates\[1\] must be a dict"),
    ([{"layer": 3}], {}, TypeError, r"candidates\[0\] takes no 'layer'"), ("grid", {}, TypeError, "candidates must be a list"),
    ({"epochs": [1]}, {}, TypeError, "search needs layers"), (LAYERS, {"n_draws": 0}, ValueError, "n_draws must be at least 1"),
    ([LAYERS], {"n_draws": 3}, ValueError, "n_draws must be None for a sequence of dicts"),
    (LAYERS, {"rows": [0]}, ValueError, "rows must not be given here"), (LAYERS, {"seed": -1}, ValueError, "seed must be"),
])
def test_what_is_no_search_is_named(candidates, more, error, message):
    with pytest.raises(error, match=message):
        search(candidates, X, NUMBERS, **more)
