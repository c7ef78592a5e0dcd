"""A fit that is killed and resumed ends in the bits of one that was never stopped.

Most tests break fits off by an exception. Real kills happen to a process of its own, `python test_checkpoint.py path
kill n_threads`, which trains to the end or dies: by the parent's hand, or by its own amid the writing of a checkpoint.
"""
import contextlib
import csv
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import LBFGS, SGD, Adam, Checkpoint, Dense, EarlyStopping, Network, Scale, TimeLimit, persistence, schedules
from fastbp.checkpoint import PREVIOUS

N = 60
RNG = np.random.default_rng(0)
X, NUMBERS = RNG.standard_normal((N, 6)).astype("f4"), RNG.integers(0, 3, N)
VALUES = RNG.standard_normal((N, 3))
VALID = RNG.standard_normal((20, 6)), RNG.integers(0, 3, 20)
OPTIMIZERS = {
    "sgd": SGD(0.1), "momentum": SGD(schedules.Cosine(0.2), momentum=0.9, clip_norm=1.0), "adam": Adam(0.01, amsgrad=True),
    "plateau": fastbp.NAdam(schedules.ReduceOnPlateau(0.01, patience=1)), "ema": Adam(0.01, average=0.9),
    "polyak": fastbp.RMSprop(schedules.Warmup(0.01, 9), momentum=0.5, average="polyak", l2=0.01), "rprop": fastbp.Rprop(),
    "callable": SGD(lambda step: 0.1 / (1 + step)), "lion": fastbp.Lion(weight_decay=0.1)}


class Crash(Exception):
    pass


class CrashAt:
    """Breaks a fit off after so many steps of this life."""

    every = 1

    def __init__(self, n):
        self.left = n

    def __call__(self, net, history):
        self.left -= 1
        if self.left == 0:
            raise Crash


def network(loss="softmax_cross_entropy", seed=3, **options):
    layers = [6, Scale(), Dense(9, "gelu", dropout=0.3, normalization="batch"), Dense(9, "tanh", residual=True, max_norm=1.0), 3]
    return Network(layers, loss=loss, **{"seed": seed, "input_dropout": 0.1, "input_noise": 0.1} | options)


def bits(net):
    parts = net.get_parameters()
    arrays = [a for name in parts for its in parts[name] if its is not None for a in (its if isinstance(its, tuple) else [its])]
    return b"".join(a.tobytes() for a in arrays)


def record(history):
    """All of it but the seconds."""
    return [getattr(history, name) for name in ("loss", "metric", "val_loss", "val_metric", "learning_rate", "samples", "step")]


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


# Generations ------------------------------------------------------------------------------------------------


def interrupted(path, n_steps=20, every=3):
    """A checkpoint of a fit that was broken off, and the one before it."""
    with pytest.raises(Crash):
        network().fit(X, NUMBERS, epochs=5, batch_size=8, optimizer=Adam(), callbacks=[
            Checkpoint(path, every), CrashAt(n_steps)])


def resumed(path, *callbacks):
    net = network()
    net.fit(X, NUMBERS, epochs=5, batch_size=8, optimizer=Adam(), callbacks=callbacks, resume=path)
    return bits(net)


def step_of(path):
    return persistence.read(path)[1]["training"]["step"]


def previous(path):
    return Path(f"{path}{PREVIOUS}")


def test_two_generations_are_kept(tmp_path):
    interrupted(tmp_path / "c")
    assert (step_of(tmp_path / "c"), step_of(previous(tmp_path / "c"))) == (18, 15)
    assert sorted(os.listdir(tmp_path)) == ["c", "c" + PREVIOUS]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:9] + b"x" + data[10:],
                                    lambda data: data[:-40] + b"x" + data[-39:]], ids=["cut", "empty", "header", "payload"])
