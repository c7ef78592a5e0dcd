"""The files of a checkpoint: two generations, damage, and those of other fits."""
import os
import re
from pathlib import Path

import numpy as np
import pytest
from crashes import NUMBERS, VALID, Crash, CrashAt, N, X, bits, network

import fastbp
from fastbp import Adam, Checkpoint, EarlyStopping, Network, persistence
from fastbp.checkpoint import PREVIOUS


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
