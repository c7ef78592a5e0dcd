"""Whatever a user can get wrong ends in one line on stderr, with exit code 2 and no traceback."""
import numpy as np
import pytest

from fastbp import cli


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory of data sets with something wrong, of some that are right, and of models."""
    path = tmp_path_factory.mktemp("files")
    X = np.random.default_rng(0).standard_normal((90, 4)).astype(np.float32)
    y = np.arange(90) % 3
    np.savez(path / "blobs.npz", X=X, y=y)
    np.savez(path / "images.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    np.savez(path / "values.npz", X=X, y=X[:, 0])
    np.savez(path / "pairs.npz", X=X, y=X[:, :2])
    np.savez(path / "unlabelled.npz", X=X)
    np.save(path / "X.npy", X)
    np.save(path / "y.npy", y)
    (path / "flowers.csv").write_text("a,b,c,d,kind\n" + 10 * "1,2,3,4,iris\n5,6,7,8,rose\n")
    write_wrong_files(path, X, y)
    for name in ("blobs", "values"):
        assert cli.main(["train", str(path / f"{name}.npz"), "--layers", "8", "--epochs", "1", "--quiet",
                         "--save", str(path / f"{name}.safetensors")]) == 0
    return path


def write_wrong_files(path, X, y):
    np.savez(path / "other.npz", a=X, b=y)
    np.savez(path / "half_test.npz", X=X, y=y, x_test=X)
    np.savez(path / "two_shapes.npz", X=X, y=y, x_test=X[:, :3], y_test=y)
    np.savez(path / "new_label.npz", X=X, y=y, x_test=X[:1], y_test=[7])
    np.savez(path / "flat.npz", X=X[:, 0], y=y)
    np.savez(path / "complex.npz", X=X + 1j, y=y)
    np.savez(path / "one_label.npz", X=X, y=y * 0)
    np.savez(path / "nan_y.npz", X=X, y=np.where(y == 1, np.nan, y))
    np.savez(path / "pickle.npz", X=X.astype(object), y=y)
    np.save(path / "short_y.npy", y[:5])
    (path / "truncated.npz").write_bytes((path / "blobs.npz").read_bytes()[:500])
    (path / "text.npz").write_text("not a zip file")
    (path / "word.csv").write_text("width,kind\n1,a\nwide,b\n")
    (path / "nan.csv").write_text("width,kind\n1,a\nnan,b\n")
    (path / "ragged.csv").write_text("1,2,a\n1,b\n")
    (path / "no_kind.csv").write_text("width,kind\n1,a\n2,\n")
    (path / "empty.csv").write_text("\n\n")
    (path / "header.csv").write_text("width,kind\n")
    (path / "latin.csv").write_bytes("größe,kind\n1,a\n".encode("latin-1"))
    (path / "text.safetensors").write_text("not a model")


@pytest.fixture
def run(files, capsys, monkeypatch):
    """Run a command line in the directory of the files; return its exit code and stderr."""
    monkeypatch.chdir(files)

    def run(*args):
        code = cli.main([str(arg) for arg in args])
        return code, capsys.readouterr().err
    return run


MISTAKES = [
    ("grow", "invalid choice"),
    ("train missing.npz", "missing.npz: No such file"),
    ("train data.xyz", "one .npz file, one .csv file or two .npy files"),
    ("train X.npy y.npy blobs.npz", "one .npz file, one .csv file or two .npy files"),
    ("train other.npz", "must hold X and y, or x_train and y_train; it holds a, b"),
    ("train unlabelled.npz", "without its y"),
    ("train half_test.npz", "x_test and y_test"),
    ("train two_shapes.npz", "(4,), one of x_test (3,)"),
    ("train new_label.npz", "label 7 is held out"),
    ("train flat.npz", "shape (90,)"),
    ("train complex.npz", "complex64"),
    ("train one_label.npz", "y holds only 0"),
    ("train nan_y.npz", "y of sample 1 is not"),
    ("train pickle.npz", "allow_pickle=False"),
    ("train truncated.npz", "truncated.npz is not a readable .npz file"),
    ("train text.npz", "text.npz is not a readable .npz file"),
    ("train X.npy", "give a second .npy file"),
    ("train X.npy short_y.npy", "90 samples"),
    ("train flowers.csv", "needs --target"),
    ("train flowers.csv --target size", "neither a column (a, b, c, d, kind) nor an index from -5 to 4"),
    ("train flowers.csv --target 5", "neither a column"),
    ("train flowers.csv --target a --loss squared_error", "line 2, column kind: 'iris' is"),
    ("train word.csv --target kind", "line 3, column width: 'wide' is not a finite number"),
    ("train nan.csv --target kind", "line 3, column width: 'nan' is not a finite number"),
    ("train ragged.csv --target -1", "line 2 has 2 cells, the first line has 3"),
    ("train no_kind.csv --target kind", "line 3, column kind: the target is missing"),
    ("train empty.csv --target 0", "the file is empty"),
    ("train header.csv --target 0", "no sample under it"),
    ("train latin.csv --target kind", "latin.csv: 'utf-8' codec"),
    ("train blobs.npz --target y", "--target names a column of a .csv file"),
    ("train --target y", "there is no DATA"),
    ("train --layers 0", "argument --layers: must be whole numbers above 0"),
    ("train --layers 8,,4", "got '8,,4'"),
    ("train --layers 8 blobs.npz", "DATA goes before --layers"),
    ("train --activation swish", "choose from"),
    ("train --loss perceptron", "choose from"),
    ("train --epochs 0", "argument --epochs: must be a whole number of at least 1, got '0'"),
    ("train --epochs 1.5", "got '1.5'"),
    ("train --batch-size -4", "argument --batch-size"),
    ("train --learning-rate 0", "argument --learning-rate: must be a number above 0"),
    ("train --learning-rate nan", "got 'nan'"),
    ("train --momentum 1", "must be a number from 0 to below 1"),
    ("train --dtype float16", "choose from"),
    ("train --seed x", "argument --seed"),
    ("train --threads 0", "argument --threads"),
    ("train --validation 1", "argument --validation"),
    ("train --validation 1e-9", "leaves 0 to hold out"),
    ("train --unknown", "unrecognized arguments: --unknown"),
    ("train images.npz --validation 0.5", "has x_test and y_test"),
    ("train --save nowhere/model", "--save nowhere/model"),
    ("train --save .", "--save .:"),
    ("train values.npz --loss softmax_cross_entropy", "y must hold labels"),
    ("train flowers.csv --target kind --loss squared_error", "needs numbers, and y holds strings such as"),
    ("train pairs.npz --loss softmax_cross_entropy", "one label a sample"),
    ("train blobs.npz --loss binary_cross_entropy", "3 distinct labels"),
    ("train values.npz --learning-rate 1e30 --quiet", "not finite"),
    ("predict blobs.safetensors", "the following arguments are required: DATA"),
    ("predict missing blobs.npz", "missing"),
    ("predict text.safetensors blobs.npz", "text.safetensors"),
    ("predict blobs.safetensors flowers.csv", "is not a finite number"),
    ("predict blobs.safetensors images.npz --target 0", "--target"),
    ("predict blobs.safetensors word.csv --target kind", "is not a finite number"),
    ("predict blobs.safetensors no_kind.csv --target 1", "the target is missing"),
    ("predict blobs.safetensors other.npz", "must hold x_test and y_test, or X and y"),
    ("predict blobs.safetensors ragged.csv", "line 2 has 2 cells"),
    ("predict blobs.safetensors flowers.csv --target kind", "labels"),
    ("predict blobs.safetensors values.npz", "y must hold labels"),
    ("predict values.safetensors flowers.csv --target kind", "needs numbers"),
    ("predict blobs.safetensors blobs.npz --output p.json", "must end in .npy, .csv, .txt"),
    ("predict blobs.safetensors blobs.npz --output nowhere/p.csv", "--output nowhere/p.csv"),
    ("info text.safetensors", "text.safetensors"),
    ("info missing.safetensors", "missing.safetensors"),
]


@pytest.mark.parametrize("line, part", MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line(run, line, part):
    code, err = run(*line.split())
    assert code == 2 and part in err
    assert err.startswith("fastbp: error: ") and err.count("\n") == 1 and err.endswith("\n")


def test_a_network_too_large_for_memory(run):
    code, err = run("train", "blobs.npz", "--layers", "1000000000", "1000000000")
    assert code == 2 and err.startswith("fastbp: error: ") and err.count("\n") == 1


def test_a_message_of_several_lines_becomes_one():
    assert cli._one_line(ValueError("one\n  two")) == "one two"
    assert cli._one_line(MemoryError()) == "out of memory: MemoryError"


def test_features_that_do_not_fit_the_model(run, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((3, 7)))
    code, err = run("predict", "blobs.safetensors", tmp_path / "wide.npy")
    assert code == 2 and "has 7 features a sample, and blobs.safetensors takes 4" in err
