"""`fit_many`: several networks at once, each to the bits that it gets alone."""
import os
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest
from networks import MOMENTUM, N_IN, NUMBERS, TEXT, X_VALID, N, X, bits, network, targets

import fastbp
from fastbp import SGD, Adam, Dense, EarlyStopping, Network, fit_many, fitting
from fastbp.training import Team

FIT = {"epochs": 3, "batch_size": 7}
RISING = SGD(1e200)                     # diverges


def networks(n=4, **options):
    return [network(seed=seed, **options) for seed in range(n)]


def same(nets, histories, twins, others):
    assert [bits(net) for net in nets] == [bits(net) for net in twins]
    for history, other in zip(histories, others, strict=True):
        for name in ("loss", "metric", "val_loss", "val_metric", "samples", "step"):
            assert getattr(history, name) == getattr(other, name)


# The same bits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [None, 1, 2, 3, 9])
def test_each_gets_the_bits_that_it_gets_alone(n_threads):
    each = [{"optimizer": Adam(0.01)}, {"rows": np.arange(0, N, 2), "epochs": 5}, {"validation_data": (X_VALID, TEXT[:11])},
            {"y": NUMBERS, "shuffle": False}, {"class_weight": {"a": 2.0}, "health": True}, {"optimizer": fastbp.LBFGS()}]
    nets, twins = networks(len(each)), networks(len(each))
    histories = fit_many(nets, X, TEXT, each=each, n_threads=n_threads, optimizer=MOMENTUM, **FIT)
    alone = [{"y": TEXT, "optimizer": MOMENTUM} | FIT | own for own in each]
    same(nets, histories, twins, [twin.fit(X, **settings) for twin, settings in zip(twins, alone)])


@pytest.mark.parametrize("X", [X, X.astype("f4"), (8 * X).astype(int), X.tolist()], ids=["f8", "f4", "int", "list"])
def test_networks_may_differ_in_kind(X):
    def mixed():
        layers = [N_IN, Dense(8, "gelu", dropout=0.3, normalization="batch"), 3]
        return [network(), network("squared_error", "float32"), Network(layers, seed=3), Network([N_IN, 1], loss="huber", seed=4)]
    each = [{}, {"y": targets("squared_error")}, {"sample_weight": np.arange(N)}, {"y": np.array(X)[:, 0]}]
    nets, twins = mixed(), mixed()
    histories = fit_many(nets, X, NUMBERS, each=each, **FIT)
    same(nets, histories, twins, [twin.fit(X, **{"y": NUMBERS} | FIT | own) for twin, own in zip(twins, each)])


def test_a_second_call_goes_on():
    nets, twins = networks(), networks()
    for _ in range(2):
        histories = fit_many(nets, X, NUMBERS, **FIT)
        same(nets, histories, twins, [twin.fit(X, NUMBERS, **FIT) for twin in twins])


def test_any_thread_may_call_it():
    nets, twins = networks(), networks()
    thread = threading.Thread(target=lambda: fit_many(nets, X, NUMBERS, **FIT))
    thread.start()
    thread.join()
    fit_many(twins, X, NUMBERS, **FIT)
    assert [bits(net) for net in nets] == [bits(net) for net in twins] != [bits(net) for net in networks()]


# Chunks -----------------------------------------------------------------------------------------------------


def chunks():
    """In four, with weights for one of them."""
    for first in range(0, N, 8):
        part = slice(first, first + 8)
        yield (X[part], TEXT[part]) if first else (X[part], TEXT[part], np.arange(1, 9))


@pytest.mark.parametrize("X", [chunks, list(chunks())], ids=["function", "list"])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_each_goes_through_the_chunks_by_itself(X, n_threads):
    def mixed():
        return [network(), network(dtype="float32"), network(seed=2), Network([N_IN, Dense(8, "relu", dropout=0.5), 3], seed=3)]
    each = [{"optimizer": Adam(0.01)}, {"epochs": 7}, {"shuffle": False}, {"validation_data": (X_VALID, TEXT[:11])}]
    nets, twins = mixed(), mixed()
    histories = fit_many(nets, X, each=each, n_threads=n_threads, **FIT)
    same(nets, histories, twins, [twin.fit(X, **FIT | own) for twin, own in zip(twins, each)])


