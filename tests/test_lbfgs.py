"""L-BFGS on functions with known minima; the Wolfe conditions at every step; a state that goes on to the last bit."""

import itertools
import math

import numpy as np
import pytest

from fastbp.lbfgs import LBFGS, Descent, Point, _between


def rosenbrock(w):
    """sum of 100 (w[i+1] - w[i]^2)^2 + (1 - w[i])^2, with its minimum, 0, at 1, ..., 1."""
    r, s = w[1:] - w[:-1] ** 2, 1 - w[:-1]
    gradient = np.zeros_like(w)
    gradient[1:] += 200 * r
    gradient[:-1] += -400 * w[:-1] * r - 2 * s
    return float((100 * r**2 + s**2).sum()), gradient


SCALES = np.logspace(0, 3, 30)


def quadratic(w):
    """sum of c (w - 1)^2 / 2, with curvatures c from 1 to 1000."""
    return float((SCALES * (w - 1) ** 2).sum() / 2), SCALES * (w - 1)


def logistic(w):
    """log(1 + exp) along eight directions and a small quadratic: convex, flat far away."""
    A = np.sin(np.arange(1, 9)[:, None] * np.arange(1, 6))
    z = (A * w).sum(axis=1)
    p = 1 / (1 + np.exp(-z))
    return float(np.logaddexp(0, z).sum() + (w**2).sum() / 200), (A * p[:, None]).sum(axis=0) + w / 100


def barrier(w):
    """w - log w: not a number from 0 down."""
    with np.errstate(all="ignore"):
        return float((w - np.log(w)).sum()), 1 - 1 / w


PROBLEMS = {
    "rosenbrock 2": (rosenbrock, np.array([-1.2, 1.0])),
    "rosenbrock 20": (rosenbrock, np.tile([-1.2, 1.0], 10)),
    "quadratic": (quadratic, np.zeros(30)),
    "logistic": (logistic, np.full(5, 40.0)),
    "barrier": (barrier, np.array([0.01, 30.0, 1e3])),
}
SETTINGS = [LBFGS(), LBFGS(n_pairs=3), LBFGS(c2=0.1), LBFGS(c1=0.1, c2=0.2)]


def walk(f, w, settings=None, most=1000):
    """The descent before and after each step, until it can go no further."""
    descent = Descent(f, w, settings or LBFGS())
    for _ in range(most):
        before = descent.w, descent.loss, descent.gradient
        if not descent.step():
            return
        yield before, descent
    raise AssertionError(f"no end after {most} steps, at loss {descent.loss}")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_step_satisfies_the_strong_wolfe_conditions(problem, settings):
    f, start = PROBLEMS[problem]
    for (w, loss, gradient), descent in walk(f, start, settings):
        step = descent.w - w
        slope = (gradient * step).sum()        # along a d: the conditions do not change when a is multiplied through
        assert slope < 0
        rounding = 4 * np.finfo(float).eps * abs(loss)          # step is a difference of rounded w
        assert descent.loss <= loss + settings.c1 * slope + rounding
        assert abs((descent.gradient * step).sum()) <= settings.c2 * abs(slope) * (1 + 1e-6) + rounding
        assert (descent.loss, descent.gradient.tolist()) == (f(descent.w)[0], f(descent.w)[1].tolist())


@pytest.mark.parametrize("problem", ["rosenbrock 2", "rosenbrock 20", "quadratic", "barrier"])
def test_the_minimum_is_found(problem):
    f, w = PROBLEMS[problem]
    *_, (_, descent) = walk(f, w)
    np.testing.assert_allclose(descent.w, 1, rtol=1e-6)     # gradient below 1e-8; the least curvature is about 0.4


def test_it_takes_as_many_evaluations_as_it_should():
    """Fortran's L-BFGS-B, by way of SciPy 1.x, takes 46 and 323 to the same gradient."""
    for problem, most in (("rosenbrock 2", 55), ("quadratic", 370)):
        *_, (_, descent) = walk(*PROBLEMS[problem])
        assert descent.n_evaluations < most


def test_evaluations_are_counted():
    calls = itertools.count()
    descent = Descent(lambda w: (next(calls), rosenbrock(w))[1], np.array([-1.2, 1.0]), LBFGS())
    while descent.step():
        pass
    assert descent.n_evaluations == next(calls)


def test_with_all_pairs_an_exact_search_ends_a_quadratic_in_as_many_steps_as_it_has_curvatures():
    def f(w):
        return float((np.array([1, 4, 9]) * w**2).sum() / 2), np.array([1, 4, 9]) * w
    assert len(list(walk(f, np.ones(3), LBFGS(c2=1e-4, c1=1e-5, tolerance=1e-6)))) <= 4     # nearly exact: one more


def inverse_hessian(pairs):
    """The matrix that the two loops stand for: formulas 7.16 and 7.20 of Nocedal and Wright, written out."""
    if not pairs:
        return np.eye(20)
    (s, y), identity = pairs[-1], np.eye(20)
    H = identity * (s @ y) / (y @ y)
    for s, y in pairs:
        V = identity - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    return H


@pytest.mark.parametrize("n_pairs", [1, 3, 10])
def test_each_step_goes_along_the_inverse_hessian_times_the_gradient(n_pairs):
    pairs = []
    for (w, _, gradient), descent in itertools.islice(walk(*PROBLEMS["rosenbrock 20"], LBFGS(n_pairs=n_pairs)), 30):
        s, d = descent.w - w, -inverse_hessian(pairs) @ gradient
        length = (s @ d) / (d @ d)
        np.testing.assert_allclose(s, length * d, rtol=0, atol=1e-8 * np.abs(s).max())       # H has condition 1e5 or so
        pairs = [*pairs, (s, descent.gradient - gradient)][-n_pairs:]


