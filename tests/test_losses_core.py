"""Every loss of every core against the twin: values, gradients, scores, links, missing targets, kinks."""

import itertools
import math

import numpy as np
import pytest
from cores import UNITS, assert_computes_like_the_twin, assert_trains_like_the_twin, case, core_of
from stacks import layer, loss_spec, rule, targets

from fastbp import _dispatch, reference
from fastbp.reference import LOSSES

inf, nan = math.inf, math.nan


def losses(module, spec, raw, y):
    """Losses, scores and draw of a module's kernel."""
    found = np.full(len(raw), nan), np.full(len(raw), nan), np.full(raw.shape, nan, raw.dtype)
    module.loss_forward_backward(spec, raw, y, *found)
    return found


def of_one(isa, dtype, name, raw, y, **settings):
    """Loss, score and draw of a single output."""
    core, raw, y = _dispatch.load_core(isa, dtype), np.array([[raw]], dtype), np.array([[y]], dtype)
    each, score, draw = losses(core, loss_spec(name, 1, **settings), raw, y)
    return each[0], score[0], draw[0, 0]


@core_of
@pytest.mark.parametrize("name, n_out", list(itertools.product(LOSSES, (1, 2, 3, 10, 16, 17, 40))))
def test_losses_and_links_equal_twin(isa, dtype, name, n_out):
    core, rng, code = _dispatch.load_core(isa, dtype), np.random.default_rng(n_out), list(LOSSES).index(name)
    spec, unit = loss_spec(name, n_out), UNITS[dtype]
    for scale in (1, 30, 1e4):
        raw = (min(scale, 10 if name == "poisson" else inf) * rng.normal(size=(50, n_out))).astype(dtype)
        y = targets(rng, name, 50, n_out)
        y = y if y.dtype == np.int64 else y.astype(dtype)
        each, score, draw = losses(core, spec, raw, y)
        want_each, want_score, want_draw = losses(reference, spec, raw.astype(float), y)
        # Sums of up to 40 terms, each as large as the raw outputs, for which exp, of poisson, and powers stand out.
        size = np.maximum(1, np.abs(want_each))[:, None]
        np.testing.assert_allclose(each, want_each, rtol=64 * unit, atol=64 * unit * scale)
        np.testing.assert_allclose(score, want_score, rtol=64 * unit, atol=64 * unit)
        np.testing.assert_allclose(draw / size, want_draw / size, rtol=64 * unit, atol=64 * unit)
        p, want_p = raw.copy(), raw.astype(float)
        core.link(code, p)
        reference.link(code, want_p)
        np.testing.assert_allclose(p, want_p, rtol=64 * unit, atol=32 * unit)


@core_of
@pytest.mark.parametrize("name", LOSSES)
def test_networks_under_every_loss(isa, dtype, name):
    """Through evaluation in chunks, gradients and training."""
    it = case(dtype, 5, [layer(7), layer(3, "identity")], name, n=131, seed=2)
    assert_computes_like_the_twin(isa, it, units=4 * 4096)      # sums of 126 losses
    it = case(dtype, 5, [layer(7), layer(3, "identity")], name, n=20, seed=3)
    assert_trains_like_the_twin(isa, it, rule(learning_rate=0.02))


CONVENTIONS = [     # loss, raw, y, then loss, score, draw
    ("absolute_error", 2, 2, 0, 0, 0), ("absolute_error", 1, 3, 2, 4, -1), ("absolute_error", 3, 1, 2, 4, 1),
    ("huber", 0.5, 0, 0.125, 0.25, 0.5), ("huber", -2, 0, 1.5, 4, -1), ("huber", 1, 0, 0.5, 1, 1),
    ("quantile", 1, 1, 0, 0, 0), ("quantile", 1, 2, 0.25, 1, -0.25), ("quantile", 2, 1, 0.75, 1, 0.75),
    ("hinge", 1, 1, 0, 1, 0), ("hinge", 0, 1, 1, 0, -1), ("hinge", 0.5, 1, 0.5, 1, -1), ("hinge", 0.5, 0, 1.5, 0, 1),
    ("hinge", 0, 0, 1, 1, 1), ("hinge", -2, 0, 0, 1, 0),
    ("binary_cross_entropy", 0, 1, math.log(2), 0, -0.5), ("binary_cross_entropy", 0, 0, math.log(2), 1, 0.5),
    ("poisson", 0, 1, 1, 0, 0), ("poisson", 0, 0, 1, 1, 1),
    ("squared_error", 3, 1, 2, 4, 2),
]


@core_of
@pytest.mark.parametrize("name, raw, y, loss, score, draw", CONVENTIONS)
def test_conventions(isa, dtype, name, raw, y, loss, score, draw):
    """Where the derivative jumps, and on both sides of it."""
    found = of_one(isa, dtype, name, raw, y, parameter={"huber": 1.0}.get(name, 0.0), levels=(0.25,))
    assert found == pytest.approx((loss, score, draw), rel=8 * UNITS[dtype], abs=1e-30)