def test_chunks_are_made_in_the_threads_that_train(monkeypatch):
    monkeypatch.setattr(fastbp._threads, "limit", lambda openmp_max=None: 8)      # whatever this machine has
    together, threads = threading.Barrier(2, timeout=20), set()

    def watched():
        yield from chunks()
        together.wait()                 # broken unless both go through them at the same time
        threads.add(threading.get_ident())
    fit_many(networks(2), watched, n_threads=2, **FIT)
    assert len(threads) == 2 and threading.get_ident() not in threads


def test_an_error_in_the_chunks_stops_all():
    nets, calls = networks(3), []

    def fail():
        calls.append(1)
        yield from chunks()
        if len(calls) > 5:
            raise Unexpected
    with pytest.raises(Unexpected) as caught:
        fit_many(nets, fail, epochs=10**6, n_threads=2)
    assert "in fit_many, for networks[" in caught.value.__notes__[0]
    for net in nets:
        net.fit(X, TEXT, epochs=1)      # nobody holds it


# One X ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fits(monkeypatch):
    """What `fit_many` trains."""
    made, read = [], fitting.read

    def watched(*args, **settings):
        made.append(read(*args, **settings))
        return made[-1]
    monkeypatch.setattr(fitting, "read", watched)
    return made


@pytest.mark.parametrize("X", [X, X.astype("f4"), X[:, :], np.asfortranarray(X), (8 * X).astype(int), X.tolist()],
                         ids=["f8", "f4", "view", "Fortran", "int", "list"])
def test_all_read_the_same_X_and_y(fits, X):
    fit_many(networks(), X, TEXT, each=[{"rows": np.arange(i, N)} for i in range(4)], epochs=1)
    first = fits[0].source.first
    for fit in fits:
        assert fit.source.first.X is first.X and fit.source.first.y is first.y
    assert np.shares_memory(first.X, X) == (isinstance(X, np.ndarray) and X.flags.c_contiguous and X.dtype.kind == "f")


def test_many_networks_need_little_more_than_X():
    big, nets = np.zeros((20_000, 100), np.float32), [Network([100, 2, 2], seed=seed) for seed in range(12)]
    rows = [np.arange(first, 20_000, 4) for first in range(4)] * 3
    tracemalloc.start()
    try:
        fit_many(nets, big, np.zeros(20_000, int), each=[{"rows": its} for its in rows], epochs=1, n_threads=2)
        assert tracemalloc.get_traced_memory()[1] < big.nbytes / 4          # y and orders have 8 bytes a sample, X 400
    finally:
        tracemalloc.stop()


# Threads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_so_many_are_trained_at_a_time(n_threads, monkeypatch):
    monkeypatch.setattr(fastbp._threads, "limit", lambda openmp_max=None: 8)      # whatever this machine has
    running, most, together = set(), [0], threading.Barrier(n_threads, timeout=20)

    def watch(net, history):
        running.add(id(net))
        most.append(len(running))
        if history.n_epochs == 1:
            together.wait()             # broken unless so many are trained at the same time
        if history.n_epochs == 3:
            running.discard(id(net))
    fit_many(networks(6), X, NUMBERS, n_threads=n_threads, callbacks=[watch], **FIT)
    assert max(most) <= n_threads


def test_what_is_left_of_the_threads_is_offered(monkeypatch):
    offers = []
    monkeypatch.setattr(Team, "offer", lambda team, n: offers.append(n))
    monkeypatch.setattr(fastbp._threads, "limit", lambda openmp_max=None: 5)      # whatever this machine has
    fit_many(networks(1), X, NUMBERS, epochs=1)
    assert set(offers) == {5}
    offers.clear()
    until_alone = {"epochs": 20_000, "callbacks": [lambda net, history: 4 in offers]}
    fit_many(networks(2), X, NUMBERS, each=[{"epochs": 1}, until_alone], n_threads=4)
    assert offers[0] == 2 and set(offers) == {2, 4}
    offers.clear()
    fit_many(networks(7), X, NUMBERS, epochs=1, n_threads=1)
    assert set(offers) == {1}


def test_a_team_tries_what_it_is_offered():
    team = Team(1)
    assert team.choose()[0] == 1
    team.record(1, 1, 0.5)
    team.offer(2)
    size, _ = team.choose()
    assert size == 2                    # at once
    team.record(1, 1, 0.3)
    assert team.best == 2
    team.offer(4)
    assert team.best == 1 and team.choose()[0] == 4
    team.offer(1)
    assert team.sizes == (1,) and team.choose()[0] == 1


