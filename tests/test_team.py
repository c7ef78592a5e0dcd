"""How a fit chooses between one thread and all, by a clock that the test turns."""

import pytest

from fastbp import training
from fastbp.training import Team


class Machine:
    """Steps of a known length for each team size; what the fit takes is counted."""

    def __init__(self, monkeypatch, step_seconds):
        self.now, self.step_seconds = 100.0, step_seconds
        monkeypatch.setattr(training.time, "perf_counter", lambda: self.now)

    def run(self, team, n_steps):
        """Seconds of a fit of so many steps."""
        started, step = self.now, 0
        while step < n_steps:
            size, most = team.choose()
            seconds = self.step_seconds(size, self.now - started)
            done = min(n_steps - step, max(1, int(most / seconds)))
            self.now += done * seconds
            team.record(done, done, done * seconds)
            step += done
        return self.now - started


@pytest.mark.parametrize("first, other", [(1, 2), (2, 1)])
@pytest.mark.parametrize("best", [1, 2])
@pytest.mark.parametrize("step_seconds", [20e-6, 300e-6, 2e-3, 20e-3])
def test_a_long_fit_costs_no_more_than_its_better_team(monkeypatch, first, other, best, step_seconds):
    """Half as quick a team costs 2 % in probes: a probe in 50 of its length, twice as long at most."""
    machine = Machine(monkeypatch, lambda size, elapsed: step_seconds * (1 if size == best else 2))
    n_steps = max(5000, int(20 / step_seconds))
    assert machine.run(Team(first, other), n_steps) < 1.05 * n_steps * step_seconds


@pytest.mark.parametrize("disturbed", [0.005, 0.012, 0.02])
def test_a_disturbed_start_does_not_decide_a_short_fit(monkeypatch, disturbed):
    """Two threads are the better, but share their cores at first with those of another library."""
    def seconds(size, elapsed):
        return 300e-6 if size == 1 else 700e-6 if elapsed < disturbed else 170e-6
    machine = Machine(monkeypatch, seconds)
    assert machine.run(Team(2, 1), 600) < 0.150         # 0.102 with two threads throughout, 0.180 with one


def test_without_another_size_nothing_is_tried(monkeypatch):
    team = Team(2)
    Machine(monkeypatch, lambda size, elapsed: 1e-3).run(team, 100)
    assert set(team.cost) <= {2}


@pytest.mark.parametrize("first, other", [(1, 2), (2, 1)])
def test_epochs_shorter_than_a_turn_are_added_up(monkeypatch, first, other):
    """Seven batches of 200 and one of 37, a slice each: two threads are the better for all, one for the last, whose steps are
    shorter besides."""
    machine, team, spent = Machine(monkeypatch, None), Team(first, other), {1: 0.0, 2: 0.0}
    for _ in range(3000):
        for n_steps, n_samples in ((7, 1400), (1, 37)):
            size, _ = team.choose()
            took = n_steps * {1: 5e-6, 2: 20e-6}[size] + n_samples * {1: 300e-9, 2: 150e-9}[size]
            machine.now, spent[size] = machine.now + took, spent[size] + took
            team.record(n_steps, n_samples, took)
    assert spent[2] > 0.95 * sum(spent.values())
    assert team.cost[2] * 1437 == pytest.approx(8 * 20e-6 + 1437 * 150e-9, rel=0.1)
