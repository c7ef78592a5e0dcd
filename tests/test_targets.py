"""What becomes of y: masks, counts, classes, levels and weights; and the row that is named where it cannot be used."""

import numpy as np
import pytest

from fastbp import _targets
from fastbp.losses import LOSSES, CustomLoss, Quantile, read_loss

NAN = np.nan
MASKED = [name for name, loss in LOSSES.items() if loss.targets in ("values", "counts")]
CUSTOM = CustomLoss(lambda raw, y: (0.0, raw))


def encoded(y, loss, n_out, dtype="float64"):
    loss = read_loss(loss)
    return _targets.encode(y, loss, n_out, _targets.find_classes(y, loss, n_out), np.dtype(dtype))


# Values and masks ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", MASKED)
def test_nan_leaves_an_output_out(loss, dtype):
    y = encoded([[1, NAN, 3], [NAN, NAN, 6]], loss, 3, dtype)
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_array_equal(y, [[1, NAN, 3], [NAN, NAN, 6]])


@pytest.mark.parametrize("loss", MASKED)
@pytest.mark.parametrize("y, n_out, message", [
    ([[1, 2], [NAN, 3], [NAN, NAN]], 2, "y must be finite; row 2 is not: NaN leaves an output out, but none is left"),
    ([1, NAN], 1, "y must be finite; row 1 is not: NaN"), ([[1.0], [NAN]], 1, "row 1"),
    ([[1, 2], [NAN, np.inf]], 2, "y must be finite; row 1 is not$"), ([[-np.inf, NAN], [1, 2]], 2, "row 0")])
def test_a_row_without_a_target_is_named(loss, y, n_out, message):
    with pytest.raises(ValueError, match=message):
        encoded(y, loss, n_out)


def test_what_overflows_the_dtype_is_named():
    assert encoded([[1e300]], "huber", 1).item() == 1e300
    with pytest.raises(ValueError, match="row 1"):
        encoded([[1.0], [1e300]], "huber", 1, "float32")


def test_counts_are_not_negative():
    np.testing.assert_array_equal(encoded([0, 1, 2.5], "poisson", 1), [[0], [1], [2.5]])
    with pytest.raises(ValueError, match=r"y must be at least 0 for poisson; row 1 is \[3.0, -1.0\]"):
        encoded([[NAN, 1], [3, -1]], "poisson", 2)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_single_output_takes_a_flat_y(loss):
    assert encoded([1, 2, 3], loss, 1).shape == (3, 1)
    with pytest.raises(ValueError, match=r"y must have shape \(n, 2\), not \(3,\)"):
        encoded([1, 2, 3], loss, 2)


# Quantiles -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("y", [[1, 2, 3, 4], [[1], [2], [3], [4]]])
def test_one_column_serves_all_levels(y):
    result = encoded(y, Quantile((0.1, 0.5, 0.9)), 3)
    assert result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, np.repeat([[1], [2], [3], [4]], 3, axis=1))


def test_each_level_may_have_a_column_of_its_own():
    np.testing.assert_array_equal(encoded([[1, 2], [3, NAN]], Quantile((0.1, 0.9)), 2), [[1, 2], [3, NAN]])


@pytest.mark.parametrize("y", [[1, 2], [[1], [2]], [[1, 2, 3]]])
def test_one_level_over_two_outputs_needs_two_columns(y):
    with pytest.raises(ValueError, match=r"y must have shape \(n, 2\)"):
        encoded(y, Quantile(0.5), 2)


def test_a_missing_column_of_all_levels_is_a_row_without_a_target():
    with pytest.raises(ValueError, match="row 1 is not: NaN"):
        encoded([1, NAN], Quantile((0.1, 0.9)), 2)


# Classes -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("y, classes", [
    ([0, 1, 1], [0, 1]), ([-1, 1, 1], [-1, 1]), ([-1.0, 1.0, 1.0], [-1, 1]), (["no", "yes", "yes"], ["no", "yes"])])
def test_two_labels_are_0_and_1(loss, y, classes):
    assert _targets.find_classes(y, read_loss(loss), 1).tolist() == classes
    np.testing.assert_array_equal(encoded(y, loss, 1), [[0], [1], [1]])


def test_binary_targets_lie_between_0_and_1_and_those_of_a_hinge_at_the_ends():
    np.testing.assert_array_equal(encoded([[0.3, 1]], "binary_cross_entropy", 2), [[0.3, 1]])
    np.testing.assert_array_equal(encoded([[0, 1], [1, 1]], "hinge", 2), [[0, 1], [1, 1]])
    with pytest.raises(ValueError, match=r"y must be 0 or 1 for hinge; row 1 is \[0.5, 1.0\]"):
        encoded([[0, 1], [0.5, 1]], "hinge", 2)
    with pytest.raises(ValueError, match=r"y must be 0 or 1 for hinge; row 0 is \[0.25\]"):
        encoded([0.25, 1.0], "hinge", 1)
    with pytest.raises(ValueError, match=r"y must lie in \[0, 1\] for binary_cross_entropy; row 1"):
        encoded([[0, 1], [0, -1]], "binary_cross_entropy", 2)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
def test_there_is_no_mask_for_classes(loss):
    with pytest.raises(ValueError, match="y must be finite; row 1 is not$"):
        encoded([[0, 1], [NAN, 1]], loss, 2)


@pytest.mark.parametrize("loss", [*MASKED, CUSTOM], ids=str)
def test_classes_are_for_labels(loss):
    with pytest.raises(ValueError, match="classes must be None"):
        _targets.told_classes([0, 1], None, read_loss(loss), 1)


