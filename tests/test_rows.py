"""`fit(rows=...)`: as on `X[rows], y[rows]`, to the same bits and without a copy."""
import tracemalloc

import numpy as np
import pytest
from networks import MOMENTUM, NUMBERS, TEXT, X_VALID, N, X, bits, network, targets

import fastbp
from fastbp import LBFGS, Network
from fastbp.losses import LOSSES

ROWS = np.array([3, 29, 0, 11, 11, 5, 17, 3, 8, 22, 14, 9, 26])      # with repeats, in no order
WEIGHTS = np.random.default_rng(2).uniform(size=N)


def fitted(rows, X=X, y=NUMBERS, loss="softmax_cross_entropy", **settings):
    net = network(loss)
    return net, net.fit(X, y, rows=rows, **{"epochs": 3, "batch_size": 4, "optimizer": MOMENTUM} | settings)


def same(ours, theirs):
    """Parameters and histories, but for seconds."""
    (net, history), (twin, other) = ours, theirs
    assert bits(net) == bits(twin)
    for name in ("loss", "metric", "val_loss", "val_metric", "samples", "n_samples"):
        assert getattr(history, name) == getattr(other, name)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_are_those_samples_alone(loss):
    y = targets(loss)
    same(fitted(ROWS, y=y, loss=loss), fitted(None, X[ROWS], y[ROWS], loss))


@pytest.mark.parametrize("settings", [
    {"shuffle": False}, {"batch_size": 100}, {"optimizer": LBFGS()}, {"validation_data": (X_VALID, NUMBERS[:11])},
    {"class_weight": "balanced"}, {"class_weight": {1: 3.0}}], ids=str)
def test_rows_with_other_settings(settings):
    same(fitted(ROWS, **settings), fitted(None, X[ROWS], NUMBERS[ROWS], **settings))


@pytest.mark.parametrize("optimizer", [MOMENTUM, LBFGS()], ids=["momentum", "lbfgs"])
def test_weights_go_with_their_samples(optimizer):
    ours = fitted(ROWS, sample_weight=WEIGHTS, class_weight="balanced", optimizer=optimizer)
    same(ours, fitted(None, X[ROWS], NUMBERS[ROWS], sample_weight=WEIGHTS[ROWS], class_weight="balanced", optimizer=optimizer))


def test_labels_of_all_samples_are_classes():
    net, _ = fitted(np.flatnonzero(TEXT != "c"), y=TEXT)
    assert net.classes_.tolist() == ["a", "b", "c"]


def test_nobody_looks_at_the_other_rows():
    spoilt = np.where(np.isin(np.arange(N), ROWS)[:, None], X, np.nan)
    same(fitted(ROWS, spoilt), fitted(ROWS))


def test_a_divergence_names_the_row_of_X():
    spoilt = np.where(np.arange(N)[:, None] == 22, np.nan, X)
    with pytest.raises(fastbp.DivergenceError, match="because X row 22 is not"):
        fitted(ROWS, spoilt)


def test_a_checkpoint_knows_its_rows(tmp_path):
    path = tmp_path / "c"
    fitted(ROWS, epochs=2, callbacks=[fastbp.Checkpoint(path)])
    same(fitted(ROWS, epochs=5, resume=path), fitted(ROWS, epochs=5))
    for others in (ROWS[::-1], None):
        with pytest.raises(ValueError, match="checkpoint of another fit: .*rows is not the same"):
            fitted(others, epochs=5, resume=path)


def test_X_is_not_copied():
    big, net = np.zeros((20_000, 100), np.float32), Network([100, 2, 2], seed=0)
    tracemalloc.start()
    try:
        net.fit(big, np.zeros(20_000, int), epochs=1, rows=np.arange(0, 20_000, 2))
        assert tracemalloc.get_traced_memory()[1] < big.nbytes / 4          # y and orders have 8 bytes a sample, X 400
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows, message", [
    ([], "rows must be one integer or more, the places of samples, not float64"),
    ([0.0, 1.0], "not float64"), (np.ones(N, bool), "not bool .*; of a mask take np.flatnonzero"),
    ([[0, 1]], r"not int64 \(1, 2\)"), (3, "not int64"),
    ([0, -1], r"rows must lie in 0..29, since X has 30 samples; it has -1"), ([30], "it has 30")])
def test_what_is_no_rows(rows, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        net.fit(X, NUMBERS, rows=rows)
    assert bits(net) == bits(network())


def test_rows_are_for_arrays():
    with pytest.raises(ValueError, match="rows must be None for chunks"):
        network().fit(lambda: iter([(X, NUMBERS)]), rows=[0, 1])


def test_rows_must_leave_a_weight():
    with pytest.raises(ValueError, match="must leave a sample that counts more than 0"):
        fitted([0, 1], sample_weight=np.arange(N) > 1)