# Callbacks --------------------------------------------------------------------------------------------------


def test_callbacks_are_called_for_their_network():
    nets, calls = networks(), []
    fit_many(nets, X, NUMBERS, callbacks=[lambda net, history: calls.append((id(net), history.n_epochs))], **FIT)
    assert sorted(calls) == sorted((id(net), n) for net in nets for n in (1, 2, 3))


def test_each_stops_by_its_own_callbacks():
    nets, each = networks(), [{"callbacks": [EarlyStopping("loss", patience=1, min_delta=i)]} for i in range(4)]
    lengths = [history.n_epochs for history in fit_many(nets, X, NUMBERS, each=each, epochs=6)]
    assert lengths == [6, 2, 2, 2]


@pytest.mark.parametrize("callback", [EarlyStopping(), fastbp.CSVLog("never written"), fastbp.Checkpoint("never written"),
                                      fastbp.TimeLimit(9)])
def test_a_callback_that_begins_anew_belongs_to_one_network(callback):
    nets = networks()
    with pytest.raises(ValueError, match="networks 0 and 1 share .* give each network its own") as caught:
        fit_many(nets, X, NUMBERS, callbacks=[callback], **FIT)
    assert caught.value.__notes__ == ["in fit_many, for networks[1]"]


# Errors -----------------------------------------------------------------------------------------------------


def test_a_divergence_costs_no_other_network():
    nets, twins = networks(loss="squared_error"), networks(loss="squared_error")
    y = targets("squared_error")
    each = [{}, {"optimizer": RISING}, {}, {"optimizer": RISING, "batch_size": 30}]
    with pytest.raises(fastbp.DivergenceError, match=r"^networks\[1\], networks\[3\] of 4 networks diverged, and the others are "
                       r"trained; networks\[1\]: the loss of epoch") as caught:
        fit_many(nets, X, y, each=each, **FIT)
    histories = caught.value.histories
    assert [history.diverged is not None for history in histories] == [False, True, False, True]
    assert caught.value.history is histories[1] and caught.value.step == histories[1].diverged["step"]
    for i in (0, 2):
        same([nets[i]], [histories[i]], [twins[i]], [twins[i].fit(X, y, **FIT)])
    with pytest.raises(fastbp.DivergenceError):
        twins[1].fit(X, y, optimizer=RISING, **FIT)
    assert bits(nets[1]) == bits(twins[1])                  # the last that were finite


def on_a_boundary(net, twin, X, y, batch_size):
    """Whether the network stands where a twin stands after some steps of the epoch that it is in."""
    if net.n_epochs:
        twin.fit(X, y, epochs=net.n_epochs, batch_size=batch_size)
    order = np.random.Generator(np.random.PCG64([twin.seed, net.n_epochs])).permutation(len(X))
    for start in range(0, len(X), batch_size):
        if bits(twin) == bits(net):
            return True
        batch = order[start:start + batch_size]
        twin.partial_fit(X[batch], y[batch], SGD())
    return bits(twin) == bits(net)


class Unexpected(Exception):
    pass


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_in_a_callback_stops_all_on_a_step_boundary(n_threads):
    nets = networks(5)

    def fail(net, history):
        if net is nets[1] and history.n_epochs == 20:
            raise Unexpected
    with pytest.raises(Unexpected) as caught:
        fit_many(nets, X, NUMBERS, epochs=10**6 if n_threads > 1 else 25, batch_size=7, n_threads=n_threads, callbacks=[fail])
    assert caught.value.__notes__ == ["in fit_many, for networks[1]"]
    assert [net.n_epochs for net in nets[1:]] == [20, 0, 0, 0]
    for net, twin in zip(nets, networks(5)):
        assert on_a_boundary(net, twin, X, NUMBERS, 7)
        net.fit(X, NUMBERS, epochs=1)                               # nobody holds it


