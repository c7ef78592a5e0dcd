"""Odd targets: labels of any kind train like class numbers, and what are none is named, with its row."""
import copy

import numpy as np
import pytest
from odd_arrays import N_IN, ROWS, Y_SHAPE, Sparse, bits, classifier, fitted, layouts, network

import fastbp

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