def test_a_damaged_newest_generation_falls_back(tmp_path, damage):
    path, whole = tmp_path / "c", resumed(tmp_path / "none")
    interrupted(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=re.escape(str(path)) + ".*going on from the generation before it"):
        assert resumed(path) == whole
    with pytest.warns(UserWarning), pytest.raises(Crash):      # what is written next must not push the good one out
        resumed(path, Checkpoint(path, 1), CrashAt(2))
    assert step_of(path) == 16 and step_of(previous(path)) == 15
    assert resumed(path) == whole
    previous(path).write_bytes(b"")
    assert resumed(path) == whole
    path.write_bytes(b"")
    with pytest.raises(fastbp.FormatError, match=re.escape(repr(str(path)))):
        resumed(path)


def test_a_newest_generation_that_is_gone_falls_back_in_silence(tmp_path):
    interrupted(tmp_path / "c")
    (tmp_path / "c").unlink()
    assert resumed(tmp_path / "c", Checkpoint(tmp_path / "c")) == resumed(tmp_path / "none")


def test_damage_without_a_generation_before_is_an_error(tmp_path):
    (tmp_path / "c").write_bytes(b"nonsense")
    with pytest.raises(fastbp.FormatError):
        resumed(tmp_path / "c")
    network().save(tmp_path / "c")
    with pytest.raises(fastbp.FormatError, match="no checkpoint of a fit; read it with fastbp.load"):
        resumed(tmp_path / "c")


def test_a_fit_that_begins_forgets_what_was_there(tmp_path):
    interrupted(tmp_path / "c")
    interrupted(tmp_path / "c", n_steps=4)
    assert step_of(tmp_path / "c") == 3 and not previous(tmp_path / "c").exists()


def test_what_a_killed_write_left_is_removed(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(Crash))
        patch.setattr(os, "unlink", lambda *_: None)
        with pytest.raises(Crash):
            network().fit(X, NUMBERS, callbacks=[Checkpoint(tmp_path / "c")])
    persistence.write(tmp_path / "other", {}, {})
    (tmp_path / ".fastbp-of-another.tmp").write_bytes(b"")
    assert len(os.listdir(tmp_path)) == 3
    network().fit(X, NUMBERS, epochs=1, callbacks=[Checkpoint(tmp_path / "c")])
    assert sorted(os.listdir(tmp_path)) == [".fastbp-of-another.tmp", "c", "other"]


def test_a_directory_that_is_missing_is_an_error_before_anything_changes(tmp_path):
    net = network()
    with pytest.raises(OSError):
        net.fit(X, NUMBERS, callbacks=[Checkpoint(tmp_path / "no" / "c")])
    assert bits(net) == bits(network()) and net.n_epochs == 0


# Other fits -------------------------------------------------------------------------------------------------

OTHERS = {
    "network was .*, is now .*": dict(net=lambda: Network([6, 12, 3], seed=3)),
    "seed was 3, is now 4": dict(net=lambda: network(seed=4)),
    "dtype was float32, is now float64": dict(net=lambda: network(dtype="float64")),
    "input_noise was 0.1, is now 0.2": dict(net=lambda: network(input_noise=0.2)),
    r"loss was .*label_smoothing=0.0\), is now .*label_smoothing=0.1\)": dict(
        net=lambda: network(fastbp.losses.SoftmaxCrossEntropy(0.1))),
    r"optimizer was Adam\(learning_rate=0.001,.*, is now Adam\(learning_rate=0.002,": dict(optimizer=Adam(0.002)),
    "batch_size was 8, is now 16": dict(batch_size=16),
    "shuffle was True, is now False": dict(shuffle=False),
    "n_samples was 60, is now 59; X, y or a weight is not the same": dict(X=X[1:], y=NUMBERS[1:]),
    "X, y or a weight is not the same$": dict(X=X * 2),
    "another fit: X, y or a weight is not the same$": dict(sample_weight=np.arange(N)),
    "validation_data is not the same": dict(validation_data=VALID),
    r"callbacks with a state was \[\], is now \['EarlyStopping'\]": dict(callbacks=[EarlyStopping("loss")]),
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, message):
    interrupted(tmp_path / "c")
    options = dict(X=X, y=NUMBERS, epochs=5, batch_size=8, optimizer=Adam()) | OTHERS[message]
    net = options.pop("net", network)()
    before = bits(net)
    with pytest.raises(ValueError, match=f"^resume: .*{message}"):
        net.fit(**options, resume=tmp_path / "c")
    assert bits(net) == before and net.n_epochs == 0 and net.classes_ is None


