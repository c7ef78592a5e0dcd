"""The suites that asv runs: each one works on this version, and leaves out what a version does not have."""

import importlib
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

BENCHMARKS = Path(__file__).parents[1] / "asv_benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the suites are in the repository, not beside these tests", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
common = importlib.import_module("benchmarks.common")


def benchmarks():
    """(class, method) of all but the peaks of memory, which write 150 MB."""
    for path in sorted((BENCHMARKS / "benchmarks").glob("bench_*.py")):
        module = importlib.import_module(f"benchmarks.{path.stem}")
        for suite in vars(module).values():
            for name in dir(suite) if isinstance(suite, type) else ():
                if name.startswith(("time_", "timeraw_", "track_")):
                    yield pytest.param(suite, name, id=f"{suite.__name__}.{name}")


@pytest.mark.parametrize("suite, name", list(benchmarks()))
def test_a_benchmark_runs(suite, name, monkeypatch):
    monkeypatch.setattr(common, "CPUS", [])     # the other tests keep their cores
    first = [values[0] for values in getattr(suite, "params", ())]
    benchmark = suite()
    if hasattr(benchmark, "setup"):
        benchmark.setup(*first)
    getattr(benchmark, name)(*first)
    assert suite.version


def test_the_lists_hold_every_registered_name():
    assert common.enum_names("activations.pxi", "Activation") == list(ACTIVATIONS)
    assert set(common.enum_names("losses.pxi", "Loss")) - {"custom"} == set(LOSSES)
    assert {kind for kind, _ in common.OPTIMIZERS.values()} | {"LBFGS"} == {kind.__name__ for kind in OPTIMIZERS.values()}


def test_what_a_version_lacks_is_left_out(monkeypatch):
    monkeypatch.delattr(fastbp, "Lion")
    with pytest.raises(NotImplementedError, match="this fastbp has no lion"):
        common.optimizer("lion", 0.1)
    with pytest.raises(NotImplementedError, match="fewer than 1000000 threads"):
        common.use_cores(1_000_000)


def test_a_sample_is_of_one_call(monkeypatch):
    """The timer divides by the calls, which follow from the work alone."""
    calls = common.Calls()
    calls.use_calls(common.SAMPLE_FLOPS)
    assert len(calls.calls) == 1
    calls.use_calls(0)
    monkeypatch.setattr(common, "perf_counter", lambda: 100.0)
    assert calls.timer() * len(calls.calls) == 100
