"""Chunks that need not fit in memory train as arrays do, in any number of epochs, and memory stays bounded.

Memory is measured in a process of its own, `python test_streams.py kind`: RLIMIT_DATA counts all of it, and an allocation
beyond is a MemoryError.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import SGD, Adam, Checkpoint, Dense, Network, schedules

N, SIZES = 100, (40, 30, 20, 10)
RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((N, 5)), RNG.integers(0, 3, N)
VALUES = RNG.standard_normal((N, 3))
VALUES[7, 1] = np.nan
linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all allocations on Linux only")


def network(loss="softmax_cross_entropy", seed=1):
    return Network([5, Dense(8, "tanh", dropout=0.3), 3], loss=loss, dtype="float64", seed=seed)


def bits(net):
    return b"".join(a.tobytes() for a in net.weights + net.biases)


def parts():
    edges = np.cumsum([0, *SIZES])
    return [slice(*edge) for edge in zip(edges, edges[1:])]


def chunks(y):
    """A function that gives the chunks anew."""
    return lambda: ((X[part], y[part]) for part in parts())


@pytest.mark.parametrize("loss, y", [("softmax_cross_entropy", LABELS), ("squared_error", VALUES)])
def test_one_chunk_trains_as_arrays_do(loss, y):
    net, twin = network(loss), network(loss)
    ours, theirs = net.fit([(X, y)], epochs=3, health=True), twin.fit(X, y, epochs=3, health=True)
    assert bits(net) == bits(twin) and ours.loss == theirs.loss and ours.samples == theirs.samples
    np.testing.assert_array_equal(ours.health, theirs.health)
    assert ours.metric == pytest.approx(theirs.metric, rel=1e-12)       # sums of 300 squares in another order


@pytest.mark.parametrize("loss, y", [("softmax_cross_entropy", LABELS), ("squared_error", VALUES)])
def test_history_counts_all_chunks(loss, y):
    net, seen = network(loss), []
    history = net.fit(chunks(y), epochs=3, batch_size=16, optimizer=SGD(1e-300), callbacks=[
        lambda net, history: seen.append(history.step)])
    assert seen == [3 + 2 + 2 + 1, 16, 24] and history.samples == [N] * 3 and history.n_samples == N
    twin = Network([5, Dense(8, "tanh"), 3], loss=loss, dtype="float64", seed=1)
    ours = twin.fit(chunks(y), epochs=1, optimizer=SGD(1e-300))
    # sums of 300 squares in another order
    assert (ours.loss[0], ours.metric[0]) == pytest.approx(twin.evaluate(X, y), rel=1e-12)


def test_chunks_are_shuffled_within():
    def fit(**options):
        net = network()
        return net.fit(chunks(LABELS), epochs=3, batch_size=8, **options).loss, bits(net)
    assert fit() == fit() != fit(shuffle=False)
    net, optimizer = Network([5, 8, 3], dtype="float64", seed=1), Adam()
    twin = Network([5, 8, 3], dtype="float64", seed=1)
    net.fit(chunks(LABELS), epochs=2, batch_size=40, shuffle=False, optimizer=optimizer)
    for part in parts() * 2:
        twin.partial_fit(X[part], LABELS[part], optimizer)
    assert bits(net) == bits(twin)


def test_no_two_chunks_drop_the_same():
    class Note:
        every, losses = 1, []

        def __call__(self, net, history):
            self.losses.append(history.running_loss)
    network().fit(lambda: [(X, LABELS)] * 2, epochs=1, batch_size=N, shuffle=False, optimizer=SGD(1e-300), callbacks=[Note()])
    first, both = Note.losses
    assert abs(2 * both - 2 * first) > 1e-3         # else the second chunk's loss is that of the first


def test_chunks_may_be_anything_that_can_be_gone_through_anew():
    class Batches:
        def __iter__(self):
            return chunks(LABELS)()
    fits = []
    for given in (chunks(LABELS), list(chunks(LABELS)()), tuple(map(list, chunks(LABELS)())), Batches(), Batches().__iter__):
        net = network()
        fits.append((net.fit(given, epochs=2).loss, bits(net)))
    assert all(fit == fits[0] for fit in fits)
    net = network()
    net.fit(chunks(LABELS)(), epochs=1)                 # a generator, for one epoch
    twin = network()
    twin.fit(chunks(LABELS), epochs=1)
    assert bits(net) == bits(twin)


def test_chunks_may_bring_weights():
    weights, net, twin = np.arange(N), network(), network()
    net.fit(lambda: ((X[part], LABELS[part], weights[part]) for part in parts()), epochs=2, class_weight={0: 2.0})
    twin.fit(lambda: ((X[part], LABELS[part], weights[part] * np.where(LABELS[part], 1, 2)) for part in parts()), epochs=2)
    assert bits(net) == bits(twin)


def test_a_first_chunk_may_lack_classes():
    names = np.array(["a", "b", "c"])
    net, twin = network(), network()
    net.fit(lambda: [(X[:2], ["b", "b"]), (X[2:], names[LABELS[2:]])], epochs=2, classes=names)
    twin.fit(lambda: [(X[:2], [1, 1]), (X[2:], LABELS[2:])], epochs=2)
    assert bits(net) == bits(twin) and net.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"^y of chunk 0 has 1 distinct labels \('b'\); this network tells 3 apart"):
        network().fit(lambda: [(X[:2], ["b", "b"])])


def test_each_step_has_its_rate():
    history = network().fit(chunks(LABELS), epochs=2, batch_size=16, optimizer=SGD(lambda step: 0.1 / (1 + step)))
    assert history.learning_rate == [0.1 / 8, 0.1 / 16]


USED_UP = chunks(LABELS)()


def once():
    """Always the same iterator."""
    return USED_UP


def second_chunk(bad):
    return lambda: [(X[:50], LABELS[:50]), bad]


@pytest.mark.parametrize("given, options, message", [
    ([], {}, r"X must give at least one chunk \(X, y\)"), (lambda: 3, {}, r"X must give chunks \(X, y\), not 3"),
    ([X], {}, "chunk 0 of X must be a pair"), ([(X,)], {}, "chunk 0 of X must be a pair .*, not tuple of 1"),
    ([(X, LABELS, None, None)], {}, "chunk 0 of X must be a pair"), ([(X[:, 1:], LABELS)], {}, "X of chunk 0 must have 5 col"),
    ([(X[:0], LABELS[:0])], {}, "X of chunk 0 must have at least one sample"),
    ([(X, LABELS[1:])], {}, "y of chunk 0 must have one entry a sample"),
    (second_chunk((X[:1], [7])), {}, "y of chunk 1 row 0 is 7, which is no class"), (second_chunk(None), {}, "chunk 1 of X must"),
    (chunks(LABELS)(), dict(epochs=2), r"X is an iterator, which can be gone through once, .*; give the function"),
    (once, dict(epochs=2), "X gave no chunk in this epoch"),
    (chunks(LABELS), dict(sample_weight=np.ones(N)), "sample_weight must be None for chunks"),
    (chunks(LABELS), dict(class_weight="balanced"), "class_weight must be a dict or None for chunks"),
    (chunks(LABELS), dict(optimizer=fastbp.LBFGS()), "LBFGS needs all samples at once"),
    (chunks(LABELS), dict(optimizer=SGD(schedules.Cosine(0.1))), "Cosine follows the length of a fit"),
    (X, {}, "y must be an array, not None"), ("abc", {}, "X must"),
], ids=str)
def test_wrong_chunks_are_named(given, options, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Network([5, 8, 3], seed=1).fit(given, **options)


def test_a_step_that_diverges_is_counted_over_the_epoch():
    wrong = np.where(np.arange(N)[:, None] == 75, np.nan, X)
    net, twin = network(), network()
    with pytest.raises(fastbp.DivergenceError, match="because X row 5 is not") as caught:      # of the third chunk
        net.fit(lambda: ((wrong[part], LABELS[part]) for part in parts()), batch_size=10, shuffle=False)
    assert (caught.value.epoch, caught.value.step) == (0, 4 + 3)
    twin.fit(lambda: ((X[part], LABELS[part]) for part in parts()[:2]), epochs=1, batch_size=10, shuffle=False)
    assert bits(net) == bits(twin)


class Crash(Exception):
    pass


@pytest.mark.parametrize("loss, y", [("softmax_cross_entropy", LABELS), ("squared_error", VALUES)])
def test_a_stream_is_resumed_amid_a_chunk(tmp_path, loss, y):
    class CrashAt:
        every = 1

        def __init__(self, left):
            self.left = left

        def __call__(self, net, history):
            self.left -= 1
            if not self.left:
                raise Crash

    def fit(callbacks, resume=None):
        net = network(loss)
        history = net.fit(chunks(y), epochs=4, batch_size=8, optimizer=Adam(average=0.9), callbacks=callbacks, resume=resume)
        return bits(net), history.loss, history.metric, history.samples, history.learning_rate
    rng, again, n_lives, whole = np.random.default_rng(0), None, 0, fit([])
    while again is None:
        n_lives += 1
        try:
            again = fit([Checkpoint(tmp_path / "c", every=1), CrashAt(rng.integers(2, 20))], tmp_path / "c")
        except Crash:
            pass
    assert again == whole and n_lives > 2
    with pytest.raises(ValueError, match="X, y or a weight is not the same"):
        network(loss).fit(lambda: [(X[::-1], y)], epochs=4, batch_size=8, optimizer=Adam(average=0.9), resume=tmp_path / "c")


@pytest.mark.parametrize("at", [3, 5, 8])
def test_a_stream_that_was_stopped_goes_on_at_its_chunk(tmp_path, at):
    class Pause:
        every, suspends = at, True

        def __call__(self, net, history):
            return history.step == at
    net, twin = network("squared_error"), network("squared_error")
    wanted = twin.fit(chunks(VALUES), epochs=2, batch_size=16)
    callbacks = [Pause(), Checkpoint(tmp_path / "c")]
    history = network("squared_error").fit(chunks(VALUES), epochs=2, batch_size=16, callbacks=callbacks)
    assert history.n_epochs == 1 and history.samples[0] == {3: 40, 5: 70, 8: 100}[at] and (tmp_path / "c").exists()
    history = net.fit(chunks(VALUES), epochs=2, batch_size=16, resume=tmp_path / "c")
    assert bits(net) == bits(twin)
    for name in ("loss", "metric", "learning_rate", "samples"):
        assert getattr(history, name) == getattr(wanted, name)


@pytest.mark.parametrize("at", [2, 3, 5, 8])
def test_a_stream_that_was_ended_is_not_gone_on_with(tmp_path, at):
    class End:
        every = at

        def __call__(self, net, history):
            return True
    options = dict(epochs=2, batch_size=16, optimizer=SGD(lambda step: 0.1 / (1 + step)))
    histories = [network("squared_error").fit(chunks(VALUES), **options, callbacks=[End(), Checkpoint(tmp_path / "c")],
                                              resume=tmp_path / "c") for _ in range(2)]
    for name in ("loss", "metric", "learning_rate", "samples", "seconds"):
        assert getattr(histories[0], name) == getattr(histories[1], name)
    assert histories[0].samples == [{2: 32, 3: 40, 5: 70, 8: 100}[at]]


# Memory -----------------------------------------------------------------------------------------------------

ROOM = 60 << 20                 # bytes beyond those of the first chunk's fit
ROWS, COLUMNS, N_CHUNKS = 5000, 500, 40         # a chunk is 10 MB, all are 400 MB


def generated():
    for seed in range(N_CHUNKS):
        X = np.random.default_rng(seed).random((ROWS, COLUMNS), dtype="f4")
        yield X, (X[:, 0] > 0.5).astype(int)


def mapped(path):
    """The same from a file larger than the memory that may be taken, read chunk by chunk."""
    X = np.memmap(path, "f4", "r").reshape(-1, COLUMNS)
    return lambda: ((np.array(X[i:i + ROWS]), np.array(X[i:i + ROWS, 0] > 0.5, int)) for i in range(0, len(X), ROWS))


def limit_memory():
    import resource
    taken = int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (taken + ROOM, resource.RLIM_INFINITY))


def train_in_little_memory(path):
    """Three epochs over 400 MB, with 60 MB; "no limit" if this system does not keep it, else the samples of each epoch."""
    net = Network([COLUMNS, 4, 2], seed=0)
    net.fit(lambda: [next(generated())], epochs=1, n_threads=1)
    limit_memory()
    try:
        np.ones(ROOM // 4)
        return "no limit"
    except MemoryError:
        pass
    source = generated if path == "generated" else mapped(path)
    return str(net.fit(source, epochs=3, batch_size=500, n_threads=1).samples)


@linux
@pytest.mark.parametrize("kind", ["generated", "file"])
def test_memory_is_bounded(tmp_path, kind):
    if kind == "file":
        with open(tmp_path / "X", "wb") as file:
            for X, _ in generated():
                X.tofile(file)
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    done = subprocess.run([sys.executable, __file__, str(tmp_path / "X") if kind == "file" else kind], env=environment,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if done.stdout == "no limit\n":
        pytest.skip("this system does not keep RLIMIT_DATA")
    assert done.stdout == f"{[ROWS * N_CHUNKS] * 3}\n"


if __name__ == "__main__":
    print(train_in_little_memory(sys.argv[1]))
