"""The compiled core against its twin, and the twin's backward against complex steps through its forward."""

import inspect
import itertools

import numpy as np
import pytest

from fastbp import _dispatch, reference

CORES = [(isa, dtype) for isa in _dispatch.usable() for dtype in ("float32", "float64")]
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
ACTIVATIONS = list(reference.ACTIVATIONS)
LOSSES = list(reference.LOSSES)
# Facts of the machine or of the build, which have no twin.
WITHOUT_TWIN = {"fma_chain", "openmp"}

SETTINGS = {"learning_rate": 0.05, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01,
            "l2": 0.02}

core_of = pytest.mark.parametrize("isa, dtype", CORES)


def signature(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def public(thing):
    return {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}


@core_of
def test_twin_has_the_cores_functions_and_signatures(isa, dtype):
    core = _dispatch.load_core(isa, dtype)
    functions = {name for name, value in public(core).items() if callable(value) and not inspect.isclass(value)}
    for name in functions - WITHOUT_TWIN:
        assert signature(getattr(core, name)) == signature(getattr(reference, name)), name
    methods = {name for name, value in public(core.Stack).items() if callable(value)}
    for name in methods - {"gradients"}:
        assert signature(getattr(core.Stack, name)) == signature(getattr(reference.Stack, name)), name
    assert len(functions) >= 10 and len(methods) >= 12


@core_of
def test_codes_stand_in_the_same_order(isa, dtype):
    core = _dispatch.load_core(isa, dtype)
    for enum, names in ((core.Activation, reference.ACTIVATIONS), (core.Loss, reference.LOSSES),
                        (core.Rule, reference.RULES), (core.Elementary, reference.ELEMENTARY)):
        assert [name.lower() for name in enum.__members__] == list(names)


def targets(rng, loss, n, n_out):
    if loss == "softmax_cross_entropy":
        return rng.integers(0, n_out, n)
    if loss == "binary_cross_entropy":
        return rng.integers(0, 2, (n, n_out)).astype(float)
    return rng.normal(size=(n, n_out))


def random_net(seed):
    """Sizes, activations and a loss, all determined by the seed; every activation and loss comes up."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 5))
    sizes = [int(n) for n in rng.integers(1, 40, depth + 1)]
    loss = seed % len(LOSSES)
    if LOSSES[loss] == "softmax_cross_entropy":
        sizes[-1] += 1
    activations = [int(a) for a in rng.integers(0, len(ACTIVATIONS), depth - 1)] + [seed % len(ACTIVATIONS) * (seed % 2)]
    n = int(rng.integers(1, 45))
    parameters = [(rng.normal(size=(i, o)) / np.sqrt(i), rng.normal(size=o) / 2) for i, o in zip(sizes, sizes[1:])]
    return sizes, activations, loss, rng.normal(size=(n, sizes[0])), targets(rng, LOSSES[loss], n, sizes[-1]), parameters


def stacks(seed, *modules):
    """The same random net in each module."""
    sizes, activations, loss, X, y, parameters = random_net(seed)
    made = []
    for module in modules:
        stack = module.Stack(sizes, activations, loss)
        for layer, (W, b) in enumerate(parameters):
            stack.set_parameters(layer, W.astype(stack.dtype), b.astype(stack.dtype))
        made.append(stack)
    return X, y, parameters, made


def near_a_kink(stack, X):
    """Rectifiers have no derivative at 0: samples whose z comes close are left to the test of the convention."""
    kinked = [ACTIVATIONS[a] in ("relu", "leaky_relu") for a in stack.activations]
    return any(k and (np.abs(z) < 1e-3).any() for k, (z, _) in zip(kinked, stack.layers(X)))


@pytest.mark.parametrize("seed", range(200))
def test_backward_equals_complex_step(seed):
    X, y, parameters, (stack,) = stacks(seed, reference)
    if near_a_kink(stack, X):
        X = X[:0]
    if not len(X):
        X, y = random_net(seed)[3:5]
        keep = [i for i in range(len(X)) if not near_a_kink(stack, X[i:i + 1])]
        assert keep
        X, y = X[keep], y[keep]
    _, _, dW, db = stack.loss_and_gradient(X, y)
    rng = np.random.default_rng(seed)
    for block, gradients in ((stack.W, dW), (stack.b, db)):
        for layer, p in enumerate(list(block)):
            for _ in range(3):
                at = tuple(int(rng.integers(n)) for n in p.shape)
                block[layer] = p.astype(complex)
                block[layer][at] += 1e-30j
                losses, _, _ = reference.LOSSES[LOSSES[stack.loss]][0](stack.layers(X)[-1][1], y)
                block[layer] = p
                # Complex step has no subtraction, so only rounding along the net is left.
                np.testing.assert_allclose(gradients[layer][at], losses.mean().imag / 1e-30, rtol=1e-12, atol=1e-13)


@core_of
@pytest.mark.parametrize("seed", range(200))
def test_core_gradient_equals_twin(isa, dtype, seed):
    core = _dispatch.load_core(isa, dtype)
    X, y, parameters, (stack, twin) = stacks(seed, core, reference)
    X = X.astype(dtype)
    for layer, (W, b) in enumerate(parameters):     # the twin starts from the rounded parameters
        twin.set_parameters(layer, W.astype(dtype), b.astype(dtype))
    if near_a_kink(twin, X):
        keep = [i for i in range(len(X)) if not near_a_kink(twin, X[i:i + 1])]
        X, y = X[keep], y[keep]
    y = y if y.dtype == np.int64 else y.astype(dtype)
    # Rounding of sums over at most 45 terms through at most 4 layers, with gradients of order 1; 1e-12 in float64.
    bound = 9000 * UNITS[dtype]
    assert stack.gradient(X, y, 1) == pytest.approx(twin.gradient(X, y, 1), rel=bound, abs=bound)
    found = []
    for layer, (W, b) in enumerate(parameters):
        got, want = (np.empty_like(W, dtype), np.empty_like(b, dtype)), (np.empty_like(W), np.empty_like(b))
        stack.get_gradient(layer, *got)
        twin.get_gradient(layer, *want)
        for g, w in zip(got, want):
            np.testing.assert_allclose(g, w, rtol=0, atol=bound * max(1, np.abs(w).max()))
        found.append(got)
    stack.gradient(X, y, 1)
    for layer, got in enumerate(found):
        again = np.empty_like(got[0]), np.empty_like(got[1])
        stack.get_gradient(layer, *again)
        assert again[0].tobytes() == got[0].tobytes() and again[1].tobytes() == got[1].tobytes()


@core_of
@pytest.mark.parametrize("rule", reference.RULES[1:])
def test_core_training_equals_twin(isa, dtype, rule):
    core = _dispatch.load_core(isa, dtype)
    code = reference.RULES.index(rule)
    settings = {"rule": code, **SETTINGS}
    for seed in (0, 1, 2, 5):
        X, y, parameters, made = stacks(seed, core, reference)
        X = X.astype(dtype)
        y = y if y.dtype == np.int64 else y.astype(dtype)
        order, totals = np.random.default_rng(seed).permutation(len(X)), [np.zeros(2), np.zeros(2)]
        n_steps = -(-len(X) // 4)
        for stack, total in zip(made, totals):
            stack.reset_slots(code)
            assert stack.train(X, y, order, 4, 0, n_steps, settings, 1e9, total, 1) == (n_steps, False)
        np.testing.assert_allclose(totals[0], totals[1], rtol=1e5 * UNITS[dtype])
        for layer, (W, b) in enumerate(parameters):
            got, want = (np.empty_like(W, dtype), np.empty_like(b, dtype)), (np.empty_like(W), np.empty_like(b))
            made[0].get_parameters(layer, *got)
            made[1].get_parameters(layer, *want)
            # Errors of some ten steps, each like that of a gradient.
            np.testing.assert_allclose(got[0], want[0], rtol=0, atol=1e5 * UNITS[dtype])
            np.testing.assert_allclose(got[1], want[1], rtol=0, atol=1e5 * UNITS[dtype])


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_twin(isa, dtype, activation):
    core, code = _dispatch.load_core(isa, dtype), ACTIVATIONS.index(activation)
    z = np.concatenate([np.linspace(-30, 30, 4001), np.linspace(-1, 1, 1000), [1e4, -1e4]]).astype(dtype)
    da = np.linspace(-2, 2, len(z)).astype(dtype)
    a, dz, want_a, want_dz = np.empty_like(z), np.empty_like(z), np.empty(len(z)), np.empty(len(z))
    core.activation_forward(code, z, a)
    core.activation_backward(code, z, a, da, dz)
    reference.activation_forward(code, z.astype(float), want_a)
    reference.activation_backward(code, z.astype(float), want_a, da.astype(float), want_dz)
    # Elementary functions are within 4 ULP; products and differences of them (1 - a^2, z Phi(z)) lose a little more.
    # A derivative taken from a rounded a inherits a's error: absolute, not relative.
    np.testing.assert_allclose(a, want_a, rtol=16 * UNITS[dtype], atol=16 * UNITS[dtype])
    np.testing.assert_allclose(dz, want_dz, rtol=32 * UNITS[dtype], atol=32 * UNITS[dtype])


@core_of
def test_rectifiers_at_zero(isa, dtype):
    """The convention: relu' = 0 and leaky_relu' = 0.01 at 0 and at -0."""
    core = _dispatch.load_core(isa, dtype)
    z = np.array([0.0, -0.0], dtype)
    for activation, slope in (("relu", 0), ("leaky_relu", 0.01)):
        a, dz = np.empty_like(z), np.empty_like(z)
        core.activation_forward(ACTIVATIONS.index(activation), z, a)
        core.activation_backward(ACTIVATIONS.index(activation), z, a, np.ones_like(z), dz)
        assert np.array_equal(a, [0, 0]) and np.array_equal(dz, np.full(2, slope, dtype))


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 7, 16, 33])
def test_nan_stays_in_its_lane(isa, dtype, activation, n):
    core, code = _dispatch.load_core(isa, dtype), ACTIVATIONS.index(activation)
    for lane in range(n):
        z, a = np.ones(n, dtype), np.empty(n, dtype)
        z[lane] = np.nan
        core.activation_forward(code, z, a)
        assert np.array_equal(np.isnan(a), np.isnan(z))


@core_of
@pytest.mark.parametrize("loss, n_out", list(itertools.product(LOSSES, (1, 2, 3, 10, 16, 17, 40))))
def test_losses_and_links_equal_twin(isa, dtype, loss, n_out):
    core, code, rng = _dispatch.load_core(isa, dtype), LOSSES.index(loss), np.random.default_rng(n_out)
    for scale in (1, 30, 1e4):
        raw = (scale * rng.normal(size=(50, n_out))).astype(dtype)
        y = targets(rng, loss, 50, n_out)
        y = y if y.dtype == np.int64 else y.astype(dtype)
        got = np.empty(50), np.empty(50, np.uint8), np.empty_like(raw)
        want = np.empty(50), np.empty(50, np.uint8), np.empty(raw.shape)
        core.loss_forward_backward(code, raw, y, *got)
        reference.loss_forward_backward(code, raw.astype(float), y, *want)
        # Sums of up to 40 terms, relative to the largest loss: a difference of raws loses their size.
        np.testing.assert_allclose(got[0], want[0], rtol=64 * UNITS[dtype], atol=64 * UNITS[dtype] * scale)
        assert np.array_equal(got[1], want[1])
        np.testing.assert_allclose(got[2], want[2], rtol=32 * UNITS[dtype], atol=32 * UNITS[dtype])
        p, want_p = raw.copy(), raw.astype(float)
        core.link(code, p)
        reference.link(code, want_p)
        np.testing.assert_allclose(p, want_p, rtol=32 * UNITS[dtype], atol=32 * UNITS[dtype])


@core_of
@pytest.mark.parametrize("rule", reference.RULES)
def test_update_rules_equal_twin(isa, dtype, rule):
    core, code, rng = _dispatch.load_core(isa, dtype), reference.RULES.index(rule), np.random.default_rng(0)
    for n in (1, 15, 16, 17, 1000):
        w, dw, *slots = rng.normal(size=(4, n)).astype(dtype)
        slots = np.abs(slots)                                   # Adam's second is a mean of squares
        want_w, want_slots = w.astype(float), slots.astype(float)
        for t in (1, 2, 1000):
            core.update({"rule": code, **SETTINGS}, t, w, dw, slots)
            reference.update({"rule": code, **SETTINGS}, t, want_w, dw.astype(float), want_slots)
        # Numbers of order 1, a dozen roundings an update; Adam divides by 1 - beta2^t, 0.001 at first, whose rounding in
        # float32 the core avoids by double, and takes a root, which halves errors.
        np.testing.assert_allclose(w, want_w, rtol=0, atol=64 * UNITS[dtype])
        np.testing.assert_allclose(slots, want_slots, rtol=0, atol=64 * UNITS[dtype])


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_kernels_equal_twin(isa, dtype, activation):
    core, code, rng = _dispatch.load_core(isa, dtype), ACTIVATIONS.index(activation), np.random.default_rng(1)
    for n, n_in, n_out in ((1, 1, 1), (3, 17, 5), (30, 40, 33), (130, 16, 10)):
        X, da = rng.normal(size=(n, n_in)).astype(dtype), rng.normal(size=(n, n_out)).astype(dtype)
        W, b = rng.normal(size=(n_in, n_out)).astype(dtype), rng.normal(size=n_out).astype(dtype)
        results = []
        for module, kind in ((core, dtype), (reference, "float64")):
            z, a = np.empty((n, n_out), kind), np.empty((n, n_out), kind)
            gradients = np.empty((n, n_in), kind), np.empty((n_in, n_out), kind), np.empty(n_out, kind)
            module.dense_forward(X, W.astype(kind), b.astype(kind), code, z, a, 1)
            if kind != dtype:
                z = results[0][0].astype(float)        # derivatives at the same z, on the same side of a kink
            module.dense_backward(X, W.astype(kind), z, a, da, code, *gradients, 1)
            results.append((z, a, *gradients))
        for got, want in zip(*results):
            # Sums of up to 130 products of normals: 16 u |A||B| is about 130 * 16 u, times slopes up to 1.1.
            np.testing.assert_allclose(got, want, rtol=0, atol=4000 * UNITS[dtype])
