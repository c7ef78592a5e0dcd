"""Odd inputs: an array gives what a clean copy of it gives, bit for bit, or an error that names it.

Every argument that takes an array meets every dtype in every memory layout and in every wrong shape. Nothing
that is only read ever changes, and nothing is written where it does not belong.
"""
import array
import contextlib
import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import fastbp

N, N_IN, N_OUT = 6, 19, 3           # 19: a full cache line of either dtype and a rest
PRECISIONS = ("float32", "float64")
DTYPES = ("f2", "f4", "f8", "g", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?",
          "F", "D", "O", "U8")      # the last four are refused


@functools.cache
def values(dtype, shape):
    """Numbers that the dtype holds, the same at every call; for text and objects, what looks like them."""
    rng = np.random.default_rng(0)
    whole = np.dtype(dtype).kind in "biu"
    x = rng.integers(0, 2 if dtype == "?" else 100, shape) if whole else rng.standard_normal(shape).round(3)
    x = np.asarray(x).astype(dtype)
    x.flags.writeable = False
    return x


def memory_mapped(a, path, mode):
    mapped = np.memmap(path, a.dtype, "w+", shape=a.shape)
    mapped[...] = a
    return mapped if mode == "r+" else np.memmap(path, a.dtype, mode, shape=a.shape)


def shifted(a, offset):
    """The array `offset` bytes into a buffer: unaligned for most dtypes."""
    buffer = bytearray(a.nbytes + 8)
    view = np.ndarray(a.shape, a.dtype, buffer, offset)
    view[...] = a
    return view


def field(a):
    """The array as a field of packed records: rows lie apart by no multiple of the item size."""
    records = np.zeros(len(a), [("before", "u1"), ("it", a.dtype, a.shape[1:]), ("after", "u1")])
    records["it"] = a
    return records["it"]


def layouts(a, directory):
    """Pairs of a name and an array so laid out."""
    locked = a.copy()
    locked.flags.writeable = False
    yield from {"C": a.copy(), "F": a.copy("F"), "rows backwards": a[::-1].copy()[::-1], "read-only": locked,
                "backwards": np.flip(np.flip(a).copy()), "every other row": np.repeat(a, 2, axis=0)[::2],
                "every other column": np.repeat(a, 2, axis=-1)[..., ::2], "field": field(a),
                "one row": np.broadcast_to(a[:1], a.shape),
                "one column": np.broadcast_to(a[..., :1], a.shape)}.items()
    if a.dtype != object:       # objects lie neither in files nor in bytes
        yield from ((f"memmap {mode}", memory_mapped(a, directory / mode, mode)) for mode in ("r", "r+"))
        yield from ((f"offset {offset}", shifted(a, offset)) for offset in range(1, 8))


def fingerprint(a):
    """The bytes of an array and of the memory that it is a view of."""
    whole = a
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return a.tobytes(), whole.tobytes()


def bits(results):
    """What can be compared, of arrays and numbers."""
    return [(x.dtype, x.shape, x.tobytes()) for x in map(np.asarray, results)]


# What reads arrays: a call by the array in question and the precision, which gives the results -------

def network(precision, loss="squared_error"):
    return fastbp.Network([N_IN, 5, N_OUT], activation="tanh", loss=loss, dtype=precision, seed=0)


def classifier(precision):
    return network(precision, "softmax_cross_entropy")


def labels(X):
    """As many labels as X has rows, if it has any."""
    return np.arange(X.shape[0] if getattr(X, "shape", ()) else N) % N_OUT


def fitted(net, X, y, **options):
    history = net.fit(X, y, epochs=2, batch_size=4, **options)
    return [*net.weights, *net.biases, history.loss, history.metric, history.val_loss, history.val_metric]


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


@dataclass(frozen=True)
class Reader:
    name: str                   #: as error messages start
    shape: tuple
    call: Callable
    any_rows: bool = False      #: takes any number of samples from 1 on
    no_rows: bool = False       #: takes no sample as well


X_SHAPE, Y_SHAPE, Y, ROWS = (N, N_IN), (N, N_OUT), values("f8", (N, N_OUT)), values("f8", (N, N_IN))
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

class Sparse:
    shape = X_SHAPE

    def toarray(self):
        raise AssertionError("a sparse matrix is never made dense in silence")


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


# What is written into ---------------------------------------------------------------------------------------

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