@core_of
@pytest.mark.parametrize("name, raw, y, loss, draw", [
    ("log_cosh", 1e30, 0, 1e30, 1), ("log_cosh", -1e30, 0, 1e30, -1), ("huber", 1e30, 0, 1e30, 1),
    ("binary_cross_entropy", 1e30, 0, 1e30, 1), ("binary_cross_entropy", -1e30, 0, 0, 0), ("poisson", -1e30, 0, 0, 0),
    ("hinge", -1e30, 1, 1e30, -1), ("log_cosh", 3, 3, 0, 0)])
def test_large_and_small_arguments(isa, dtype, name, raw, y, loss, draw):
    found, _, gradient = of_one(isa, dtype, name, raw, y, parameter=1.0 if name == "huber" else 0.0)
    assert (found, gradient) == pytest.approx((loss, draw), rel=8 * UNITS[dtype], abs=1e-30)


@core_of
@pytest.mark.parametrize("margin", [1.0, 6.0, 20.0, 60.0])
def test_the_loss_of_a_sample_that_is_all_but_certain_keeps_its_digits(isa, dtype, margin):
    """log(1 + exp(-margin)), by a sum in double precision, and not by one of the dtype, which rounds to 1 from 17 on."""
    core, raw = _dispatch.load_core(isa, dtype), np.array([[margin, 0]], dtype)
    each, _, _ = losses(core, loss_spec("softmax_cross_entropy", 2, parameter=0.0), raw, np.zeros(1, np.int64))
    assert each[0] == pytest.approx(math.log1p(math.exp(-margin)), rel=8 * UNITS[dtype], abs=2.0**-53)


@core_of
@pytest.mark.parametrize("e", [2.0**-40, 2.0**-10, 0.3, 0.999, 1.001, 3.0])
def test_log_cosh_keeps_its_digits(isa, dtype, e):
    """Of small errors too, where |e| + log1p(exp(-2 |e|)) - log(2) has none left."""
    e = float(np.dtype(dtype).type(e))
    want = math.log1p(2 * math.sinh(e / 2) ** 2), math.tanh(e)
    for sign in (1, -1):
        loss, _, draw = of_one(isa, dtype, "log_cosh", sign * e, 0)
        assert (loss, sign * draw) == pytest.approx(want, rel=16 * UNITS[dtype], abs=0)


MASKED = ("squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson")


@core_of
@pytest.mark.parametrize("name", MASKED)
def test_a_missing_target_counts_nothing(isa, dtype, name):
    """The others of the sample count as they are; with none there is nothing."""
    core, rng, n_out = _dispatch.load_core(isa, dtype), np.random.default_rng(4), 19
    raw, y = rng.normal(size=(40, n_out)).astype(dtype), rng.poisson(2.0, (40, n_out)).astype(dtype)
    gone = rng.random(y.shape) < 0.3
    gone[0] = True
    spec = loss_spec(name, n_out)
    each, score, draw = losses(core, spec, raw, np.where(gone, dtype_nan(dtype), y))
    parts = []
    for i in range(n_out):      # one output at a time
        one = spec | {"levels": spec["levels"][i:i + 1]}
        parts.append(losses(core, one, raw[:, i:i + 1].copy(), y[:, i:i + 1].copy()))
    for found, which in ((each, 0), (score, 1)):
        want = sum(np.where(gone[:, i], 0, part[which]) for i, part in enumerate(parts))
        np.testing.assert_allclose(found, want, rtol=64 * UNITS[dtype])
    assert np.array_equal(draw, np.where(gone, 0, np.hstack([part[2] for part in parts])))
    assert each[0] == score[0] == 0 and not draw[0].any()


def dtype_nan(dtype):
    return np.dtype(dtype).type(nan)


@core_of
def test_smoothed_labels_are_targets_between(isa, dtype):
    """Label smoothing of one class of ten against the cross entropy of the mixed target, term by term."""
    core, raw = _dispatch.load_core(isa, dtype), np.random.default_rng(0).normal(size=(6, 10)).astype(dtype)
    labels = np.arange(6)
    smoothed = losses(core, loss_spec("softmax_cross_entropy", 10, parameter=0.3), raw, labels)
    plain = loss_spec("softmax_cross_entropy", 10, parameter=0.0)
    of_class = [losses(core, plain, raw, np.full(6, j)) for j in range(10)]
    for which in (0, 2):
        own = losses(core, plain, raw, labels)[which]
        want = 0.7 * own + 0.3 * sum(it[which] for it in of_class) / 10
        np.testing.assert_allclose(smoothed[which], want, rtol=64 * UNITS[dtype], atol=16 * UNITS[dtype])
    assert np.array_equal(smoothed[1], losses(core, plain, raw, labels)[1])


@core_of
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "softmax_cross_entropy"])
def test_targets_of_either_dtype_and_any_distance_of_rows(isa, dtype, name):
    core, rng = _dispatch.load_core(isa, dtype), np.random.default_rng(1)
    raw, spec = rng.normal(size=(9, 5)).astype(dtype), loss_spec(name, 5)
    y = targets(rng, name, 9, 5).astype("float32")
    want = losses(core, spec, raw, y.astype(dtype))
    wide = np.full((18, 9), nan)
    wide[::2, 2:7] = y
    for other in (y, y.astype("float64"), wide[::2, 2:7]):
        for a, b in zip(losses(core, spec, raw, other), want):
            assert np.array_equal(a, b)