# A user's own --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("y, shape", [([1, 2, 3], (3, 1)), ([[1, 2, 3, 4]], (1, 4)), (np.zeros((5, 2), bool), (5, 2))])
def test_a_function_of_ones_own_reads_any_numbers(y, shape):
    for n_out in (1, 2, 3):
        result = encoded(y, CUSTOM, n_out, "float32")
        assert result.shape == shape and result.dtype == np.float32 and result.flags.c_contiguous


def test_a_function_of_ones_own_knows_what_nan_means():
    np.testing.assert_array_equal(encoded([NAN, np.inf], CUSTOM, 1), [[NAN], [np.inf]])


@pytest.mark.parametrize("y, error", [(["a"], TypeError), ([1j], TypeError), (np.zeros((2, 2, 2)), ValueError), (3.0, ValueError),
                                      (None, TypeError)])
def test_what_is_no_table_of_numbers_is_refused(y, error):
    with pytest.raises(error, match="y must"):
        encoded(y, CUSTOM, 1)


# Weights -------------------------------------------------------------------------------------------------------------

LABELS, SOFTMAX = np.array([0, 0, 0, 2]), read_loss("softmax_cross_entropy")
CLASSES = np.array(["ant", "bee", "cat"])


def weights(sample_weight=None, class_weight=None, y=LABELS, classes=CLASSES, loss=SOFTMAX):
    return _targets.weights_of(sample_weight, class_weight, y, classes, loss)


def test_without_weights_there_is_nothing():
    assert weights() is None


@pytest.mark.parametrize("given", [[1, 2, 0, 4], np.array([1, 2, 0, 4], "f4"), np.array([1, 2, 0, 4], ">i8")])
def test_sample_weights_are_float64(given):
    result = weights(given)
    assert result.dtype == np.float64 and result.tolist() == [1, 2, 0, 4]


def test_class_weights_by_label():
    assert weights(class_weight={"ant": 0.5, "cat": 3}).tolist() == [0.5, 0.5, 0.5, 3]
    assert weights(class_weight={np.str_("cat"): 3}).tolist() == [1, 1, 1, 3]
    assert weights(class_weight={0: 2, 5: 4}, classes=np.array([0, 3, 5])).tolist() == [2, 2, 2, 4]


def test_balanced_weights_give_each_class_that_is_there_the_same_sum():
    assert weights(class_weight="balanced").tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])


def test_weights_of_samples_and_classes_multiply():
    assert weights([1, 2, 3, 4], {"cat": 10}).tolist() == [1, 2, 3, 40]


def test_class_weights_of_one_output():
    y = np.array([[0.0], [1.0], [1.0]])
    result = weights(class_weight={"no": 5}, y=y, classes=np.array(["no", "yes"]), loss=read_loss("hinge"))
    assert result.tolist() == [5, 1, 1]


@pytest.mark.parametrize("settings, error, message", [
    (dict(sample_weight=[1, 2, 3]), ValueError, "sample_weight must have one entry a sample: X has 4 samples"),
    (dict(sample_weight=[[1, 2, 3, 4]]), ValueError, r"sample_weight must have shape \(n,\)"),
    (dict(sample_weight=[1, 2, -3, 4]), ValueError, "sample_weight must be at least 0; row 2 is -3"),
    (dict(sample_weight=[1, NAN, 3, 4]), ValueError, "sample_weight must be finite; row 1"),
    (dict(sample_weight=[1, 2, 3, np.inf]), ValueError, "sample_weight must be finite; row 3"),
    (dict(sample_weight=["a", "b", "c", "d"]), TypeError, "sample_weight must hold real numbers"),
    (dict(sample_weight=[0, 0, 0, 0]), ValueError, "leave a sample that counts more than 0"),
    (dict(class_weight={"ant": 0, "cat": 0}), ValueError, "leave a sample that counts more than 0"),
    (dict(class_weight={"dog": 1}), ValueError, "class_weight has 'dog', which is no class of this network: 'ant', 'bee', 'cat'"),
    (dict(class_weight={"ant": -1}), ValueError, "class_weight of 'ant' must be finite and at least 0, not -1"),
    (dict(class_weight={"ant": "heavy"}), TypeError, "class_weight of 'ant' must be a number"),
    (dict(class_weight="equal"), TypeError, "class_weight must be a dict of label to weight, 'balanced' or None, not 'equal'"),
    (dict(class_weight=[1, 2, 3]), TypeError, "class_weight must be a dict"),
    (dict(class_weight="balanced", classes=None), ValueError, "class_weight must be None where y is no labels"),
    (dict(sample_weight=[1, 1, 1, 1], loss=CUSTOM), ValueError, "must be None for a Python function as loss")], ids=str)
def test_bad_weights_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        weights(**settings)


# R^2 -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5, 20000])        # the last in several blocks
def test_total_sum_of_squares_leaves_nan_out(n, dtype):
    rng = np.random.default_rng(0)
    y = (rng.normal(size=(n, 3)) + [0, 100, -5]).astype(dtype)
    y[rng.random(y.shape) < 0.3] = NAN
    columns = [column[~np.isnan(column)].astype(np.float64) for column in y.T]
    wanted = sum(((column - column.mean()) ** 2).sum() for column in columns if len(column))
    assert _targets.total_sum_of_squares(y) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_a_column_without_a_number_counts_nothing():
    assert _targets.total_sum_of_squares(np.array([[1.0, NAN], [3.0, NAN]])) == 2
