"""Callbacks: when they are called, what they may do, and those that come with the package."""
import copy
import csv
import json
import pickle
import sys
import types

import numpy as np
import pytest
from networks import MOMENTUM, X, bits, network, state, targets

import fastbp
from fastbp import SGD


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


class Every:
    """A callback after every so many steps, that notes when it was called."""

    def __init__(self, every, stop_at=None):
        self.every, self.stop_at, self.calls = every, stop_at, []

    def __call__(self, net, history):
        self.calls.append((history.step, history.n_epochs, history.running_loss))
        return history.step == self.stop_at


def test_a_callback_may_be_called_every_so_many_steps():
    net, y, by_steps, by_epochs = network(), targets("softmax_cross_entropy"), Every(3), []
    history = net.fit(X, y, epochs=4, batch_size=8, callbacks=[by_steps, lambda net, history: by_epochs.append(history.step)])
    assert [call[:2] for call in by_steps.calls] == [(3, 0), (6, 1), (9, 2), (12, 2), (15, 3)]      # 4 steps an epoch
    assert by_epochs == [4, 8, 12, 16] and history.running_loss is None
    twin = network()
    assert twin.fit(X, y, epochs=4, batch_size=8).loss == history.loss and state(net) == state(twin)
    assert by_steps.calls[3][2] == history.loss[2]      # after the last step of an epoch it is the epoch's


def test_a_callback_may_stop_amid_an_epoch():
    net, twin, y, seen = network(), network(), targets("softmax_cross_entropy"), []
    history = net.fit(X, y, epochs=4, batch_size=8, shuffle=False, validation_data=(X, y), callbacks=[
        Every(2, stop_at=6), lambda net, history: seen.append(history.samples[-1])])
    twin.fit(X, y, epochs=1, batch_size=8, shuffle=False)
    losses = [twin.partial_fit(X[i:i + 8], y[i:i + 8]) for i in (0, 8)]
    assert state(net)[0] == state(twin)[0] and net.n_epochs == 2 and seen == [30, 16]
    assert history.loss[1] == pytest.approx(np.mean(losses), rel=1e-14) and len(history.val_loss) == 2


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy"])
def test_the_metric_of_a_part_of_an_epoch_is_of_that_part(loss):
    net, y = network(loss), targets(loss)
    history = net.fit(X, y, epochs=1, batch_size=15, shuffle=False, optimizer=SGD(1e-300), callbacks=[Every(1, stop_at=1)])
    raw = network(loss).forward(X[:15])
    wanted = (1 - ((raw - y[:15]) ** 2).sum() / 15 / (((y - y.mean(axis=0)) ** 2).sum() / 30) if loss == "squared_error"
              else (raw.argmax(axis=1) == y[:15]).mean())
    assert history.metric == [pytest.approx(wanted, rel=1e-12)]


def test_parameters_set_amid_an_epoch_are_those_that_a_divergence_goes_back_to():
    net, start, y = network("squared_error"), network(seed=9), np.full((30, 3), 1e3)
    optimizer = SGD(lambda step: 1e308 if step == 4 else 1e-9)      # times a gradient of 1e3, it overflows

    class Set(Every):
        def __call__(self, net, history):
            if history.step == 3:
                net.set_parameters(start.weights, start.biases)
    with pytest.raises(fastbp.DivergenceError) as caught:
        net.fit(X, y, epochs=1, batch_size=5, shuffle=False, optimizer=optimizer, callbacks=[Set(3)])
    twin = network("squared_error", seed=9)
    twin.partial_fit(X[15:20], y[15:20], SGD(1e-9))
    assert caught.value.step == 4 and state(net)[0] == state(twin)[0]


@pytest.mark.parametrize("every", [0, -1, 1.5, "steps", True, None])
def test_a_wrong_every_is_named(every):
    with pytest.raises((TypeError, ValueError), match="^every "):
        fastbp.Checkpoint("x", every=every)
    with pytest.raises((TypeError, ValueError), match="^every of "):
        network().fit(X, targets("softmax_cross_entropy"), callbacks=[Every(every)])


class Noting:
    """Everything that a callback may be asked."""

    def __init__(self):
        self.calls = []

    def __call__(self, net, history):
        self.calls.append("epoch")

    def begin(self, net, history):
        self.calls.append("begin")

    def finish(self, net, history):
        self.calls.append("finish")

    def close(self):
        self.calls.append("close")


