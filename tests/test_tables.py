"""Files to arrays, and arrays to what a network takes: every form, and what is wrong with a file named."""
import zipfile

import numpy as np
import pytest

from fastbp import _prepare, tables
from fastbp.datasets import load_digits

X = np.arange(12, dtype=np.float32).reshape(4, 3)
y = np.array([0, 1, 1, 0])


def test_embedded_digits_are_the_uci_test_set():
    X, y = load_digits()
    assert (X.shape, X.dtype, X.min(), X.max()) == ((1797, 64), np.uint8, 0, 16)
    assert (y.shape, y.dtype) == ((1797,), np.uint8)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # optdigits.names
    assert X.astype(int).sum() == 561718


@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("X_train", "Y_train"), ("x_train", "y_train")])
def test_npz_names_in_any_case(tmp_path, names):
    np.savez(tmp_path / "t.npz", **dict(zip(names, (X, y))))
    table = tables.open_table([tmp_path / "t.npz"])
    np.testing.assert_array_equal(table.X, X)
    np.testing.assert_array_equal(table.y, y)
    assert table.X_test is None and table.y_test is None


def test_npz_with_a_test_set(tmp_path):
    np.savez(tmp_path / "t.npz", x_train=X, y_train=y, x_test=X[:2], y_test=y[:2])
    table = tables.open_table([tmp_path / "t.npz"])
    np.testing.assert_array_equal(table.X_test, X[:2])
    np.testing.assert_array_equal(table.y_test, y[:2])
    samples, answers, is_test_set = tables.open_samples([tmp_path / "t.npz"])
    assert is_test_set
    np.testing.assert_array_equal(samples, X[:2])
    np.testing.assert_array_equal(answers, y[:2])


def test_npy_pair_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y[:, None])
    table = tables.open_table([tmp_path / "X.npy", tmp_path / "y.npy"])
    assert isinstance(table.X, np.memmap) and not table.X.flags.writeable
    np.testing.assert_array_equal(table.y, y)
    kept = _prepare.hold_out(table, 0, seed=0)
    assert np.shares_memory(_prepare.as_features(kept.X, "float64"), table.X)


@pytest.mark.parametrize("text, target, columns, answers", [
    ("a,b,c\n1,2,3\n4,5,6\n", "c", [[1, 2], [4, 5]], [3, 6]),
    ("a,b,c\n1,2,3\n4,5,6\n", "0", [[2, 3], [5, 6]], [1, 4]),
    ("a,b,c\n1,2,3\n4,5,6\n", "-1", [[1, 2], [4, 5]], [3, 6]),
    ("1,2,3\n4,5,6\n", "1", [[1, 3], [4, 6]], [2, 5]),
    ("0,1,kind\n1,2,3\n4,5,6\n", "kind", [[1, 2], [4, 5]], [3, 6]),
    ("a,b,c\n1,2,3.5\n4,5,6\n", "c", [[1, 2], [4, 5]], [3.5, 6]),
    ("1e2,-.5, cat\n+3,1E-3,dog", "2", [[100, -0.5], [3, 1e-3]], ["cat", "dog"]),
    ('\ufeffa,"b, c",d\r\nx,1,"2"\r\n\r\n"x, y",3,4\r\n', "a", [[1, 2], [3, 4]], ["x", "x, y"]),
    ("a,b\n1,2\n3,4\n", None, [[1, 2], [3, 4]], None),
])
def test_csv(tmp_path, text, target, columns, answers):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    samples, found, is_test_set = tables.open_samples([path], target)
    assert samples.dtype == np.float64 and samples.tolist() == columns and not is_test_set
    assert (found if found is None else found.tolist()) == answers


def test_csv_in_several_chunks(tmp_path):
    n = 2 * tables.CSV_ROWS_AT_ONCE + 3
    rows = [f"{i},{i % 7},{-i}" for i in range(n)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(rows))
    table = tables.open_table([path], "1")
    np.testing.assert_array_equal(table.X, np.stack([np.arange(n), -np.arange(n)], axis=1))
    np.testing.assert_array_equal(table.y, np.arange(n) % 7)
    rows[n - 2] = "1,2,oops"
    path.write_text("\n".join(rows))
    with pytest.raises(ValueError, match=rf"line {n - 1}, column 2: 'oops' is not a finite number"):
        tables.open_table([path], "1")


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    for save, name in ((np.savez, "X.npz"), (np.save, "X.npy")):
        path = tmp_path / name
        save(path, X) if name == "X.npy" else save(path, X=X, y=y)
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=name):
                tables.open_samples([path])


def test_a_flipped_byte_gives_arrays_or_one_clear_error(tmp_path):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=X, y=y)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1:])
        try:
            tables.open_table([path])
        except ValueError as error:
            assert str(path) in str(error)


def test_a_pickle_is_never_opened(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.array([[print, 1]], dtype=object), y=y[:1])
    with pytest.raises(ValueError, match="allow_pickle=False"):
        tables.open_table([tmp_path / "t.npz"])


def test_an_array_that_claims_more_than_the_file_has(tmp_path):
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 64), }"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("X.npy", header.ljust(127) + b"\n")
    with pytest.raises(ValueError, match="t.npz"):
        tables.open_table([tmp_path / "t.npz"])


# What a network takes

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uint8_alone_is_scaled(dtype):
    images = np.array([[[0, 51], [102, 255]]], dtype=np.uint8)
    scaled = _prepare.as_features(images, dtype)
    assert scaled.dtype == dtype and scaled.shape == (1, 4)
    np.testing.assert_allclose(scaled, [[0, 0.2, 0.4, 1]], rtol=1e-7)  # one rounding in float32
    assert _prepare.as_features(images.astype(np.int16), dtype).tolist() == [[0, 51, 102, 255]]


@pytest.mark.parametrize("given, dtype, loss", [
    ([3, 1], np.int64, "softmax_cross_entropy"),
    ([3.0, 1.0], np.int64, "softmax_cross_entropy"),
    ([True, False], np.int64, "softmax_cross_entropy"),
    (["b", "a"], np.dtype("U1"), "softmax_cross_entropy"),
    ([b"b", b"a"], np.dtype("U1"), "softmax_cross_entropy"),
    (np.array([2**64 - 1, 1], np.uint64), np.uint64, "softmax_cross_entropy"),
    ([3.5, 1.0], np.float64, "squared_error"),
    ([1e300, 1.0], np.float64, "squared_error"),
    ([[1.0, 2.0], [3.0, 4.0]], np.float64, "squared_error"),
])
def test_labels_are_told_from_values(given, dtype, loss):
    target = _prepare.as_target(np.array(given))
    assert target.dtype == dtype and _prepare.natural_loss(target) == loss
    assert target.tolist() == [v.decode() if isinstance(v, bytes) else v for v in np.array(given).tolist()]


def test_hold_out_divides_by_the_seed_alone():
    samples, labels = np.arange(100)[:, None], np.arange(100)
    a, b, c = (_prepare.hold_out(tables.Table(samples, labels), 0.25, seed) for seed in (1, 1, 2))
    assert len(a.X) == 75 and len(a.X_test) == 25
    assert sorted([*a.y, *a.y_test]) == list(range(100))
    np.testing.assert_array_equal(a.X[:, 0], a.y)
    np.testing.assert_array_equal(a.X_test[:, 0], a.y_test)
    np.testing.assert_array_equal(a.y_test, b.y_test)
    assert a.y_test.tolist() != c.y_test.tolist()
