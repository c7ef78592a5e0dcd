"""threadpoolctl sees fastbp's OpenMP, and its limits hold in every call."""
import numpy as np
import pytest

import fastbp
from fastbp import _threads

threadpoolctl = pytest.importorskip("threadpoolctl")

X = np.random.default_rng(0).standard_normal((4000, 256), dtype=np.float32)
Y = np.arange(len(X)) % 10
W, B = np.ones((256, 512), np.float32), np.ones(512, np.float32)
CALLS = {
    "fit": lambda net: net.fit(X, Y, epochs=1, batch_size=1000),
    "fit of so many": lambda net: net.fit(X, Y, epochs=1, batch_size=1000, n_threads=2),
    "partial_fit": lambda net: net.partial_fit(X, Y),
    "forward": lambda net: net.forward(X),
    "predict": lambda net: net.predict(X, n_threads=2),
    "evaluate": lambda net: net.evaluate(X, Y),
    "input_gradient": lambda net: net.input_gradient(X, Y),
    "dense_forward": lambda net: fastbp.dense_forward(X, W, B),
    "dense_backward": lambda net: fastbp.dense_backward(X, W, np.ones((len(X), 512), np.float32)),
}


@pytest.fixture
def teams(monkeypatch):
    """The numbers of threads that calls are given, on a machine with two CPUs at least."""
    if not fastbp.config()["openmp"]:
        pytest.skip("built without OpenMP")
    found = []

    def spied(function):
        def spy(*arguments):
            answer = function(*arguments)       # a number, or two for `fit` to choose from, of which the second may be None
            found.append(max(filter(None, answer)) if isinstance(answer, tuple) else answer)
            return answer
        return spy

    for name in ("choose", "team_sizes"):
        monkeypatch.setattr(_threads, name, spied(getattr(_threads, name)))
    if _threads.limit() < 2:
        pytest.skip("there is one CPU")
    return found


def test_the_runtime_is_seen():
    if not fastbp.config()["openmp"]:
        pytest.skip("built without OpenMP")
    assert [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_limit_holds_inside_its_block(teams, call):
    net = fastbp.Network([256, 512, 10], seed=0)
    call(net)
    assert min(teams) >= 2
    teams.clear()
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        call(net)
        assert set(teams) == {1}
    teams.clear()
    call(net)
    assert min(teams) >= 2


def test_a_limit_decides_how_many_threads_a_fit_reports():
    net = fastbp.Network([256, 512, 10], seed=0)
    with threadpoolctl.threadpool_limits(1):
        assert net.fit(X, Y, epochs=1, n_threads=2).n_threads == 1
