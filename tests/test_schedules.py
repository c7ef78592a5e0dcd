"""Learning rates by step: each schedule against its closed formula, in plain Python, step by step."""

import math

import numpy as np
import pytest

from fastbp import schedules
from fastbp.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    CosLog4,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    Warmup,
    monitor_of,
    rates_of,
)

TOTAL = 200
STEPS = np.arange(TOTAL)


def cosine_with_restarts(t):
    """Periods of 10, 20, 40, ... steps, walked through one by one."""
    start, period = 0, 10
    while t >= start + period:
        start, period = start + period, 2 * period
    return 0.1 + (0.5 - 0.1) * (1 + math.cos(math.pi * (t - start) / period)) / 2


def one_cycle(t):
    p = t / (TOTAL - 1)
    if p < 0.25:
        return 2 * (0.5 + (1 - 0.5) * (1 - math.cos(math.pi * p / 0.25)) / 2)
    return 2 * (0.01 + (1 - 0.01) * (1 + math.cos(math.pi * (p - 0.25) / 0.75)) / 2)


FORMULAS = [
    (Constant(0.3), lambda t: 0.3),
    (StepDecay(0.4, 30), lambda t: 0.4 * 0.1 ** (t // 30)),
    (StepDecay(0.4, 7, factor=0.5), lambda t: 0.4 * 0.5 ** (t // 7)),
    (Exponential(0.4, 30), lambda t: 0.4 * 0.1 ** (t / 30)),
    (InverseScaling(0.4), lambda t: 0.4 / math.sqrt(1 + t)),
    (InverseScaling(0.4, power=1, every=10), lambda t: 0.4 / (1 + t / 10)),
    (Cosine(0.5), lambda t: 0.25 * (1 + math.cos(math.pi * t / TOTAL))),
    (Cosine(0.5, 0.1, period=30), lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * (t % 30) / 30))),
    (Cosine(0.5, 0.1, period=10, growth=2), cosine_with_restarts),
    (OneCycle(2.0, rise=0.25, first=0.5, last=0.01), one_cycle),
    (CosLog4(0.8), lambda t: 0.4 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t / TOTAL)))),
    (Warmup(0.5, 9), lambda t: 0.5 * min((t + 1) / 10, 1)),
    (Warmup(StepDecay(0.5, 20), 9), lambda t: 0.5 * (t + 1) / 10 if t < 9 else 0.5 * 0.1 ** ((t - 9) // 20)),
    (Warmup(Cosine(0.5), 50),
     lambda t: 0.5 * (t + 1) / 51 if t < 50 else 0.25 * (1 + math.cos(math.pi * (t - 50) / (TOTAL - 50)))),
    (Warmup(lambda t: 1 / (1 + t), 4), lambda t: (t + 1) / 5 if t < 4 else 1 / (1 + t - 4)),
    (ReduceOnPlateau(0.3), lambda t: 0.3),
]


@pytest.mark.parametrize("schedule, formula", FORMULAS, ids=lambda value: str(value) if isinstance(value, Schedule) else "")
def test_formula(schedule, formula):
    rates = rates_of(schedule, STEPS, TOTAL, [])
    assert rates.dtype == np.float64 and rates.shape == (TOTAL,)
    # a few roundings; where a cosine cancels they are relative to the highest rate
    np.testing.assert_allclose(rates, [formula(t) for t in range(TOTAL)], rtol=1e-12, atol=1e-14)


def test_every_schedule_has_a_formula():
    assert {type(schedule) for schedule, _ in FORMULAS} == set(SCHEDULES.values())


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in FORMULAS], ids=str)
def test_epochs_alone_give_what_the_whole_gives(schedule):
    """So a fit that is resumed anywhere goes on with the same rates, to the last bit."""
    whole = rates_of(schedule, STEPS, TOTAL, [])
    parts = [rates_of(schedule, part, TOTAL, []) for part in np.split(STEPS, [1, 2, 50, 199])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert rates_of(schedule, STEPS[:0], TOTAL, []).shape == (0,)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in FORMULAS], ids=str)
def test_a_fit_of_one_step_has_a_rate(schedule):
    assert np.isfinite(rates_of(schedule, [0], 1, [])).all()


def test_ends():
    assert rates_of(OneCycle(1.0), [0, 299, 999], 1000, []) == pytest.approx([0.04, 1, 4e-6], rel=1e-4)
    assert rates_of(Cosine(1.0, 0.2), [0, 1000], 1000, []) == pytest.approx([1, 0.2])
    assert rates_of(CosLog4(1.0), [0, 200, 600, 1400, 3000], 3000, []) == pytest.approx([0] * 5, abs=1e-12)


@pytest.mark.parametrize("schedule", [Cosine(0.5), OneCycle(0.5), CosLog4(0.5)])
def test_beyond_the_end_the_last_rate_stays(schedule):
    at_end, beyond = rates_of(schedule, [TOTAL, 5 * TOTAL], TOTAL, [])
    assert beyond == at_end


def test_large_steps_keep_their_precision():
    """Steps past 2^31 and 2^53 are as exact as float64 can say."""
    t = np.array([2**31 + 7, 2**53 + 8])
    assert rates_of(StepDecay(1.0, 2**52, 0.5), t, None, []).tolist() == [1, 0.25]
    assert rates_of(Cosine(1.0, period=10), t, None, []) == pytest.approx(
        [(1 + math.cos(math.pi * (int(step) % 10) / 10)) / 2 for step in t], rel=1e-12)


# Plateau -------------------------------------------------------------------------------------------------------------

