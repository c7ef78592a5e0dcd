"""The contract with many Python threads: independent networks train at once, one network is trained by one thread at a time,
and any number of threads may predict with it. Nothing here needs the GIL."""
import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import _threads

N_WORKERS, N_IN, N_OUT = 8, 20, 3


@pytest.fixture(autouse=True)
def crowded():
    """Threads change places often, and a call may use two of the machine's, whatever it has."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    fastbp.set_num_threads(2)
    yield
    fastbp.set_num_threads(None)
    sys.setswitchinterval(interval)


def data(seed=0, n=200):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, N_IN), dtype=np.float32), rng.integers(0, N_OUT, n)


def network(seed=0, **options):
    return fastbp.Network([N_IN, fastbp.Dense(33, dropout=0.2, normalization="batch"), N_OUT], seed=seed, **options)


def bits(net):
    return b"".join(a.tobytes() for a in (*net.weights, *net.biases))


def at_once(*functions):
    """What they return, or raise, when as many threads call them at the same moment."""
    together = threading.Barrier(len(functions))

    def call(function):
        together.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def squared(raw, y):
    return float(((raw - y) ** 2).sum() / 2 / len(raw)), (raw - y) / len(raw)


# Networks of their own ---------------------------------------------------------------------------------------


def train(net, seed, **options):
    X, y = data(seed)
    net.fit(X, y, epochs=2, n_threads=1 + seed % 2, **options)
    return bits(net), net.evaluate(X, y), net.predict(X).tobytes()


def train_numbers(seed):
    X, _ = data(seed)
    net = fastbp.Network([N_IN, 8, 2], loss=squared, seed=seed)
    return bits(net), net.fit(X, X[:, :2], epochs=2).loss


def call_kernels(seed):
    X, _ = data(seed)
    W, b = X[:N_IN, :7].copy(), X[0, :7].copy()
    z = np.empty((len(X), 7), np.float32)
    a = fastbp.dense_forward(X, W, b, "gelu", z=z, n_threads=2)
    gradients = fastbp.dense_backward(X, W, a, "gelu", z, n_threads=2)
    return [array.tobytes() for array in (a, *gradients, fastbp.sgd_update(W, gradients[1]))]


TASKS = [
    lambda seed: train(network(seed), seed, optimizer=fastbp.SGD(0.1, momentum=0.9, average=0.9)),
    lambda seed: train(network(seed, dtype="float64"), seed, optimizer=fastbp.Adam(clip_norm=1.0), health=True),
    lambda seed: train(fastbp.Network([N_IN, 9, N_OUT], seed=seed), seed, optimizer=fastbp.LBFGS()),
    lambda seed: train(network(seed), seed, validation_data=data(9), callbacks=[fastbp.EarlyStopping(patience=1)]),
    train_numbers,
    call_kernels,
    lambda seed: str(fastbp.check_gradient(network(seed), *data(seed, 9), max_entries=4)),
    lambda seed: [gradient.tobytes() for gradient in network(seed).loss_and_gradient(*data(seed))[1]],
]


def test_networks_of_their_own_never_meet():
    """Every kind of work beside every other, each with the bits that it has alone."""
    work = [lambda task=task, seed=seed: task(seed) for task, seed in itertools.product(TASKS, range(3))]
    alone = [function() for function in work]
    assert at_once(*work) == alone


def test_the_number_of_threads_may_change_meanwhile():
    alone, done = [task(0) for task in TASKS[:2]], threading.Event()

    def change():
        for n in itertools.cycle([1, None, 2]):
            fastbp.set_num_threads(n)
            if done.is_set():
                return

    def work():
        try:
            for _ in range(3000):
                assert _threads.limit() >= 1
            return [task(0) for task in TASKS[:2]]
        finally:
            done.set()

    _, *found = at_once(change, *[work] * 3)
    assert found == [alone] * 3


# One network that stays as it is -----------------------------------------------------------------------------


def test_one_network_is_used_by_all():
    (X, y), net = data(n=500), network()
    net.fit(X, y, epochs=1, optimizer=fastbp.SGD(0.1, average=0.9))
    calls = [lambda: net.forward(X, n_threads=2).tobytes(), lambda: net.forward(X[:1]).tobytes(), lambda: net.evaluate(X, y),
             lambda: net.predict(X).tobytes(), lambda: net.predict_proba(X[:40]).tobytes(), lambda: bits(net),
             lambda: net.evaluate(X, y, 2, sample_weight=np.arange(len(X)))]
    alone = [call() for call in calls]
    assert at_once(*[lambda: [[call() for call in calls] for _ in range(20)]] * N_WORKERS) == [[alone] * 20] * N_WORKERS


def test_a_loss_of_the_users_own_is_asked_by_all():
    (X, _), net = data(), fastbp.Network([N_IN, 8, 2], loss=squared, seed=0)
    alone = net.evaluate(X, X[:, :2])
    assert at_once(*[lambda: [net.evaluate(X, X[:, :2]) for _ in range(50)]] * N_WORKERS) == [[alone] * 50] * N_WORKERS


def test_predictions_amid_new_parameters_are_of_those():
    """Of the old, of the new, or of some of each; of nothing else."""
    X = np.abs(data(n=300)[0])
    net, done = fastbp.Network([N_IN, 5], loss="squared_error", seed=0), threading.Event()
    old, new = ([[np.full((N_IN, 5), value)], [np.zeros(5)]] for value in (1.0, 2.0))
    net.set_parameters(*old)
    low = net.forward(X)
    net.set_parameters(*new)
    high = net.forward(X)

    def write():
        for parameters in itertools.islice(itertools.cycle([old, new]), 400):
            net.set_parameters(*parameters)
        done.set()

    def read():
        n = 0
        while not done.is_set() or n == 0:
            raw = net.forward(X)
            # between them but for the rounding of 20 terms in float32
            assert (raw >= low * (1 - 1e-5)).all() and (raw <= high * (1 + 1e-5)).all()
            n += 1
        return n

    _, *counts = at_once(write, *[read] * 3)
    assert all(isinstance(n, int) for n in counts), counts
    assert net.forward(X).tobytes() == high.tobytes()


# One network that is trained ---------------------------------------------------------------------------------


def refusals(net):
    """Calls that change a network, each with something of its own that must leave no trace."""
    X, y = data(seed=5, n=64)
    strange = data(seed=6)[0] * 100
    return [lambda: net.fit(X, y, optimizer=fastbp.Rprop()), lambda: net.fit(strange, y[:1].repeat(200), batch_size=200),
            lambda: net.fit(X, y, optimizer=fastbp.Adam(average=0.5), health=True), lambda: net.partial_fit(X, y),
            lambda: net.fit([(X, y)]), lambda: net.loss_and_gradient(X, y), lambda: net.set_parameters(net.weights, net.biases),
            lambda: net.input_gradient(X, y)]


def test_a_second_thread_that_trains_is_refused_at_once_and_leaves_no_trace():
    (X, y), raised = data(), []
    alone = network()
    alone.fit(X, y, epochs=4, optimizer=fastbp.Adam(average=0.9))

    def intrude(net, history):
        raised.extend(at_once(*refusals(net)))

    net = network()
    history = net.fit(X, y, epochs=4, optimizer=fastbp.Adam(average=0.9), callbacks=[intrude])
    assert [type(error) for error in raised] == [RuntimeError] * 4 * len(refusals(net))
    assert {str(error) for error in raised} == {"another thread is training this network; use a copy, or wait for it"}
    assert bits(net) == bits(alone) and net.n_epochs == 4 and history.n_epochs == 4
    for each in (net, alone):
        each.fit(X, y, epochs=1)
    assert bits(net) == bits(alone)


def test_of_threads_that_start_together_each_trains_or_is_refused():
    """The network is then what as many fits one after the other make of it."""
    (X, y), net, alone = data(), network(), network()
    found = at_once(*[lambda: net.fit(X, y, epochs=2)] * N_WORKERS)
    n_fits = sum(isinstance(result, fastbp.History) for result in found)
    assert n_fits >= 1 and all(isinstance(result, (fastbp.History, RuntimeError)) for result in found), found
    for _ in range(n_fits):
        alone.fit(X, y, epochs=2)
    assert bits(net) == bits(alone) and net.n_epochs == alone.n_epochs
