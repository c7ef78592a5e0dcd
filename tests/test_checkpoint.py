"""A fit that is broken off and resumed ends in the bits of one that was never stopped."""
import contextlib
import csv

import numpy as np
import pytest
from crashes import NUMBERS, VALID, VALUES, Crash, CrashAt, N, X, bits, network, record

import fastbp
from fastbp import LBFGS, SGD, Adam, Checkpoint, Dense, EarlyStopping, Network, TimeLimit, persistence, schedules

OPTIMIZERS = {
    "sgd": SGD(0.1), "momentum": SGD(schedules.Cosine(0.2), momentum=0.9, clip_norm=1.0), "adam": Adam(0.01, amsgrad=True),
    "plateau": fastbp.NAdam(schedules.ReduceOnPlateau(0.01, patience=1)), "ema": Adam(0.01, average=0.9),
    "polyak": fastbp.RMSprop(schedules.Warmup(0.01, 9), momentum=0.5, average="polyak", l2=0.01), "rprop": fastbp.Rprop(),
    "callable": SGD(lambda step: 0.1 / (1 + step)), "lion": fastbp.Lion(weight_decay=0.1)}


def lives(fit, path, rng, longest=25):
    """Fits until one is not broken off. Returns what that one returned, and how many there were."""
    for n in range(1, 100):
        with contextlib.suppress(Crash):
            return fit([CrashAt(int(rng.integers(1, longest))), Checkpoint(path, every=int(rng.integers(1, 4)))], path), n
    raise AssertionError("no progress")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_goes_on_to_the_last_bit(tmp_path, name):
    def fit(callbacks, resume):
        net, stop = network(), EarlyStopping(patience=4)
        history = net.fit(X, NUMBERS, epochs=6, batch_size=8, optimizer=OPTIMIZERS[name], validation_data=VALID,
                          callbacks=[*callbacks, stop], resume=resume)
        return bits(net), net.n_epochs, record(history), stop.best, stop.best_epoch
    (again, n_lives), whole = lives(fit, tmp_path / "c", np.random.default_rng(len(name))), fit([], None)
    assert again == whole and n_lives > 1
    assert fit([Checkpoint(tmp_path / "c")], tmp_path / "c") == whole       # nothing is left to do


@pytest.mark.parametrize("options", [dict(shuffle=False), dict(sample_weight=np.arange(N)), dict(class_weight="balanced"),
                                     dict(batch_size=7, n_threads=2), dict(batch_size=N), dict(batch_size=1000)], ids=str)
