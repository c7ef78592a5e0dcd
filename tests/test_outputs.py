"""Odd places for results: an array is written into, to the bits of a new one, and nothing beside it; or an error names it."""
import contextlib

import numpy as np
import pytest
from odd_arrays import (
    DTYPES,
    N_IN,
    N_OUT,
    PRECISIONS,
    ROWS,
    X_SHAPE,
    Y_SHAPE,
    N,
    Reader,
    Y,
    bits,
    fingerprint,
    layouts,
    network,
    values,
)

import fastbp


def backward_out(place):
    def call(out, precision):
        three = [np.empty(shape, precision) for shape in (X_SHAPE, (N_IN, N_OUT), (N_OUT,))]
        three[place] = out
        good = [values(precision, shape) for shape in (X_SHAPE, (N_IN, N_OUT), Y_SHAPE)]
        return fastbp.dense_backward(*good, out=tuple(three))[place]
    return call


def forward_z(z, precision):
    fastbp.dense_forward(*(values(precision, shape) for shape in (X_SHAPE, (N_IN, N_OUT), (N_OUT,))), z=z)
    return z


WRITERS = {
    "forward": Reader("out", Y_SHAPE, lambda out, p: network(p).forward(ROWS, out=out)),
    "dense_forward z": Reader("z", Y_SHAPE, forward_z),
    "dense_forward out": Reader("out", Y_SHAPE, lambda out, p: fastbp.dense_forward(
        ROWS, values(p, (N_IN, N_OUT)), values(p, (N_OUT,)), out=out)),
    "dense_backward dX": Reader("dX", X_SHAPE, backward_out(0)),
    "dense_backward dW": Reader("dW", (N_IN, N_OUT), backward_out(1)),
    "dense_backward db": Reader("db", (N_OUT,), backward_out(2)),
    "sgd_update w": Reader("w", Y_SHAPE, lambda w, p: fastbp.sgd_update(w, values("f8", Y_SHAPE))),
    "sgd_update velocity": Reader("velocity", Y_SHAPE, lambda v, p: (
        fastbp.sgd_update(values(p, Y_SHAPE).copy(), values(p, Y_SHAPE), v, momentum=0.5), v)[1]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_result_goes_into_the_array_given_or_nowhere(tmp_path, writer, dtype):
    for precision in PRECISIONS:
        for layout, given in layouts(values(dtype, writer.shape), tmp_path):
            fits = given.dtype in PRECISIONS if writer.name == "w" else given.dtype == precision
            before, twin = fingerprint(given), np.array(given, order="C")
            if fits and given.flags.c_contiguous and given.flags.aligned and given.flags.writeable:
                assert writer.call(given, precision) is given
                assert bits([given]) == bits([writer.call(twin, precision)]), f"{layout}, {precision}"
            else:
                with pytest.raises((TypeError, ValueError)) as error:
                    writer.call(given, precision)
                assert str(error.value).startswith(f"{writer.name} must be"), layout
                assert fingerprint(given) == before, f"{layout}, {precision}"


NO_PLACES = {"list": [[0.0]], "text": "out", "number": 0, "dates": np.zeros(Y_SHAPE, "M8[D]"),
             "read-only memoryview": memoryview(np.empty(Y_SHAPE)).toreadonly(),
             "0-d": np.empty(()), "column": np.empty((N, 1)), "3-d": np.empty((1, N, N_OUT))}


@pytest.mark.parametrize("given", NO_PLACES.values(), ids=NO_PLACES)
@pytest.mark.parametrize("writer", [pytest.param(w, id=name) for name, w in WRITERS.items() if w.name != "w"])
def test_what_cannot_take_the_result_is_named(writer, given):
    with pytest.raises(ValueError, match=f"^{writer.name} must be a writable C-contiguous float64 array of "):
        writer.call(given, "float64")


@pytest.mark.parametrize("out", [(), (None, None), (None,) * 4, 5], ids=str)
def test_the_places_of_gradients_are_three(out):
    with pytest.raises((TypeError, ValueError), match="^out must be "):
        fastbp.dense_backward(ROWS, values("f8", (N_IN, N_OUT)), Y, out=out)


@pytest.mark.parametrize("velocity", ["v", np.zeros(3), np.zeros(Y_SHAPE, "f4")], ids=["text", "1-d", "f4"])
def test_a_velocity_is_looked_at_without_momentum(velocity):
    with pytest.raises(ValueError, match="^velocity must be a writable C-contiguous float64 array of shape "):
        fastbp.sgd_update(Y.copy(), Y, velocity)


@pytest.mark.parametrize("shift", [0, 1, 200])
def test_a_result_that_overlaps_its_input_is_right_or_refused(shift):
    net = fastbp.Network([4, 4], loss="squared_error", seed=0)
    memory = np.tile(values("f4", (5, 4)), (100, 1))
    wanted = net.forward(memory[:300].copy())
    with contextlib.suppress(ValueError):
        assert net.forward(memory[:300], out=memory[shift:300 + shift]).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dirt", [np.nan, np.inf, -0.0])
@pytest.mark.parametrize("writer", [pytest.param(w, id=k) for k, w in WRITERS.items() if "sgd" not in k])
def test_what_stood_in_the_result_does_not_matter(writer, dirt):
    dirty, zero = np.full(writer.shape, dirt), np.zeros(writer.shape)
    assert bits([writer.call(dirty, "float64")]) == bits([writer.call(zero, "float64")])


@pytest.mark.parametrize("dirt", [np.nan, np.inf])
def test_only_dX_depends_on_the_weights(dirt):
    X, W, da = values("f8", X_SHAPE), values("f8", (N_IN, N_OUT)).copy(), values("f8", Y_SHAPE)
    wanted = fastbp.dense_backward(X, W, da)[1:]
    W[0, 0] = dirt
    assert bits(fastbp.dense_backward(X, W, da)[1:]) == bits(wanted)
