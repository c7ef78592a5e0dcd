"""A fit that is killed and resumed ends in the bits of one that was never stopped.

Kills happen to a process of its own, `python test_kills.py path kill n_threads`, which trains to the end or dies: by the
parent's hand, or by its own amid the writing of a checkpoint.
"""
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crashes import NUMBERS, VALID, X, bits, network, record

import fastbp
from fastbp import Adam, Checkpoint, EarlyStopping, schedules
from fastbp.checkpoint import PREVIOUS

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
    path_of_modules = os.pathsep.join(map(str, (Path(fastbp.__file__).parents[1], Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": path_of_modules}
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