def test_whatever_the_data_are_gone_through(tmp_path, options):
    def fit(callbacks, resume):
        net = network(dtype="float64")
        history = net.fit(X, NUMBERS, **{"epochs": 7, "batch_size": 8, "optimizer": Adam()} | options, callbacks=callbacks,
                          resume=resume)
        return bits(net), record(history)
    again, _ = lives(fit, tmp_path / "c", np.random.default_rng(1))
    assert again == fit([], None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_goes_on_to_the_last_bit(tmp_path, dtype):
    def fit(callbacks, resume):
        net = Network([6, Dense(12, "tanh"), 3], loss="huber", dtype=dtype, seed=0)
        history = net.fit(X, VALUES, epochs=20, optimizer=LBFGS(l2=0.01), callbacks=callbacks, resume=resume)
        return bits(net), history.loss, history.metric
    (again, n_lives), whole = lives(fit, tmp_path / "c", np.random.default_rng(2), 12), fit([], None)
    assert again == whole and n_lives > 1


def test_partial_fit_goes_on_from_a_fit_that_was_resumed(tmp_path):
    nets, optimizer = [network(), network()], Adam(0.01, average=0.9)
    nets[0].fit(X, NUMBERS, epochs=3, optimizer=optimizer)
    with pytest.raises(Crash):
        nets[1].fit(X, NUMBERS, epochs=3, optimizer=optimizer, callbacks=[Checkpoint(tmp_path / "c", 1), CrashAt(4)])
    nets[1].fit(X, NUMBERS, epochs=3, optimizer=optimizer, resume=tmp_path / "c")
    for net in nets:
        net.partial_fit(X, NUMBERS, optimizer)
    assert bits(nets[0]) == bits(nets[1])


def test_epochs_may_be_more(tmp_path):
    net, twin = network(), network()
    net.fit(X, NUMBERS, epochs=3, optimizer=Adam(), callbacks=[Checkpoint(tmp_path / "c")])
    history = network().fit(X, NUMBERS, epochs=8, optimizer=Adam(), resume=tmp_path / "c")
    assert history.loss == twin.fit(X, NUMBERS, epochs=8, optimizer=Adam()).loss
    history = network().fit(X, NUMBERS, epochs=2, optimizer=Adam(), resume=tmp_path / "c")     # they are done already
    assert history.n_epochs == 3


def test_what_was_trained_before_the_fit_counts(tmp_path):
    def fit(callbacks, resume):
        net = network()
        net.fit(X, NUMBERS, epochs=2, optimizer=SGD(0.3))
        net.fit(X, NUMBERS, epochs=5, optimizer=Adam(), callbacks=callbacks, resume=resume)
        return bits(net), net.n_epochs
    assert lives(fit, tmp_path / "c", np.random.default_rng(4))[0] == fit([], None)


def test_a_time_limit_interrupts_and_does_not_end(tmp_path):
    whole, n_lives = network(), 0
    wanted = whole.fit(X, NUMBERS, epochs=300, batch_size=4, optimizer=Adam())
    history = fastbp.History("accuracy", 0, 0, "", 0)
    while history.loss != wanted.loss:
        net, n_lives = network(), n_lives + 1
        history = net.fit(X, NUMBERS, epochs=300, batch_size=4, optimizer=Adam(), resume=tmp_path / "c", callbacks=[
            TimeLimit(0.02 * 1.3**n_lives), Checkpoint(tmp_path / "c")])
        assert n_lives < 50
    assert bits(net) == bits(whole) and n_lives > 1


def test_an_end_that_a_callback_called_for_is_kept(tmp_path):
    class StopAt:
        every = 1

        def __init__(self, step):
            self.step = step

        def __call__(self, net, history):
            return history.step == self.step
    for step in (5, 16):        # amid an epoch of 8 steps, and with its last
        path, nets = tmp_path / str(step), [network(), network()]
        options = dict(epochs=5, batch_size=8, callbacks=[StopAt(step), Checkpoint(path)], validation_data=VALID, resume=path)
        histories = [net.fit(X, NUMBERS, **options) for net in nets]
        assert record(histories[0]) == record(histories[1]) and bits(nets[0]) == bits(nets[1])
        assert histories[0].seconds == histories[1].seconds     # nothing was done once more
        assert histories[1].step == step and nets[0].n_epochs == nets[1].n_epochs == -(-step // 8)


def test_a_checkpoint_is_a_model_file(tmp_path):
    net = network()
    net.fit(X, np.array(["a", "b", "c"])[NUMBERS], optimizer=Adam(average=0.9), callbacks=[Checkpoint(tmp_path / "c", every=3)])
    again = fastbp.load(tmp_path / "c")
    assert bits(again) == bits(net) and again.predict(X).tolist() == net.predict(X).tolist()


class Counting:
    """A callback with a state of its own."""

    def __init__(self):
        self.calls, self.seen = 0, [np.zeros(2), {"deep": np.arange(3)}]

    def __call__(self, net, history):
        self.calls += 1
        self.seen[0] = self.seen[0] + history.loss[-1]

    def get_state(self):
        return {"calls": np.int64(self.calls), "seen": self.seen, "none": None, "words": ["a", {"b": 1.5}]}

    def set_state(self, state):
        assert state["none"] is None and state["words"] == ["a", {"b": 1.5}] and state["seen"][1]["deep"].tolist() == [0, 1, 2]
        self.calls, self.seen = state["calls"], state["seen"]


def test_callbacks_of_ones_own_may_keep_a_state(tmp_path):
    def fit(callbacks, resume):
        counting = Counting()
        network().fit(X, NUMBERS, epochs=6, batch_size=8, callbacks=[counting, *callbacks], resume=resume)
        return counting.calls, counting.seen[0].tolist()
    assert lives(fit, tmp_path / "c", np.random.default_rng(5))[0] == fit([], None)


def test_a_log_of_a_resumed_fit_is_that_of_a_whole_one(tmp_path):
    def fit(callbacks, resume):
        logs = [fastbp.CSVLog(tmp_path / "log"), *callbacks]
        network().fit(X, NUMBERS, epochs=6, batch_size=8, validation_data=VALID, callbacks=logs, resume=resume)
        return [row[:-1] for row in csv.reader((tmp_path / "log").read_text().splitlines())]       # without the seconds
    assert lives(fit, tmp_path / "c", np.random.default_rng(6))[0] == fit([], None)


def test_health_is_resumed(tmp_path):
    def fit(callbacks, resume):
        return network().fit(X, NUMBERS, epochs=5, batch_size=8, health=True, callbacks=callbacks, resume=resume).health
    with pytest.raises(Crash):
        fit([Checkpoint(tmp_path / "c"), CrashAt(27)], None)
    np.testing.assert_array_equal(fit([], tmp_path / "c"), fit([], None))


def test_nothing_that_is_not_finite_is_written(tmp_path):
    y = np.full((N, 3), 1e3)
    rate = SGD(lambda step: 1e308 if step == 9 else 1e-9)       # the update overflows, and the loss of that step is finite
    options = dict(loss="squared_error", dtype="float64")
    with pytest.raises(fastbp.DivergenceError) as caught:
        network(**options).fit(X, y, batch_size=5, shuffle=False, optimizer=rate, callbacks=[Checkpoint(tmp_path / "c", every=2)])
    assert (caught.value.epoch, caught.value.step) == (0, 9)
    with pytest.raises(fastbp.DivergenceError) as again:
        network(**options).fit(X, y, batch_size=5, shuffle=False, optimizer=rate, resume=tmp_path / "c")
    assert (again.value.epoch, again.value.step) == (0, 9)
    assert persistence.read(tmp_path / "c")[1]["training"]["step"] == 8