def test_a_callback_is_told_of_the_beginning_and_the_end():
    net, y, noting = network(), targets("softmax_cross_entropy"), Noting()
    net.fit(X, y, epochs=2, callbacks=[noting])
    assert noting.calls == ["begin", "epoch", "epoch", "finish", "close"]
    noting.calls.clear()
    with pytest.raises(ZeroDivisionError):
        net.fit(X, y, epochs=2, callbacks=[noting, lambda *_: 1 // 0])
    assert noting.calls == ["begin", "epoch", "close"]


# Early stopping ---------------------------------------------------------------------------------------------


def stopping(values, **options):
    """An early stopping on given values; epochs it let pass, and the callback."""
    given = iter(values)
    callback = fastbp.EarlyStopping(lambda net: next(given), **({"mode": "min"} | options))
    history = network().fit(X, targets("softmax_cross_entropy"), epochs=len(values), callbacks=[callback])
    return history.n_epochs, callback


@pytest.mark.parametrize("values, options, n_epochs, best", [
    ([3, 2, 1, 0], dict(patience=1), 4, (0, 3)), ([3, 3, 2, 1], dict(patience=1), 2, (3, 0)),
    ([3, 4, 2, 5, 6, 1], dict(patience=2), 5, (2, 2)), ([3, 4, 5, 2], dict(patience=3), 4, (2, 3)),
    ([3, 2.9, 2.8, 2.7], dict(patience=2, min_delta=0.15), 4, (2.8, 2)), ([1, 2, 3, 2], dict(patience=1, mode="max"), 4, (3, 2)),
    ([5, 4, 3, 2], dict(target=3.5), 3, (3, 2)), ([5, 4, 4], dict(target=4), 2, (4, 1)),
    ([np.nan, 2, np.nan, np.nan, 1], dict(patience=2), 4, (2, 1)), ([np.nan] * 4, dict(patience=3), 3, (None, None))], ids=str)
def test_early_stopping_waits_for_something_better(values, options, n_epochs, best):
    stopped, callback = stopping(values, **options)
    assert (stopped, callback.best, callback.best_epoch) == (n_epochs, *best)


@pytest.mark.parametrize("monitor, better", [("val_loss", min), ("loss", min), ("val_metric", max), ("metric", max)])
def test_the_best_parameters_come_back_also_when_all_epochs_have_passed(monitor, better):
    layers = [5, fastbp.Dense(7, "tanh", normalization="batch"), 3]
    net, kept = fastbp.Network(layers, dtype="float64", seed=0), []
    stop, y = fastbp.EarlyStopping(monitor, patience=50), targets("softmax_cross_entropy")
    history = net.fit(X, y, epochs=12, optimizer=SGD(2.0), validation_data=(X[::-1] + 1, y), callbacks=[
        stop, lambda net, history: kept.append(bits(net))])
    values = getattr(history, monitor)
    assert stop.best == better(values) and stop.best_epoch == values.index(better(values))
    assert bits(net) == kept[stop.best_epoch] and len(set(kept)) == 12
    free = fastbp.Network(layers, dtype="float64", seed=0)
    free.fit(X, y, epochs=12, optimizer=SGD(2.0), validation_data=(X[::-1] + 1, y), callbacks=[
        fastbp.EarlyStopping(monitor, patience=50, restore_best=False)])
    assert bits(free) == kept[-1]


def test_early_stopping_forgets_between_fits():
    stop, y = fastbp.EarlyStopping("loss", patience=1), targets("softmax_cross_entropy")
    for _ in range(2):
        assert network().fit(X, y, epochs=5, optimizer=SGD(0.01), callbacks=[stop]).n_epochs == 5
    assert stop.best_epoch == 4


def test_the_best_of_averages_is_the_average():
    net, kept, y = network(), [], targets("softmax_cross_entropy")
    net.fit(X, y, epochs=8, optimizer=SGD(2.0, average=0.9), callbacks=[
        fastbp.EarlyStopping(lambda net: net.evaluate(X, y)[0], mode="min"),
        lambda net, history: kept.append((net.evaluate(X, y)[0], bits(net)))])
    assert bits(net) == min(kept)[1]


@pytest.mark.parametrize("settings, message", [
    (dict(monitor="accuracy"), "monitor must be one of val_loss, val_metric, loss, metric; not 'accuracy'"),
    (dict(mode="lowest"), "mode must be one of auto, min, max"), (dict(monitor=len), "mode must be 'min' or 'max'"),
    (dict(patience=0), "patience must be at least 1"), (dict(min_delta=-1), "min_delta must be finite and at least 0"),
    (dict(target="low"), "target must be a number"), (dict(restore_best=1), "restore_best must be True or False")])
def test_a_wrong_setting_of_early_stopping_is_named(settings, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        fastbp.EarlyStopping(**settings)


def test_early_stopping_without_validation_data_is_an_error_before_anything_changes():
    net = network()
    with pytest.raises(ValueError, match=r"EarlyStopping\(monitor='val_loss'\) needs validation_data"):
        net.fit(X, targets("softmax_cross_entropy"), callbacks=[fastbp.EarlyStopping()])
    assert state(net) == state(network())


# Time -------------------------------------------------------------------------------------------------------


def test_a_time_limit_ends_a_fit_amid_an_epoch():
    X, y = np.random.default_rng(0).standard_normal((4000, 5)), np.arange(4000) % 3
    limit, net = fastbp.TimeLimit(0.05), fastbp.Network([5, 64, 64, 3], seed=0)
    history = net.fit(X, y, epochs=10**6, batch_size=1, callbacks=[limit], n_threads=1)
    assert history.n_epochs < 10**6 and history.loss and np.isfinite(net.evaluate(X, y)[0])
    assert network().fit(X[:30], y[:30], epochs=2, callbacks=[fastbp.TimeLimit(1e6)]).n_epochs == 2
    with pytest.raises(ValueError, match="seconds must be finite and greater than 0"):
        fastbp.TimeLimit(0)


# Reports ----------------------------------------------------------------------------------------------------


def test_logs_hold_a_line_an_epoch(tmp_path):
    y = targets("softmax_cross_entropy")
    logs = [fastbp.CSVLog(tmp_path / "log.csv"), fastbp.JSONLog(str(tmp_path / "log.jsonl"))]
    for _ in range(2):                                  # the second fit begins anew
        history = network().fit(X, y, epochs=3, validation_data=(X, y), callbacks=logs)
    head, *rows = csv.reader((tmp_path / "log.csv").read_text().splitlines())
    assert head == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    assert [float(row[1]) for row in rows] == history.loss and [row[0] for row in rows] == ["1", "2", "3"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [head] * 3 and [line["val_loss"] for line in lines] == history.val_loss
    network().fit(X, y, epochs=2, optimizer=fastbp.LBFGS(), callbacks=logs)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == [None, None]        # JSON has no NaN


class FakeWriter:
    made = []

    def __init__(self, directory, purge_step=None, filename_suffix=""):
        self.directory, self.scalars = directory, {}
        FakeWriter.made.append(self)

    def add_scalar(self, name, value, step):
        self.scalars.setdefault(name, []).append((step, value))

    def flush(self):
        pass

    def close(self):
        self.scalars["closed"] = True


def test_tensorboard_gets_the_history(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=FakeWriter))
    history = network().fit(X, targets("softmax_cross_entropy"), epochs=2, health=True, callbacks=[fastbp.TensorBoard(tmp_path)])
    scalars = FakeWriter.made[-1].scalars
    assert scalars["loss"] == list(zip((1, 2), history.loss)) and scalars["closed"]
    assert scalars["health/dW/layer_1"] == [(i + 1, table[1, 1]) for i, table in enumerate(history.health)]


def test_tensorboard_without_its_package_is_an_error_before_anything_changes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    net = network()
    with pytest.raises(ImportError):
        net.fit(X, targets("softmax_cross_entropy"), callbacks=[fastbp.TensorBoard(tmp_path)])
    assert state(net) == state(network())


@pytest.mark.parametrize("make", [fastbp.CSVLog, fastbp.JSONLog, fastbp.TensorBoard, fastbp.Checkpoint])
def test_a_path_that_is_none_is_named(make):
    with pytest.raises(TypeError, match="^(path|directory) must be a path, not 5"):
        make(5)


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_a_terminal_gets_a_bar_under_whole_lines(capsys, monkeypatch, has_tqdm):
    if has_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    network().fit(X, targets("softmax_cross_entropy"), epochs=4, verbose=1)
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == [f"epoch {i}/4" for i in (1, 2, 3, 4)]
    assert ("75 %" in err) == has_tqdm and (err == "") != has_tqdm
