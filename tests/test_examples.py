"""Every script of examples/ runs to its end, on 600 made-up images in place of MNIST; what they find is in test_published.py."""
import importlib
from pathlib import Path

import numpy as np
import pytest

import fastbp

EXAMPLES = Path(__file__).parents[1] / "examples"
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An .npz like MNIST: the digit k is a bright square at place k."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "mnist.npz"
    arrays = {}
    for name, n in (("train", 600), ("test", 50)):
        y = rng.integers(10, size=n).astype(np.uint8)
        X = rng.integers(50, size=(n, 28, 28)).astype(np.uint8)
        for image, label in zip(X, y):
            image[2 * label:2 * label + 6, 10:20] += 200
        arrays |= {f"x_{name}": X, f"y_{name}": y}
    np.savez(path, **arrays)
    return str(path)


def run(name, *arguments):
    importlib.import_module(name).main([str(argument) for argument in arguments])


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """Where one is to be drawn; checks that it was."""
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = tmp_path / "picture.png"
    yield path
    assert path.read_bytes().startswith(PNG)


def rows(capsys):
    """The table that was printed, without its head."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]


def test_every_script_is_run_here():
    scripts = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert scripts == {"nielsen_table", "nielsen_curve", "vanishing_gradient", "mnist_dropout", "tabular", "embed_torch"}


def test_nielsen_table(images, picture, capsys):
    costs = (1, 5, 18)                      # a row of each cost
    chosen = [word for k in costs for word in ("--row", k)]
    run("nielsen_table", images, "--epochs", 2, "--seeds", 2, "--plot", picture, *chosen)
    assert len(rows(capsys)) == 3


@pytest.mark.parametrize("name", ["overfitting", "regularized", "overfitting_full"])
def test_nielsen_curve(images, picture, capsys, name):
    run("nielsen_curve", images, "--epochs", 2, "--run", name, "--plot", picture)
    assert len(rows(capsys)) == 2


def test_vanishing_gradient(images, picture, capsys):
    run("vanishing_gradient", images, "--epochs", 2, "--seeds", 2, "--plot", picture)
    assert len(rows(capsys)) == 3


def test_mnist_dropout(images, picture, capsys):
    run("mnist_dropout", images, "--epochs", 2, "--seeds", 1, "--plot", picture)
    assert len(rows(capsys)) == 3


def test_tabular(picture, capsys):
    pytest.importorskip("sklearn")
    run("tabular", "diabetes", "--seeds", 1, "--plot", picture)
    assert len(rows(capsys)) == 3


def test_embed_torch(capsys):
    """Gradients of every activation, and training beside torch's own layers; it ends with an error where they differ."""
    pytest.importorskip("torch")
    run("embed_torch")
    assert capsys.readouterr().out.count(" ok\n") == len(fastbp.activations.ACTIVATIONS)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_optional_packages_are_imported_inside_functions(path):
    top = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(("import ", "from "))]
    assert not [line for line in top if "matplotlib" in line or "sklearn" in line]
