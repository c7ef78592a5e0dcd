"""Odd inputs: an array gives what a clean copy of it gives, bit for bit, or an error that names it.

Every argument that takes an array meets every dtype in every memory layout and in every wrong shape. Nothing that is only
read ever changes.
"""
import array

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
    Sparse,
    Y,
    bits,
    classifier,
    fingerprint,
    fitted,
    layouts,
    network,
    values,
)

import fastbp


def labels(X):
    """As many labels as X has rows, if it has any."""
    return np.arange(X.shape[0] if getattr(X, "shape", ()) else N) % N_OUT


def stepped(net, X, y):
    return [net.partial_fit(X, y), *net.weights, *net.biases]


def gradient(net, X, y):
    loss, dW, db = net.loss_and_gradient(X, y)
    return [loss, *dW, *db]


def with_parameters(precision, **changed):
    net = network(precision)
    first = {"W": net.weights[0], "b": net.biases[0]} | changed
    net.set_parameters([first["W"], net.weights[1]], [first["b"], net.biases[1]])
    return [*net.weights, *net.biases]


def kernel(function, precision, **changed):
    """One of the two dense kernels, on good arguments but for those given."""
    shapes = {"X": (N, N_IN), "W": (N_IN, N_OUT), "b": (N_OUT,), "da": (N, N_OUT), "z": (N, N_OUT)}
    g = {name: values(precision, shape) for name, shape in shapes.items()} | changed
    if function == "forward":
        return [fastbp.dense_forward(g["X"], g["W"], g["b"], "tanh")]
    return fastbp.dense_backward(g["X"], g["W"], g["da"], "tanh", g["z"])


def updated(dw, precision):
    return [fastbp.sgd_update(values(precision, Y_SHAPE).copy(), dw)]


READERS = {
    "forward": Reader("X", X_SHAPE, lambda X, p: [classifier(p).forward(X)], True, True),
    "predict": Reader("X", X_SHAPE, lambda X, p: [classifier(p).predict(X)], True, True),
    "predict_proba": Reader("X", X_SHAPE, lambda X, p: [classifier(p).predict_proba(X)], True, True),
    "evaluate X": Reader("X", X_SHAPE, lambda X, p: classifier(p).evaluate(X, labels(X)), True),
    "fit X": Reader("X", X_SHAPE, lambda X, p: fitted(classifier(p), X, labels(X)), True),
    "partial_fit X": Reader("X", X_SHAPE, lambda X, p: stepped(classifier(p), X, labels(X)), True),
    "gradient X": Reader("X", X_SHAPE, lambda X, p: gradient(classifier(p), X, labels(X)), True),
    "validation X": Reader("validation_data X", X_SHAPE, lambda X, p: fitted(
        classifier(p), ROWS, labels(ROWS), validation_data=(X, labels(X))), True),
    "evaluate y": Reader("y", Y_SHAPE, lambda y, p: network(p).evaluate(ROWS, y)),
    "fit y": Reader("y", Y_SHAPE, lambda y, p: fitted(network(p), ROWS, y)),
    "partial_fit y": Reader("y", Y_SHAPE, lambda y, p: stepped(network(p), ROWS, y)),
    "gradient y": Reader("y", Y_SHAPE, lambda y, p: gradient(network(p), ROWS, y)),
    "validation y": Reader("validation_data y", Y_SHAPE, lambda y, p: fitted(
        network(p), ROWS, Y, validation_data=(ROWS, y))),
    "weights": Reader("weights[0]", (N_IN, 5), lambda W, p: with_parameters(p, W=W)),
    "biases": Reader("biases[0]", (5,), lambda b, p: with_parameters(p, b=b)),
    "dense_forward X": Reader("X", X_SHAPE, lambda X, p: kernel("forward", p, X=X), True, True),
    "dense_forward W": Reader("W", (N_IN, N_OUT), lambda W, p: kernel("forward", p, W=W)),
    "dense_forward b": Reader("b", (N_OUT,), lambda b, p: kernel("forward", p, b=b)),
    "dense_backward X": Reader("X", X_SHAPE, lambda X, p: kernel(
        "backward", p, X=X, da=Y[:len(labels(X))], z=Y[:len(labels(X))]), True, True),
    "dense_backward W": Reader("W", (N_IN, N_OUT), lambda W, p: kernel("backward", p, W=W)),
    "dense_backward da": Reader("da", Y_SHAPE, lambda da, p: kernel("backward", p, da=da)),
    "dense_backward z": Reader("z", Y_SHAPE, lambda z, p: kernel("backward", p, z=z)),
    "sgd_update dw": Reader("dw", Y_SHAPE, updated),
}


