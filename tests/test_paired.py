"""tools/bench: what it says of the rounds that it measured."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "asv_benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the tool is in the repository, not beside these tests", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
table = importlib.import_module("paired.table")

NOISE = [1.02, 0.99, 1.01, 0.97, 1.03, 1.0, 0.98, 1.01]


def rounds(ratio, machine=(1,) * 8):
    """Eight rounds; `machine` is how slow it was when the second side was measured."""
    return [({"value": 2e-3 * noise, "peak": 1e-3}, {"value": 2e-3 * noise * ratio * slow, "peak": 1e-3 * slow})
            for noise, slow in zip(NOISE, machine)]


def judge(pairs):
    return table.row("Step(1)", "seconds", pairs)


@pytest.mark.parametrize("ratio, verdict", [(1.15, "slower"), (1.05, "slower"), (1.0, "same"), (1.02, "same"), (0.9, "faster")])
def test_verdict(ratio, verdict):
    row = judge(rounds(ratio))
    assert row.verdict == verdict
    assert row.ratio == pytest.approx(ratio)
    assert table.status([row]) == (verdict == "slower")


def test_one_round_that_disagrees_is_doubt():
    pairs = rounds(1.15)
    pairs[3][1]["value"] = 1e-3
    assert judge(pairs).verdict == "same"


def test_a_machine_that_slows_down_is_divided_out():
    row = judge(rounds(1.0, machine=[1, 1.3, 1.1, 1.5, 1, 1.2, 1.4, 1.6]))
    assert row.normalised and row.verdict == "same" and row.ratio == pytest.approx(1)
    assert row.values[1] > 1.1 * row.values[0]       # as measured


@pytest.mark.parametrize("first, second, verdict, status", [
    ({"value": 1, "peak": 1}, {"error": "boom"}, "failed", 2),
    ({"error": "boom"}, {"value": 1, "peak": 1}, "failed", 2),
    ({"value": 1, "peak": 1}, {"skipped": True}, "failed", 2),
    ({"skipped": True}, {"value": 1, "peak": 1}, "new", 0),
    ({"skipped": True}, {"skipped": True}, "n/a", 0),
])
def test_what_one_side_lacks(first, second, verdict, status):
    row = judge([(first, second)])
    assert row.verdict == verdict
    assert table.status([row, judge(rounds(1))]) == status
    assert table.status([row]) == 2                  # nothing was compared


def test_nothing_measured_is_a_failure():
    assert table.status([]) == 2


def test_the_table_shows_both_sides():
    text = table.table([judge(rounds(1.15))], ("main", "this"))
    assert text.splitlines()[1].split() == ["Step(1)", "2.01", "ms", "2.312", "ms", "1.150", "1.150", "to", "1.150", "slower"]
