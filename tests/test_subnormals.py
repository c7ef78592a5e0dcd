"""The core computes with floating-point settings of its own: subnormal numbers are zero there, and the caller's settings, which
are kept, change no bits."""
import ctypes
import platform
import sys

import numpy as np
import pytest
from cores import TEAMS, bits, core_of
from stacks import rule
from test_process import control_words, subnormals_live

import fastbp
from fastbp import _dispatch, _threads

FE_UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())


@pytest.fixture(autouse=True)
def any_team(monkeypatch):
    """As many threads as a call asks for, whatever this machine has."""
    monkeypatch.setattr(_threads, "limit", lambda openmp_max=None: max(TEAMS))


@pytest.fixture
def core(monkeypatch, isa, dtype):
    """Networks compute on this row."""
    core = _dispatch.load_core(isa, dtype)
    monkeypatch.setitem(_dispatch._CORES, dtype, core)
    return core


@core_of
@pytest.mark.parametrize("n_threads", TEAMS)
def test_what_a_forward_pass_lets_fade_is_zero(core, dtype, n_threads):
    """Products of 0.3 times the smallest normal number, which alone they would not reach."""
    tiny = np.finfo(dtype).tiny
    net = fastbp.Network([1, 3], loss="squared_error", dtype=dtype)
    net.set_parameters([np.full((1, 3), 0.3)], [np.zeros(3)])
    X = np.full((300, 1), tiny, dtype)
    assert not net.forward(X, n_threads=n_threads).any()
    assert (net.forward(4 * X, n_threads=n_threads) > tiny).all()


@core_of
@pytest.mark.parametrize("n_threads", TEAMS)
def test_momentum_fades_to_zero(core, dtype, n_threads):
    """A step from a gradient that is subnormal: without this the velocity is -0.3 tiny, and halves for ever."""
    tiny = float(np.finfo(dtype).tiny)
    net = fastbp.Network([1, 1], loss="squared_error", dtype=dtype)
    net.set_parameters([np.zeros((1, 1))], [np.zeros(1)])
    X, y = np.ones((32, 1), dtype), np.full((32, 1), 0.3 * tiny, dtype)
    net.fit(X, y, epochs=3, batch_size=8, optimizer=fastbp.SGD(1.0, momentum=0.5), n_threads=n_threads, verbose=0)
    assert not net.weights[0].any() and not net.biases[0].any()


@core_of
def test_an_update_by_itself_does_the_same(core, dtype):
    tiny = np.finfo(dtype).tiny
    w, slots = np.ones(5, dtype), np.full((3, 5), tiny, dtype)
    core.update(rule("momentum", momentum=0.5), 1, w, np.zeros(5, dtype), slots)
    assert not slots[0].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", TEAMS)
def test_a_function_of_the_users_sees_the_settings_of_python(dtype, n_threads):
    seen = []

    def loss(raw, y):
        seen.append((control_words(), subnormals_live()))
        return 0.5 * ((raw - y) ** 2).sum(axis=1).mean(), (raw - y) / len(raw)

    before = control_words(), subnormals_live()
    net = fastbp.Network([2, 3], loss=loss, dtype=dtype)
    rng = np.random.default_rng(0)
    net.fit(rng.normal(size=(64, 2)), rng.normal(size=(64, 3)), epochs=2, batch_size=16, n_threads=n_threads, verbose=0)
    assert before[1] and seen and set(seen) == {before}
    assert (control_words(), subnormals_live()) == before


@pytest.mark.skipif(sys.platform != "linux" or FE_UPWARD is None, reason="the rounding mode is set through glibc")
@core_of
@pytest.mark.parametrize("n_threads", TEAMS)
def test_the_callers_rounding_changes_no_bits_and_stays(core, dtype, n_threads):
    libc, rng = ctypes.CDLL(None), np.random.default_rng(0)
    X, y = rng.normal(size=(300, 7)).astype(dtype), rng.integers(0, 3, 300)

    def trained():
        net = fastbp.Network([7, 20, 3], activation="gelu", dtype=dtype, seed=0)
        stack = net._stack
        raw = np.zeros((300, 3), dtype)
        net.fit(X, y, epochs=1, batch_size=50, n_threads=n_threads, verbose=0)
        parameters = [np.array(array) for array in (*net.weights, *net.biases)]
        assert libc.fesetround(FE_UPWARD) == 0
        try:
            stack.forward(X, raw, n_threads)
            rounding = libc.fegetround()
        finally:
            assert libc.fesetround(0) == 0
        assert rounding == FE_UPWARD
        return bits(raw, *parameters), bits(net.forward(X, n_threads=n_threads))

    found, plain = trained()
    assert found[:1] == plain