def test_another_isa_is_told(tmp_path):
    interrupted(tmp_path / "c")
    tensors, config = persistence.read(tmp_path / "c")
    config["training"]["isa"] = "abacus"
    persistence.write(tmp_path / "c", tensors, config)
    with pytest.warns(UserWarning, match="was written on the ISA row abacus, and this is"):
        assert resumed(tmp_path / "c") == resumed(tmp_path / "none")


@pytest.mark.parametrize("name", ["training.slots", "training.totals", "training.history.loss"])
def test_a_file_that_lacks_something_is_an_error(tmp_path, name):
    interrupted(tmp_path / "c")
    tensors, config = persistence.read(tmp_path / "c")
    persistence.write(tmp_path / "c", {key: tensors[key] for key in tensors if key != name}, config)
    with pytest.raises(fastbp.FormatError, match="no checkpoint that this version can go on from"):
        resumed(tmp_path / "c")


# Kills ------------------------------------------------------------------------------------------------------

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
CALLS = ("open", "write", "fsync", "replace", "close")


def die_in_write(name, nth):
    """From now on the nth call of a function of `os` kills this process, a write after half its bytes."""
    real, left = getattr(os, name), [nth]

    def deadly(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            if name == "write":
                real(args[0], args[1][:len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(os, name, deadly)


def train(path, kill, n_threads):
    """A fit of 100 epochs with everything that could be forgotten; the digest of all that came of it."""
    fastbp.set_num_threads(2)
    net, stop, log = network(), EarlyStopping(patience=60), fastbp.CSVLog(path + ".csv")
    checkpoint = [Checkpoint(path, every=7)] if kill != "never" else []
    print("begins", flush=True)
    if ":" in kill:
        die_in_write(kill.split(":")[0], int(kill.split(":")[1]))
    history = net.fit(X, NUMBERS, epochs=100, batch_size=8, optimizer=Adam(schedules.ReduceOnPlateau(0.01), average=0.99),
                      validation_data=VALID, callbacks=[stop, log, *checkpoint], n_threads=int(n_threads),
                      resume=path if checkpoint else None)
    rows = [row[:-1] for row in csv.reader(Path(path + ".csv").read_text().splitlines())]
    return hashlib.sha256(bits(net) + json.dumps([record(history), rows, stop.best, stop.best_epoch]).encode()).hexdigest()


def live(path, kill, rng, longest):
    """One life: what it returned if it came to its end, else None."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, __file__, str(path), kill, str(rng.choice([1, 2]))], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "begins\n", process.stderr.read()
        if kill == "now":
            time.sleep(rng.uniform(0, longest))
            process.kill()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL), err
    return out.strip() if process.returncode == 0 else None


def kill_until_done(directory, n_kills, seed):
    """Kills fits at random times, every third amid a write, until there were so many kills; each ends like the first one."""
    rng, killed, runs, wanted = random.Random(seed), 0, 0, live(directory / "whole", "never", random.Random(0), 0)
    started = time.perf_counter()
    live(directory / "first", "not", random.Random(0), 0)
    longest = time.perf_counter() - started
    while killed < n_kills:
        path, runs, out = directory / str(runs), runs + 1, None
        while out is None:
            in_write = killed % 3 == 0
            kill = f"{rng.choice(CALLS)}:{rng.randrange(1, 120)}" if in_write else "now"
            out = live(path, kill if killed < n_kills else "not", rng, longest / 2)
            killed += out is None
        assert out == wanted
        assert {p.name for p in directory.glob(f"{path.name}*")} == {path.name, f"{path.name}.csv", f"{path.name}{PREVIOUS}"}
        assert not list(directory.glob(".fastbp-*"))


@needs_kill
def test_kills_lose_nothing(tmp_path):
    kill_until_done(tmp_path, 4, seed=0)


@needs_kill
@pytest.mark.soak
def test_two_hundred_kills_lose_nothing(tmp_path):
    kill_until_done(tmp_path, 200, seed=time.time_ns())


if __name__ == "__main__":
    print(train(*sys.argv[1:]))
