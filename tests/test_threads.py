"""Many Python threads at once: they share the interpreter, networks of their own, and one network."""
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import training


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads a call, whatever the machine has."""
    if "OMP_NUM_THREADS" in os.environ:
        pytest.skip("OMP_NUM_THREADS limits every call")
    fastbp.set_num_threads(2)
    yield
    fastbp.set_num_threads(None)


def data(n=256, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 20), dtype=np.float32), rng.integers(0, 3, n)


def bits(net):
    return b"".join(p.tobytes() for p in net.weights + net.biases)


def trained(seed=0, n_threads=2, callbacks=()):
    net = fastbp.Network([20, 33, 3], seed=seed)
    optimizer = fastbp.SGD(0.1, momentum=0.9)
    X, y = data(seed=seed)
    history = net.fit(X, y, epochs=3, optimizer=optimizer, n_threads=n_threads, callbacks=callbacks)
    assert history.n_threads == n_threads
    return bits(net)


def test_other_threads_run_while_one_trains(monkeypatch):
    """A Python thread beats on while another is in one compiled call."""
    monkeypatch.setattr(training, "SLICE_SECONDS", 60.0)  # Python runs between slices: let an epoch be one
    n, seconds, beats, done = 20_000, 0, [], threading.Event()

    def beat():
        while not done.wait(0.005):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        while seconds < 0.8:
            X, y = np.broadcast_to(np.ones(64, np.float32), (n, 64)), np.zeros(n, int)
            begin = time.monotonic()
            seconds = fastbp.Network([64, 128, 3], seed=0).fit(X, y, epochs=1, n_threads=1).seconds[0]
            n *= 2
    finally:
        done.set()
        thread.join()
    times = [begin, *(t for t in beats if t > begin), begin + seconds]
    # Generous: a busy machine delays a thread by some ms; a call that held the GIL would by its whole length.
    assert max(b - a for a, b in itertools.pairwise(times)) < 0.5


def test_networks_trained_at_once_have_the_bits_of_serial_ones():
    serial = [trained(seed, n_threads=1) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(trained, range(16))) == serial


def test_one_network_predicts_in_many_threads():
    net, (X, y), together = fastbp.Network([20, 33, 3], seed=0), data(1000), threading.Barrier(4)
    expected = net.forward(X, n_threads=1).tobytes(), net.evaluate(X, y, n_threads=1)

    def predict(_):
        together.wait()
        return [(net.forward(X, n_threads=2).tobytes(), net.evaluate(X, y, n_threads=2)) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(predict, range(4)):
            assert found == [expected] * 20


@pytest.mark.parametrize("name", ["fit", "partial_fit", "loss_and_gradient", "set_parameters"])
def test_a_network_in_training_is_left_alone(name):
    """Another thread that would change it meanwhile, here from a callback, gets an error and does no harm."""
    errors = []

    def intrude(net, history):
        args = (net.weights, net.biases) if name == "set_parameters" else data(seed=1)
        with ThreadPoolExecutor(1) as pool:
            errors.append(pool.submit(getattr(net, name), *args).exception())

    assert trained(callbacks=[intrude]) == trained()
    assert [type(error) for error in errors] == [RuntimeError] * 3
    assert "another thread is training this network" in str(errors[0])