PLATEAUS = [
    ([], 0), ([1.0], 0), ([1, 2], 0), ([1, 2, 3], 1), ([1, 2, 3, 4], 1), ([1, 2, 3, 4, 5], 2), ([3, 2, 1, 0], 0),
    ([1, 2, 0.5, 2, 0.3, 2], 0), ([1, 1, 1], 1), ([1, 0.95, 0.92], 1), ([1, 0.95, 0.85, 0.8, 0.7], 0),
    ([np.nan, np.nan], 1), ([1, np.nan, np.inf], 1),
]


@pytest.mark.parametrize("values, n_reductions", PLATEAUS, ids=str)
def test_a_plateau_of_a_loss(values, n_reductions):
    schedule = ReduceOnPlateau(0.8, "loss", factor=0.5, patience=2, min_delta=0.1)
    assert rates_of(schedule, [40, 41], None, values).tolist() == [0.8 * 0.5**n_reductions] * 2


@pytest.mark.parametrize("values, n_reductions", PLATEAUS[:9], ids=str)
def test_a_metric_is_better_when_higher(values, n_reductions):
    schedule = ReduceOnPlateau(0.8, "val_metric", factor=0.5, patience=2)
    assert schedule.n_reductions([-value for value in values]) == n_reductions


def test_a_plateau_has_a_floor():
    assert rates_of(ReduceOnPlateau(0.8, patience=1, lowest=0.01), [0], None, [1] * 50).tolist() == [0.01]


def test_which_list_decides():
    plateau = ReduceOnPlateau(0.1, "metric")
    assert monitor_of(plateau) == monitor_of(Warmup(plateau, 3)) == "metric"
    assert ReduceOnPlateau(0.1).monitor == "val_loss"
    assert [monitor_of(rate) for rate in (0.1, len, Cosine(0.1), Warmup(0.1, 3))] == [None] * 4


def test_a_warmup_hands_the_values_on():
    plateau = ReduceOnPlateau(0.8, factor=0.5, patience=1)
    assert rates_of(Warmup(plateau, 2), [0, 5], None, [1, 1]) == pytest.approx([0.4 / 3, 0.4])


# Numbers and callables -----------------------------------------------------------------------------------------------

def test_a_number_is_the_rate_of_every_step():
    assert rates_of(0.25, STEPS, TOTAL, []).tolist() == [0.25] * TOTAL


def test_a_callable_gets_each_step():
    seen = []
    assert rates_of(lambda t: seen.append(t) or t / 8, [3, 4], TOTAL, []).tolist() == [0.375, 0.5]
    assert seen == [3, 4] and all(type(t) is int for t in seen)


class Broken(Schedule):
    def rates(self, steps, total, values):
        return np.where(steps == 7, -1.0, 0.1)


class Short(Schedule):
    def rates(self, steps, total, values):
        return np.ones(3)


@pytest.mark.parametrize("rate, error, message", [
    (lambda t: -0.1 if t == 7 else 0.1, ValueError, "learning_rate of step 7 must be finite and at least 0, not -0.1"),
    (lambda t: np.nan if t == 7 else 0.1, ValueError, "learning_rate of step 7 .* not nan"),
    (lambda t: "slow" if t == 7 else 0.1, TypeError, "learning_rate of step 7 must be a number, not 'slow'"),
    (lambda t: None, TypeError, "learning_rate of step 0 must be a number"),
    (Broken(), ValueError, "learning_rate of step 7 must be finite and at least 0, not -1"),
    (Short(), ValueError, r"one a step, shape \(200,\), not \(3,\)")])
def test_a_rate_that_is_none_names_its_step(rate, error, message):
    with pytest.raises(error, match=message):
        rates_of(rate, STEPS, TOTAL, [])


@pytest.mark.parametrize("schedule", [Cosine(0.1), OneCycle(0.1), CosLog4(0.1), Warmup(Cosine(0.1), 3)], ids=str)
def test_a_schedule_that_needs_the_length_says_so(schedule):
    with pytest.raises(ValueError, match="follows the length of a fit"):
        rates_of(schedule, [0], None, [])


@pytest.mark.parametrize("kind, settings", [
    *[(kind, {"learning_rate": bad}) for kind in SCHEDULES.values() if kind is not Warmup
      for bad in (0, -1, np.nan, "x", None, True)],
    *[(kind, {"every": bad}) for kind in (StepDecay, Exponential, InverseScaling) for bad in (0, 1.5, "x")],
    *[(kind, {"factor": bad}) for kind in (StepDecay, Exponential, ReduceOnPlateau) for bad in (0, 1, "x")],
    (InverseScaling, {"power": 0}), (Cosine, {"lowest": -1}), (Cosine, {"lowest": 0.2}), (Cosine, {"period": 0}),
    (Cosine, {"growth": 1.5}), (OneCycle, {"rise": 0}), (OneCycle, {"rise": 1}), (OneCycle, {"first": 1.1}),
    (OneCycle, {"last": -1}), (ReduceOnPlateau, {"monitor": "accuracy"}), (ReduceOnPlateau, {"patience": 0}),
    (ReduceOnPlateau, {"min_delta": -1}), (ReduceOnPlateau, {"lowest": 0.2}), (Warmup, {"n_steps": 0}),
    *[(Warmup, {"then": bad}) for bad in (0, -1, "x", None, Cosine)]], ids=str)
def test_a_bad_setting_is_named(kind, settings):
    good = {"then": 0.1, "n_steps": 3} if kind is Warmup else {"learning_rate": 0.1}
    good |= {"every": 5} if kind in (StepDecay, Exponential) else {}
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        kind(**(good | settings))


def test_one_of_your_own_needs_its_rates():
    with pytest.raises(NotImplementedError):
        rates_of(schedules.Schedule(), [0], 1, [])