def clean(a, reader, precision):
    """The copy that the documents promise: of the call's precision; W's own is that of the kernels."""
    if reader.name == "W":
        precision = "f4" if a.dtype.newbyteorder("=") == "f4" else "f8"
    return np.array(a, precision, order="C")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_layout_never_matters(tmp_path, reader, dtype):
    for precision in PRECISIONS:
        for layout, given in layouts(values(dtype, reader.shape), tmp_path):
            before = fingerprint(given)
            if given.dtype.kind in "biuf":
                results = reader.call(given, precision)
                wanted = reader.call(clean(given, reader, precision), precision)
                assert bits(results) == bits(wanted), f"{layout}, {precision}"
            else:
                with pytest.raises(TypeError) as error:
                    reader.call(given, precision)
                assert str(error.value).startswith(reader.name), layout
            assert fingerprint(given) == before, f"{layout}, {precision}"


SHAPES = ((0, N_IN), (0, N_OUT), (N, 0), (0, 0), (1, N_IN), (1, N_OUT), (N + 1, N_OUT), (), (1,), (N,),
          (N_IN,), (0,), (1, N, N_IN), (N, N_OUT, 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_shape_fits_or_is_named(reader, shape):
    # W says how many columns there are, so that the others may be wrong
    named = ("W", "X", "b") if reader.name == "W" else reader.name
    rows_fit = reader.any_rows and len(shape) == 2 and shape[1] == N_IN and (shape[0] > 0 or reader.no_rows)
    for dtype in DTYPES:
        given = values(dtype, shape)
        if rows_fit and given.dtype.kind in "biuf":
            results = reader.call(given, "float32")
            assert bits(results) == bits(reader.call(clean(given, reader, "float32"), "float32")), dtype
        else:
            with pytest.raises((TypeError, ValueError)) as error:
                reader.call(given, "float32")
            assert str(error.value).startswith(named), dtype


# Not arrays -------------------------------------------------------------------------------------------------

class ArrayLike:
    shape = X_SHAPE

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a()


class Subclass(np.ndarray):
    pass


def broken():
    raise RuntimeError("no array today")


NO_ARRAYS = {
    "None": None, "sparse": Sparse(), "text": "1 2 3", "bytes": b"123", "dict": {0: [1.0]}, "set": {1.0},
    "generator": (x for x in [1.0]), "ragged": [[1.0, 2.0], [3.0]], "class": float, "complex list": [[1j]],
    "masked": np.ma.masked_array(values("f8", X_SHAPE), mask=False), "broken": ArrayLike(broken),
    "records": np.zeros(X_SHAPE, "f4,f4"), "dates": np.zeros(X_SHAPE, "M8[D]"),
    "list of None": [[None] * N_IN] * N,
}


@pytest.mark.parametrize("given", NO_ARRAYS.values(), ids=NO_ARRAYS)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_is_no_array_of_numbers_is_named(reader, given):
    with pytest.raises((TypeError, ValueError)) as error:
        reader.call(given, "float32")
    assert str(error.value).startswith(reader.name)


LIKES = {"list": np.ndarray.tolist, "tuple of rows": tuple, "memoryview": memoryview,
         "subclass": lambda a: a.view(Subclass), "__array__": lambda a: ArrayLike(lambda: a),
         "array.array": lambda a: [array.array("d", row) for row in a]}


@pytest.mark.parametrize("like", LIKES.values(), ids=LIKES)
@pytest.mark.parametrize("reader", [r for r in READERS.values() if len(r.shape) == 2],
                         ids=[name for name, r in READERS.items() if len(r.shape) == 2])
def test_what_numpy_takes_for_an_array_is_one(reader, like):
    given = values("f8", reader.shape)
    assert bits(reader.call(like(given), "float64")) == bits(reader.call(given, "float64"))


def test_data_frames_are_read():
    pandas = pytest.importorskip("pandas")
    X, y = values("f8", X_SHAPE), np.array(["a", "b", "c"] * 2)
    frames = fitted(classifier("float64"), pandas.DataFrame(X), pandas.Series(y, index=range(7, 7 + N)))
    assert bits(frames) == bits(fitted(classifier("float64"), X, y))