def test_the_cubic_has_its_minimum_where_it_should():
    """x^3 - 3 x has one at 1, from either side; a line has none, and what is not finite says nothing."""
    at = {x: Point(x, x**3 - 3 * x, 3 * x**2 - 3, None) for x in (0.0, 1.5, 9.0)}
    assert _between(at[0.0], at[1.5]) == _between(at[1.5], at[0.0]) == pytest.approx(1)
    assert _between(at[0.0], at[9.0]) == pytest.approx(1)
    assert _between(at[0.0], Point(100.0, 1e6 - 300, 3e4 - 3, None)) == pytest.approx(10)         # at least a tenth
    assert _between(at[0.0], Point(4.0, -12.0, -3.0, None)) == _between(at[0.0], Point(4.0, math.inf, math.nan, None)) == 2


def test_a_memory_that_misleads_is_forgotten():
    """H a million times too large, and three evaluations: straight down it goes."""
    descent = Descent(*PROBLEMS["rosenbrock 20"], LBFGS())
    for _ in range(5):
        descent.step()
    state = descent.state()
    other = Descent.restored(rosenbrock, state | {"y": 1e-6 * state["y"]}, LBFGS(max_evaluations=3))
    assert other.step() and other.loss < state["loss"] and len(other.state()["s"]) == 1


def test_a_lower_point_is_taken_when_the_evaluations_end_and_its_curvature_is_not_when_negative():
    descent = Descent(lambda w: (-float((w**2).sum()) / 2, -w), np.ones(1), LBFGS(max_evaluations=1))
    assert descent.step() and descent.w.tolist() == [2.0]
    assert descent.state()["s"].shape == (0, 1)


def test_no_step_leads_up():
    """A gradient that points the wrong way: nothing lower is found, and the descent stays where it is."""
    descent = Descent(lambda w: (float((w**2).sum()), -2 * w), np.array([3.0, 4.0]), LBFGS())
    assert not descent.step() and descent.w.tolist() == [3.0, 4.0] and descent.n_evaluations == 21


@pytest.mark.parametrize("outside", [(math.nan, math.nan), (math.inf, math.nan), (-math.inf, math.nan), (-1e9, math.nan)])
def test_the_domain_is_never_left(outside):
    """exp(w) above -1, and below it numbers that are none, a loss that looks good among them."""
    def f(w):
        inside = w[0] > -1
        return (math.exp(w[0]), np.exp(w)) if inside else (outside[0], np.full(1, outside[1]))
    descent = Descent(f, np.array([1.0]), LBFGS())
    for _ in range(20):
        descent.step()
        assert descent.w[0] > -1 and math.isfinite(descent.loss)
    assert descent.w[0] < -0.9


def test_one_evaluation_a_search_still_descends():
    for (_, loss, _), descent in itertools.islice(walk(rosenbrock, np.array([-1.2, 1.0]), LBFGS(max_evaluations=1)), 20):
        assert descent.loss < loss


@pytest.mark.parametrize("start", [np.ones(2), np.array([np.nan, 1.0])])
def test_at_a_minimum_or_without_a_loss_there_is_no_step(start):
    descent = Descent(rosenbrock, start, LBFGS())
    assert not descent.step() and descent.n_evaluations == 1
    np.testing.assert_array_equal(descent.w, start)


def test_what_the_gradient_leaves_out_never_moves():
    """A frozen layer: its gradient is 0, whatever the curvature around it."""
    def f(w):
        loss, gradient = rosenbrock(w)
        return loss, gradient * np.array([1, 1, 0, 1, 1])
    start = np.array([-1.2, 1.0, 0.7, -1.2, 1.0])
    *_, (_, descent) = walk(f, start)
    assert descent.w[2] == 0.7 and not np.any(descent.w[[0, 1, 3, 4]] == start[[0, 1, 3, 4]])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_same_start_gives_the_same_bits(problem):
    first, second = ([descent.w.copy() for _, descent in walk(*PROBLEMS[problem])] for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("n_before", [0, 1, 5, 15])
def test_a_restored_descent_goes_on_to_the_last_bit(n_before):
    f, w = PROBLEMS["rosenbrock 20"]
    descent = Descent(f, w, LBFGS(n_pairs=4))
    for _ in range(n_before):
        assert descent.step()
    state = {name: np.array(array) for name, array in descent.state().items()}     # plain arrays, as a file gives them back
    assert all(array.dtype.kind in "fi" for array in state.values())
    other = Descent.restored(f, state, LBFGS(n_pairs=4))
    for _ in range(20):
        assert descent.step() == other.step()
        assert descent.loss == other.loss and np.array_equal(descent.w, other.w)
        assert descent.n_evaluations == other.n_evaluations


def test_a_state_stays_what_it_was():
    descent = Descent(rosenbrock, np.array([-1.2, 1.0]), LBFGS())
    descent.step()
    state = descent.state()
    before = {name: array.tolist() for name, array in state.items()}
    descent.step()
    Descent.restored(rosenbrock, state, LBFGS()).step()
    assert {name: array.tolist() for name, array in state.items()} == before


def test_the_start_is_left_alone():
    start = np.array([-1.2, 1.0])
    Descent(rosenbrock, start, LBFGS()).step()
    assert start.tolist() == [-1.2, 1.0]
