"""Ensembles: means and spreads of what their networks say, bootstrap samples, files."""
import os

import numpy as np
import pytest
from networks import N_IN, NUMBERS, TEXT, X_VALID, N, X, bits, network, targets

import fastbp
from fastbp import EarlyStopping, Ensemble, Network
from fastbp.losses import LOSSES

FIT = {"epochs": 4, "batch_size": 7}


def networks(n=3, **options):
    return [network(seed=seed, **options) for seed in range(n)]


def trained(y=NUMBERS, **options):
    ensemble = Ensemble(networks(**options))
    ensemble.fit(X, y, **FIT)
    return ensemble


def one_output(loss):
    return Ensemble([Network([N_IN, 4, 1], loss=loss, dtype="float64", seed=seed) for seed in range(3)])


# Predictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_means(dtype):
    ensemble = trained(TEXT, dtype=dtype)
    each = np.array([net.predict_proba(X_VALID) for net in ensemble.networks], float)
    mean = ensemble.predict_proba(X_VALID)
    np.testing.assert_array_equal(mean, each.mean(axis=0).astype(dtype), strict=True)
    assert ensemble.predict(X_VALID).tolist() == np.array(["a", "b", "c"])[each.mean(axis=0).argmax(axis=1)].tolist()
    np.testing.assert_array_equal(ensemble.spread(X_VALID), each.std(axis=0).astype(dtype), strict=True)
    assert ensemble.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_predictions(loss):
    ensemble = trained(targets(loss), loss=loss)
    prediction, first = ensemble.predict(X_VALID), ensemble.networks[0].predict(X_VALID)
    assert prediction.shape == first.shape and prediction.dtype == first.dtype
    if LOSSES[loss].targets in ("values", "counts"):
        each = np.array([net.predict(X_VALID) for net in ensemble.networks])
        np.testing.assert_array_equal(prediction, each.mean(axis=0))
        np.testing.assert_array_equal(ensemble.spread(X_VALID), each.std(axis=0))


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("y", [TEXT == "a", np.where(TEXT == "a", "yes", "no")], ids=["bool", "text"])
def test_two_labels_of_one_output(loss, y):
    ensemble = one_output(loss)
    ensemble.fit(X, y, **FIT)
    raw = np.array([net.forward(X_VALID) for net in ensemble.networks])[:, :, 0]
    mean = (1 / (1 + np.exp(-raw)) - 0.5 if loss != "hinge" else raw).mean(axis=0)
    assert ensemble.predict(X_VALID).tolist() == ensemble.classes_[(mean > 0).astype(int)].tolist()
    assert set(ensemble.predict(X)) == set(np.unique(y).tolist())


def test_one_number_has_one_dimension():
    ensemble = one_output("squared_error")
    ensemble.fit(X, X[:, 0], **FIT)
    assert ensemble.predict(X_VALID).shape == ensemble.spread(X_VALID).shape == (len(X_VALID),)


def test_a_loss_without_probabilities_has_none():
    with pytest.raises(ValueError, match="squared_error gives no probabilities"):
        trained(targets("squared_error"), loss="squared_error").predict_proba(X)


# Training ---------------------------------------------------------------------------------------------------


def test_a_fit_is_that_of_all_networks():
    ensemble, twins = Ensemble(networks()), networks()
    histories = ensemble.fit(X, NUMBERS, n_threads=2, **FIT)
    assert [history.loss for history in histories] == [twin.fit(X, NUMBERS, **FIT).loss for twin in twins]
    assert [bits(net) for net in ensemble.networks] == [bits(twin) for twin in twins]


def test_bootstrap_samples_are_drawn_with_repeats(monkeypatch):
    seen = []

    def watch(networks, X, y, each, n_threads):
        seen.append([own["rows"] for own in each])
    monkeypatch.setattr(fastbp.many, "fit_many", watch)
    nets = [network(seed=0), network(seed=0), network(seed=1)]          # the first two are the same
    for _ in range(2):
        Ensemble(nets).fit(X, NUMBERS, bootstrap=True)
    rows, again = np.array(seen)
    assert (rows == again).all() and rows.shape == (3, N) and 0 <= rows.min() and rows.max() < N
    assert len({its.tobytes() for its in rows}) == 3
    assert all(N / 2 < len(set(its)) < 0.8 * N for its in rows)         # 63 % on average


def test_bootstrap_is_a_fit_on_rows():
    ensemble, other = Ensemble(networks()), Ensemble(networks())
    ensemble.fit(X, NUMBERS, bootstrap=True, **FIT)
    other.fit(X, NUMBERS, **FIT)
    assert not {bits(net) for net in ensemble.networks} & {bits(net) for net in other.networks}
    assert ensemble.spread(X).max() > 0