INVALID = [
    ({"networks": []}, ValueError, "networks must be at least one Network"),
    ({"networks": network()}, TypeError, "networks must be a list or tuple"),
    ({"networks": [network(), "b"]}, TypeError, r"networks\[1\] must be a Network, not 'b'"),
    ({"each": [{}]}, ValueError, "each must be 3 dicts, one a network, not 1"),
    ({"each": {}}, TypeError, "each must be a list or tuple of dicts"),
    ({"each": [{}, None, {}]}, TypeError, r"each\[1\] must be a dict of keyword arguments"),
    ({"each": [{}, {}, {"epoch": 3}]}, TypeError, r"each\[2\] takes no 'epoch'; it takes y, epochs, .*, rows"),
    ({"verbose": 1}, TypeError, "fit_many takes no 'verbose'"),
    ({"each": [{}, {}, {"n_threads": 1}]}, TypeError, "takes no 'n_threads'"),
    ({"each": [{}, {}, {"batch_size": 0}]}, ValueError, "batch_size must be at least 1, not 0"),
    ({"each": [{}, {}, {"rows": [N]}]}, ValueError, "rows must lie in"),
    ({"n_threads": 0}, ValueError, "n_threads must be an integer >= 1"),
    ({"X": X[:, 1:]}, ValueError, "X must have 5 columns"),
    ({"y": None}, TypeError, "y must be an array"),
    ({"y": NUMBERS[1:]}, ValueError, "y must have one entry a sample"),
    ({"X": lambda: iter([(X, NUMBERS)])}, TypeError, "X must hold real numbers"),
    ({"X": iter([(X, NUMBERS)]), "y": None}, ValueError, "X is an iterator, which can be gone through once, and networks are 3"),
    ({"X": lambda: iter([(X[:, 1:], NUMBERS)]), "y": None}, ValueError, "X of chunk 0 must have 5 columns"),
    ({"X": [(X, NUMBERS)], "y": None, "each": [{}, {"rows": [1]}, {}]}, ValueError, "rows must be None for chunks"),
]


@pytest.mark.parametrize("wrong, error, message", INVALID)
def test_a_wrong_argument_is_refused_before_anything_is_trained(wrong, error, message):
    nets = networks(3)
    arguments = {"networks": nets, "X": X, "y": NUMBERS, "epochs": 1} | wrong
    with pytest.raises(error, match=message):
        fit_many(**arguments)
    assert [bits(net) for net in nets] == [bits(net) for net in networks(3)] and nets[0].n_epochs == 0


def test_a_network_is_given_once():
    a, b = networks(2)
    with pytest.raises(ValueError, match=r"networks\[2\] is networks\[0\]; train a copy.deepcopy"):
        fit_many([a, b, a], X, NUMBERS)


def test_a_note_names_the_network():
    with pytest.raises(ValueError) as caught:
        fit_many(networks(3), X, NUMBERS, each=[{}, {}, {"epochs": 0}])
    assert caught.value.__notes__ == ["in fit_many, for networks[2]"]


def test_a_network_that_is_being_trained_is_refused():
    nets = networks()

    def train(net, history):
        fit_many(nets, X, NUMBERS, epochs=1)
    with pytest.raises(RuntimeError, match="a callback cannot train the network that is calling it"):
        nets[2].fit(X, NUMBERS, epochs=1, callbacks=[train])
    assert nets[0].n_epochs == 0


# Ctrl-C -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """A function that sends it after some seconds, and returns a list with the time of then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def after(seconds):
        sent = []

        def send():
            time.sleep(seconds)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=send).start()
        return sent
    yield after
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="no signal can be sent to a process")
@pytest.mark.parametrize("what", ["steps", "epochs", "validation"])
def test_ctrl_c_is_answered_within_200_ms_on_a_step_boundary(ctrl_c, what):
    n, width = {"steps": (50_000, 64), "epochs": (64, 64), "validation": (64, 512)}[what]
    rng, delays = np.random.default_rng(0), []
    data, y = rng.normal(size=(n, 16)).astype("f4"), rng.integers(0, 3, n)
    settings = {"validation_data": (np.zeros((200_000, 16), np.float32), np.zeros(200_000, int))} if what == "validation" else {}
    for _ in range(3):
        nets, twins = ([Network([16, width, width, 3], seed=seed) for seed in range(4)] for _ in range(2))
        sent = ctrl_c(0.3)
        with pytest.raises(KeyboardInterrupt):
            fit_many(nets, data, y, epochs=10**6, batch_size=64, n_threads=2, **settings)
        delays.append(time.monotonic() - sent[0])
        assert [bits(net) for net in nets[2:]] == [bits(twin) for twin in twins[2:]]        # not begun
        for net, twin in zip(nets[:2], twins):
            assert on_a_boundary(net, twin, data, y, 64)
            net.fit(data[:100], y[:100], epochs=1)
    assert min(delays) <= 0.2           # a contract; the best try, because others share the machine
