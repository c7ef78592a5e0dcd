"""The compiled core against its twin: the same names, the same kernels, the same gradients of random networks."""

import inspect

import numpy as np
import pytest
from cores import UNITS, assert_computes_like_the_twin, bits, case, core_of, rows_of
from stacks import layer

from fastbp import _dispatch, reference

ACTIVATIONS = list(reference.ACTIVATIONS)
LOSSES = list(reference.LOSSES)
# Facts of the machine or of the build, and what C gets: these have no twin.
WITHOUT_TWIN = {"fma_chain", "openmp", "handle", "table"}


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
    twin = public(case(dtype, 2, [layer(2)]).stack(reference))
    members = public(core.Stack)
    for name, value in members.items():
        if callable(value):
            assert signature(value) == signature(getattr(reference.Stack, name)), name
        else:
            assert name in twin, name
    assert len(functions) >= 10 and len(members) >= 20


@core_of
def test_codes_stand_in_the_same_order(isa, dtype):
    core = _dispatch.load_core(isa, dtype)
    for enum, names in ((core.Activation, reference.ACTIVATIONS), (core.Loss, reference.LOSSES),
                        (core.Rule, reference.RULES), (core.Elementary, reference.ELEMENTARY)):
        assert [name.lower() for name in enum.__members__] == list(names)


def random_case(dtype, seed):
    """Of any depth, kinds of layers and widths, all determined by the seed; every activation and loss comes up."""
    rng = np.random.default_rng(seed)
    n_in = width = int(rng.integers(1, 40))
    layers, loss = [], LOSSES[seed % len(LOSSES)]
    for i in range(int(rng.integers(1, 5))):
        kind = int(rng.random() < 0.2)
        n_out = width if kind or rng.random() < 0.3 else int(rng.integers(1, 40))
        layers.append(layer(n_out, ACTIVATIONS[(seed + 3 * i) % len(ACTIVATIONS)], kind=kind,
                            norm=0 if kind else int(rng.choice(3, p=[0.6, 0.2, 0.2])),
                            residual=bool(not kind and n_out == width and rng.random() < 0.7)))
        width = n_out
    layers.append(layer(int(rng.integers(2, 20)), ACTIVATIONS[seed % len(ACTIVATIONS) * (seed % 2)]))
    return case(dtype, n_in, layers, loss, n=int(rng.integers(2, 30)), seed=seed)


@core_of
@pytest.mark.parametrize("seed", range(140))
def test_random_networks_equal_twin(isa, dtype, seed):
    """Rounding of sums over at most 40 terms through at most 5 layers, of which norms may divide by little."""
    assert_computes_like_the_twin(isa, random_case(dtype, seed), units=16 * 4096)


@core_of
@pytest.mark.parametrize("seed", range(5))
def test_the_same_gradient_twice(isa, dtype, seed):
    it = random_case(dtype, seed)
    stack = it.stack(_dispatch.load_core(isa, dtype))
    first = bits(stack.gradient(it.X, it.y, None, 1), *rows_of(it, stack, "get_gradient"))
    stack.gradient(it.X[:1], it.y[:1], None, 1)
    assert bits(stack.gradient(it.X, it.y, None, 1), *rows_of(it, stack, "get_gradient")) == first
    assert bits(*rows_of(it, stack)) == bits(*it.rows)


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


KINKS = [       # activation, z, f(z), f'(z)
    ("relu", 0.0, 0, 0), ("relu", -0.0, 0, 0), ("leaky_relu", 0.0, 0, 0.01), ("leaky_relu", -0.0, 0, 0.01),
    ("elu", 0.0, 0, 1), ("selu", 0.0, 0, 1.7580993408473768599), ("hard_tanh", 1, 1, 0), ("hard_tanh", -1, -1, 0),
    ("hard_tanh", 0.5, 0.5, 1), ("hard_sigmoid", 3, 1, 0), ("hard_sigmoid", -3, 0, 0), ("hard_sigmoid", 0, 0.5, 1 / 6),
]


@core_of
@pytest.mark.parametrize("activation, z, value, slope", KINKS)
def test_derivatives_where_they_jump(isa, dtype, activation, z, value, slope):
    """The conventions, also of the twin."""
    for module, kind in ((_dispatch.load_core(isa, dtype), dtype), (reference, "float64")):
        z, a, dz, code = np.array([z], kind), np.empty(1, kind), np.empty(1, kind), ACTIVATIONS.index(activation)
        module.activation_forward(code, z, a)
        module.activation_backward(code, z, a, np.ones(1, kind), dz)
        assert (a[0], dz[0]) == pytest.approx((value, slope), rel=4 * UNITS[dtype], abs=0)


@core_of
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_out(isa, dtype, activation):
    """Nothing overflows that does not have to: squares, cubes and exponentials do not show."""
    core, code, most = _dispatch.load_core(isa, dtype), ACTIVATIONS.index(activation), np.finfo(dtype).max
    z = np.array([most / 2, -most / 2, 1e30, -1e30, 1e5, -1e5], dtype)
    a, dz = np.empty_like(z), np.empty_like(z)
    core.activation_forward(code, z, a)
    core.activation_backward(code, z, a, np.ones_like(z), dz)
    assert np.isfinite(a).all() and np.isfinite(dz).all(), (a, dz)


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


@core_of
def test_weights_are_squared_and_summed_in_double(isa, dtype):
    it = case(dtype, 5, [layer(17), layer(17, kind=reference.SCALE), layer(33, norm=reference.LAYER_NORM), layer(3)])
    core = _dispatch.load_core(isa, dtype)
    np.testing.assert_allclose(it.stack(core).weights_squared(), it.stack(reference).weights_squared(), rtol=1e-14)