def test_each_network_has_callbacks_of_its_own():
    ensemble, calls = Ensemble(networks()), []
    stopping = EarlyStopping("loss", patience=2, min_delta=9)
    histories = ensemble.fit(X, NUMBERS, callbacks=[stopping, lambda net, history: calls.append(net)], **FIT)
    assert [history.n_epochs for history in histories] == [3, 3, 3] and len(calls) == 9
    assert stopping.best is None and set(map(id, calls)) == set(map(id, ensemble.networks))


@pytest.mark.parametrize("callback", [fastbp.CSVLog("x"), fastbp.Checkpoint("x"), fastbp.TensorBoard("x")], ids=type)
def test_callbacks_that_write_files_are_refused(callback):
    with pytest.raises(ValueError, match="callbacks must not write files, which all 3 networks would write: '.*x'"):
        Ensemble(networks()).fit(X, NUMBERS, callbacks=[callback])


def test_an_ensemble_takes_chunks():
    def chunks():
        return iter([(X[:20], NUMBERS[:20]), (X[20:], NUMBERS[20:])])
    ensemble, twins = Ensemble(networks()), networks()
    ensemble.fit(chunks, **FIT)
    for twin in twins:
        twin.fit(chunks, **FIT)
    assert [bits(net) for net in ensemble.networks] == [bits(twin) for twin in twins]
    with pytest.raises(ValueError, match="bootstrap must be False for chunks"):
        ensemble.fit(chunks, bootstrap=True)


def test_rows_and_bootstrap_exclude_each_other():
    with pytest.raises(ValueError, match="rows must not be given with bootstrap"):
        Ensemble(networks()).fit(X, NUMBERS, bootstrap=True, rows=[1])
    Ensemble(networks()).fit(X, NUMBERS, rows=[0, 1, 2], **FIT)


# What is no ensemble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("other, message", [
    (network("squared_error"), "5, 3 and squared_error"), (Network([N_IN, 2]), "5, 2 and softmax_cross_entropy"),
    (Network([4, 3]), "4, 3 and softmax_cross_entropy")])
def test_networks_must_be_alike(other, message):
    with pytest.raises(ValueError, match=r"networks\[1\] must have 5 inputs, 3 outputs and the loss softmax_cross_entropy as "
                       r"networks\[0\]; it has " + message):
        Ensemble([network(), other])


def test_networks_are_different_objects():
    net = network()
    with pytest.raises(ValueError, match=r"networks\[1\] is networks\[0\]"):
        Ensemble([net, net])
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "spread"])
def test_networks_must_know_the_same_classes(method):
    a, b = networks(2)
    a.fit(X, NUMBERS, epochs=1)
    b.fit(X, TEXT, epochs=1)
    with pytest.raises(ValueError, match=r"networks\[1\] must have been trained on the same classes"):
        getattr(Ensemble([a, b]), method)(X)


# Files ------------------------------------------------------------------------------------------------------


def test_a_saved_ensemble_predicts_the_same(tmp_path):
    ensemble = trained(TEXT)
    ensemble.save(tmp_path / "e")
    again = Ensemble.load(tmp_path / "e")
    assert len(again) == 3 and [bits(net) for net in again.networks] == [bits(net) for net in ensemble.networks]
    assert again.predict(X_VALID).tolist() == ensemble.predict(X_VALID).tolist()
    assert fastbp.load(tmp_path / "e" / "0001.safetensors").seed == 1
    assert os.listdir(tmp_path) == ["e"] and "Ensemble of 3" in repr(again)


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "e").write_text("mine")
    with pytest.raises(FileExistsError, match="directory must not be there yet"):
        trained().save(tmp_path / "e")
    assert (tmp_path / "e").read_text() == "mine" and os.listdir(tmp_path) == ["e"]


def test_half_an_ensemble_is_none(tmp_path, monkeypatch):
    ensemble = trained()
    monkeypatch.setattr(ensemble.networks[2], "save", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ensemble.save(tmp_path / "e")
    assert os.listdir(tmp_path) == []


def test_what_is_no_ensemble_is_not_loaded(tmp_path):
    with pytest.raises(FileNotFoundError):
        Ensemble.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="at least one Network"):
        Ensemble.load(tmp_path)
    trained().save(tmp_path / "e")
    (tmp_path / "e" / "0001.safetensors").write_bytes(b"broken")
    with pytest.raises(fastbp.FormatError, match="0001.safetensors"):
        Ensemble.load(tmp_path / "e")