# Targets ----------------------------------------------------------------------------------------------------

TEXT = ["maybe", "no", "yes"]
LABELS = {      # the labels, and the classes_ that they make
    **{kind: (np.arange(3, dtype=kind), np.arange(3))
       for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", "f2", "f4", "f8", ">f8", "g")},
    "bool": (np.array([False, True]), np.array([False, True])),
    "negative": (np.array([-7, -1, 0]), np.array([-7, -1, 0])),
    "big": (np.array([2**53, 2**53 + 1, 2**62]), np.array([2**53, 2**53 + 1, 2**62])),
    "very big": (np.arange(2**63, 2**63 + 3, dtype="u8"), np.arange(2**63, 2**63 + 3, dtype="u8")),
    "whole floats": (np.array([-5.0, 10.0, 1e6]), np.array([-5, 10, 10**6])),
    "huge floats": (np.array([-1e300, 10.0, 20.0]), np.array([-1e300, 10.0, 20.0])),
    "text": (np.array(TEXT), np.array(TEXT)), "bytes": (np.array(TEXT, "S"), np.array(TEXT, "S")),
    "objects": (np.array(TEXT, object), np.array(TEXT)),
}
LABEL_LOSSES = {"softmax_cross_entropy": lambda k: k, "binary_cross_entropy": lambda k: 1}


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_train_like_class_numbers(tmp_path, kind, loss):
    known, classes = (labels[:2] if loss == "binary_cross_entropy" else labels for labels in LABELS[kind])
    numbers = np.array([0, 1, len(known) - 1, 0, 1, 0])
    start = fastbp.Network([N_IN, LABEL_LOSSES[loss](len(known))], loss=loss, seed=0)
    twin = copy.deepcopy(start)
    wanted = fitted(twin, ROWS, numbers)
    for layout, y in [*layouts(known[numbers], tmp_path), ("list", known[numbers].tolist()),
                      ("column", known[numbers][:, None])]:
        if layout.startswith("one"):
            continue                # of a single label
        net = copy.deepcopy(start)
        assert bits(fitted(net, ROWS, y)) == bits(wanted), layout
        np.testing.assert_array_equal(net.classes_, classes, strict=layout != "list")
        np.testing.assert_array_equal(net.predict(ROWS), net.classes_[twin.predict(ROWS)], strict=True)
        assert net.evaluate(ROWS, y) == twin.evaluate(ROWS, numbers), layout


BAD_LABELS = {  # for three classes
    "NaN": ([0, 1, np.nan, 2, 0, 1], ValueError, "y must be finite; row 2"),
    "infinity": ([0, 1, 2, 2, 0, -np.inf], ValueError, "y must be finite; row 5"),
    "half": ([0, 1, 0.5, 2, 0, 1], ValueError, "y must hold labels; row 2 is 0.5"),
    "None": ([0, 1, None, 2, 0, 1], TypeError, r"y must hold labels \(integers or strings\), not object"),
    "objects": (np.array([0, 1, 2] * 2, object), TypeError, r"y must hold labels .*, not object"),
    "mixed": (np.array(["a", 1, "b"] * 2, object), TypeError, r"y must hold labels .*, not object"),
    "beyond 64 bits": ([2**70, 1, 2] * 2, TypeError, r"y must hold labels .*, not object"),
    "complex": ([1j, 0, 1] * 2, TypeError, r"y must hold labels .*, not complex128"),
    "dates": (np.array([0, 1, 2] * 2, "M8[D]"), TypeError, r"y must hold labels .*, not datetime64\[D\]"),
    "too short": ([0, 1, 2, 0, 1], ValueError, "y must have one entry a sample: X has 6 samples, y has 5"),
    "too long": ([0, 1, 2] * 3, ValueError, "y must have one entry a sample: X has 6 samples, y has 9"),
    "too many classes": ([0, 1, 2, 3] * 2, ValueError, r"y has 4 distinct labels \(0, 1, 2, 3\); .* 3 apart"),
    "too few classes": (["a", "b"] * 3, ValueError, r"y has 2 distinct labels \('a', 'b'\); .* 3 apart"),
    "very many classes": (list(range(10, 16)), ValueError, "y has 6 distinct labels"),
    "one-hot": (np.eye(3)[[0, 1, 2] * 2], ValueError, r"y must hold one label a sample, .* not \(6, 3\)"),
    "row": ([[0, 1, 2] * 2], ValueError, r"y must hold one label a sample, .* not \(1, 6\)"),
    "0-d": (1, ValueError, r"y must hold one label a sample, .* not \(\)"),
    "empty": ([], ValueError, "y "), "no array": (None, TypeError, "y must be an array, not None"),
    "sparse": (Sparse(), TypeError, "y must be a dense array, not Sparse; call its toarray"),
    "masked": (np.ma.masked_equal([0, 1, 2] * 2, 9), TypeError, "y must be a plain array, not a masked one"),
}


@pytest.mark.parametrize("known", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("y, error, message", BAD_LABELS.values(), ids=BAD_LABELS)
def test_what_are_no_labels_is_named(y, error, message, known):
    net = classifier("float32")
    if known:       # then labels are held against classes_, which is another path
        net.fit(ROWS, [0, 1, 2] * 2, epochs=1)
        message = "y " if "distinct" in message else message
    with pytest.raises(error, match=f"^{message}"):
        net.fit(ROWS, y)


@pytest.mark.parametrize("call", ["fit", "partial_fit", "evaluate", "loss_and_gradient"])
@pytest.mark.parametrize("first, then, message", [
    (["a", "b", "c"], ["a", "b", "x"], "y row 2 is 'x', which is no class of this network: 'a', 'b', 'c'"),
    (["a", "b", "c"], [0, 1, 2], "y holds int64 labels, the network's classes_ are <U1"),
    ([5, 7, 9], ["5", "7", "9"], "y holds <U1 labels, the network's classes_ are int64"),
    ([5, 7, 9], [5, 7, 8], "y row 2 is 8, which is no class of this network: 5, 7, 9"),
    ([0, 1, 2], [0, 3, 1], "y row 1 is 3, which is no class of this network: 0, 1, 2"),
    ([0, 1, 2], [0, 1, -1], "y row 2 is -1, which is no class of this network: 0, 1, 2"),
    (["a", "b", "c"], [b"a", b"b", b"c"], "y "),
    ([0, 1, 2], [0, 1, 1e300], "y row 2 is 1e\\+300, which is no class")])
def test_a_label_never_seen_is_named(call, first, then, message):
    net = classifier("float32")
    net.fit(ROWS, first * 2, epochs=1)
    with pytest.raises(ValueError, match=f"^{message}"):
        getattr(net, call)(ROWS, then * 2)


def test_big_labels_of_another_integer_type_are_the_same_labels():
    net = classifier("float32")
    big = np.array([2**53, 2**53 + 1, 2**62] * 2)
    net.fit(ROWS, big, epochs=1)
    assert net.evaluate(ROWS, big.astype("u8")) == net.evaluate(ROWS, big)


def spoiled(value):
    y = np.full(Y_SHAPE, 0.5)
    y[4, 1] = value
    return y


@pytest.mark.parametrize("loss, value, message", [
    ("squared_error", -np.inf, "y must be finite; row 4"),
    ("binary_cross_entropy", np.nan, "y must be finite; row 4"),
    ("binary_cross_entropy", 1.25, r"y must lie in \[0, 1\] .*; row 4 is \[0.5, 1.25, 0.5\]"),
    ("binary_cross_entropy", -0.25, r"y must lie in \[0, 1\] .*; row 4 is \[0.5, -0.25, 0.5\]"),
    ("squared_error", 1e300, "y must be finite; row 4")])      # in float32
def test_a_row_of_values_out_of_range_is_named(loss, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        network("float32", loss).fit(ROWS, spoiled(value))
    with pytest.raises(ValueError, match=f"^validation_data {message}"):
        network("float32", loss).fit(ROWS, spoiled(0), validation_data=(ROWS, spoiled(value)))


@pytest.mark.parametrize("values_", [[0.25, 0.5, 1.0] * 2, [0.0, 1.0, 0.5] * 2, [1e-9] * 6])
def test_one_binary_output_takes_probabilities(values_):
    net = fastbp.Network([N_IN, 1], loss="binary_cross_entropy", seed=0)
    column = fastbp.Network([N_IN, 1], loss="binary_cross_entropy", seed=0)
    assert bits(fitted(net, ROWS, values_)) == bits(fitted(column, ROWS, np.array(values_)[:, None]))
    assert net.classes_ is None and set(net.predict(ROWS)) <= {0, 1}
