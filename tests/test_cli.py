"""The command line: every option, every form of data, and what it prints."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import _report, cli
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES

QUICK = ["--layers", "8", "--epochs", "2"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory of data sets in every form, and of models trained on them."""
    path = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = (np.eye(4)[y] * 4 + rng.standard_normal((90, 4))).astype(np.float32)
    values = X @ np.array([0.1, -0.2, 0.3, 0.05])
    images = np.clip(X * 20 + 100, 0, 255).astype(np.uint8).reshape(90, 2, 2)
    np.savez(path / "blobs.npz", X=X, y=y)
    np.savez(path / "images.npz", x_train=images[:60], y_train=y[:60], x_test=images[60:], y_test=y[60:])
    np.savez(path / "values.npz", X=X, y=values)
    np.savez(path / "pairs.npz", X=X, y=np.stack([values, -values], axis=1))
    np.savez(path / "unlabelled.npz", X=X[:5])
    np.save(path / "X.npy", X)
    np.save(path / "y.npy", y)
    names = np.array(["iris", "rose", "tulip"])
    rows = [",".join([*(f"{v:.4f}" for v in x), names[label]]) for x, label in zip(X, y)]
    (path / "flowers.csv").write_text("\n".join(["a,b,c,d,kind", *rows]))
    (path / "bare.csv").write_text("\n".join(rows))
    for data, target in (("blobs.npz", []), ("values.npz", []), ("flowers.csv", ["--target", "kind"])):
        save = path / (data.partition(".")[0] + ".safetensors")
        assert cli.main(["train", str(path / data), *target, *QUICK, "--quiet", "--save", str(save)]) == 0
    return path


@pytest.fixture
def run(files, capsys, monkeypatch):
    """Run a command line in the directory of the files; return its exit code, stdout and stderr."""
    monkeypatch.chdir(files)

    def run(*args):
        code = cli.main([str(arg) for arg in args])
        return code, *capsys.readouterr()
    return run


def run_json(run, *args):
    code, out, err = run(*args, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)


# train

def test_with_no_data_it_learns_the_digits(run):
    code, out, err = run("train")
    assert (code, err) == (0, "") and "\r" not in out
    assert "1,438 samples to train on and 359 held out, 64 features, 10 classes" in out
    assert "64-256-128-10 relu, softmax_cross_entropy, float32, 50,826 parameters" in out
    assert len(re.findall(r"^ *\d+/30 ", out, re.MULTILINE)) == 30
    assert all(word in out for word in ("val loss", "val accuracy", "time", "samples/s", "GFLOP/s", "thread"))
    last = re.fullmatch(r"held-out accuracy (\d+\.\d\d) %  \((\d+) of 359\)", out.splitlines()[-1])
    assert float(last[1]) >= 97 and last[1] == f"{100 * int(last[2]) / 359:.2f}"


def test_columns_are_aligned(run):
    lines = run("train", "blobs.npz", "--epochs", "11", "--layers", "8")[1].splitlines()
    table = [line for line in lines if "/11 " in line or line.endswith("val accuracy")]
    assert len(table) == 12 and len({len(line) for line in table}) == 1


def test_json_is_all_that_is_printed(run):
    result = run_json(run, "train", "blobs.npz", *QUICK)
    assert result["sizes"] == [4, 8, 3] and result["classes"] == [0, 1, 2] and result["n_params"] == 67
    assert result["n_samples"] == 72 and result["n_held_out"] == 18 and result["isa"]
    for name in ("loss", "metric", "val_loss", "val_metric", "seconds"):
        assert len(result["history"][name]) == 2
    score = result["score"]
    assert score["on"] == "held-out" and score["value"] == score["n_correct"] / 18
    assert score["value"] == pytest.approx(result["history"]["val_metric"][-1])


def test_quiet_prints_the_score_alone(run):
    code, out, err = run("train", "blobs.npz", *QUICK, "--quiet")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"held-out accuracy \d+\.\d\d %  \(\d+ of 18\)\n", out)


OPTIONS = {  # every option of train, with what it sets in the result
    ("--layers", "7", "5"): ("sizes", [4, 7, 5, 3]),
    ("--layers", "7,5"): ("sizes", [4, 7, 5, 3]),
    ("--layers",): ("sizes", [4, 3]),
    ("--activation", "tanh"): ("activations", ["tanh", "identity"]),
    ("--loss", "squared_error"): ("loss", "squared_error"),
    ("--epochs", "3"): ("epochs", 3),
    ("--batch-size", "5"): ("batch_size", 5),
    ("--learning-rate", "1e-3"): ("learning_rate", 0.001),
    ("--momentum", "0"): ("momentum", 0),
    ("--dtype", "float64"): ("dtype", "float64"),
    ("--seed", "9"): ("seed", 9),
    ("--validation", "0.5"): ("n_held_out", 45),
    ("--validation", "0"): ("n_held_out", 0),
    ("--save", "option.safetensors"): ("saved", "option.safetensors"),
}


@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_options(run, option):
    name, value = OPTIONS[option]
    quick = [] if option[0] in QUICK else QUICK[:2]
    assert run_json(run, "train", "blobs.npz", "--epochs", "2", *quick, *option)[name] == value


@pytest.mark.parametrize("option", [("--batch-size", "5"), ("--learning-rate", "1e-3"), ("--momentum", "0"),
                                    ("--seed", "9"), ("--activation", "tanh"), ("--dtype", "float64")], ids=" ".join)
def test_options_reach_the_training(run, option):
    usual, other = (run_json(run, "train", "blobs.npz", *QUICK, *args) for args in ((), option))
    assert usual["history"]["loss"] != other["history"]["loss"]


def test_threads(run, monkeypatch):
    asked = []
    fit = fastbp.Network.fit

    def spy(*args, **kwargs):  # work this small gets one thread whatever is asked for
        asked.append(kwargs["n_threads"])
        return fit(*args, **kwargs)
    monkeypatch.setattr(fastbp.Network, "fit", spy)
    for args in ([], ["--threads", "3"]):
        run("train", "blobs.npz", *QUICK, *args)
    assert asked == [None, 3]


def test_every_option_is_tested_and_explained(run, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    tested = {option[0] for option in OPTIONS} | {"--threads", "--help", "--target", "--quiet", "--json"}
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text)) == tested
    assert all(name in text for name in [*ACTIVATIONS, *LOSSES])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(run, name):
    assert run_json(run, "train", "blobs.npz", *QUICK, "--activation", name)["activations"][0] == name


@pytest.mark.parametrize("args, classes, loss", [
    (["images.npz"], [0, 1, 2], "softmax_cross_entropy"),
    (["X.npy", "y.npy"], [0, 1, 2], "softmax_cross_entropy"),
    (["flowers.csv", "--target", "kind"], ["iris", "rose", "tulip"], "softmax_cross_entropy"),
    (["bare.csv", "--target", "-1"], ["iris", "rose", "tulip"], "softmax_cross_entropy"),
    (["values.npz"], None, "squared_error"),
    (["pairs.npz"], None, "squared_error"),
])
def test_forms_of_data(run, args, classes, loss):
    result = run_json(run, "train", *args, "--epochs", "30", "--layers", "16")
    assert (result["classes"], result["loss"]) == (classes, loss)
    assert result["score"]["value"] > 0.8  # classes 4 standard deviations apart; values on a plane


def test_two_labels_under_binary_cross_entropy(run, tmp_path):
    with np.load("blobs.npz") as archive:
        np.savez(tmp_path / "two.npz", X=archive["X"], y=archive["y"] == 1)
    result = run_json(run, "train", tmp_path / "two.npz", *QUICK, "--loss", "binary_cross_entropy")
    assert result["sizes"][-1] == 1 and result["classes"] == [0, 1]
    assert "2 classes" in run("train", tmp_path / "two.npz", *QUICK, "--loss", "binary_cross_entropy")[1]


def test_nothing_held_out(run):
    out = run("train", "values.npz", *QUICK, "--validation", "0")[1]
    assert "held" not in out and "val" not in out.partition("epoch")[2]
    assert re.fullmatch(r"training R2 -?\d\.\d{4}  \(90 samples\)", out.splitlines()[-1])


# predict and info

def test_predict_scores_like_train_to_the_digit(run):
    trained = run("train", "images.npz", "--save", "images.safetensors")[1]
    assert trained.splitlines()[-2].split() == ["saved", "images.safetensors"]
    code, out, err = run("predict", "images.safetensors", "images.npz")
    assert (code, out, err) == (0, trained.splitlines()[-1] + "\n", "")


@pytest.mark.parametrize("args, pattern", [
    (["blobs.safetensors", "blobs.npz"], r"accuracy \d+\.\d\d %  \(\d+ of 90\)\n"),
    (["blobs.safetensors", "X.npy", "y.npy", "--quiet"], r"accuracy \d+\.\d\d %  \(\d+ of 90\)\n"),
    (["flowers.safetensors", "flowers.csv", "--target", "kind"], r"accuracy \d+\.\d\d %  \(\d+ of 90\)\n"),
    (["values.safetensors", "values.npz"], r"R2 -?\d+\.\d{4}  \(90 samples\)\n"),
    (["blobs.safetensors", "unlabelled.npz"], r"([012]\n){5}"),
    (["blobs.safetensors", "X.npy", "--quiet"], r"([012]\n){90}"),
    (["flowers.safetensors", "unlabelled.npz"], r"((iris|rose|tulip)\n){5}"),
    (["values.safetensors", "unlabelled.npz"], r"(-?\d+\.\d+(e-\d+)?\n){5}"),
    (["blobs.safetensors", "unlabelled.npz", "--output", "p.npy"], r"saved p\.npy\n"),
    (["blobs.safetensors", "unlabelled.npz", "--output", "p.npy", "--quiet"], ""),
    (["blobs.safetensors", "blobs.npz", "--output", "p.npy"], r"saved    p\.npy\naccuracy .*\n"),
])
def test_what_predict_prints(run, args, pattern):
    code, out, err = run("predict", *args)
    assert (code, err) == (0, "") and re.fullmatch(pattern, out)


@pytest.mark.parametrize("model", ["blobs", "values", "flowers"])
def test_predictions_are_written(run, tmp_path, model):
    with np.load("blobs.npz") as archive:
        expected = fastbp.load(f"{model}.safetensors").predict(archive["X"])
    for suffix in (".npy", ".csv", ".txt"):
        assert run("predict", f"{model}.safetensors", "X.npy", "--output", tmp_path / f"p{suffix}")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), expected)
    lines = (tmp_path / "p.csv").read_text()
    np.testing.assert_array_equal(np.array(lines.split()).astype(expected.dtype), expected)
    assert (tmp_path / "p.txt").read_text() == lines == run("predict", f"{model}.safetensors", "X.npy")[1]


def test_predict_in_json(run):
    scored = run_json(run, "predict", "blobs.safetensors", "blobs.npz")
    assert scored["predictions"] is None and scored["score"]["n_samples"] == 90
    plain = run_json(run, "predict", "blobs.safetensors", "unlabelled.npz")
    assert plain["score"] is None and len(plain["predictions"]) == 5


def test_info(run):
    code, out, err = run("info")
    assert (code, err) == (0, "") and "fastbp" in out
    code, out, err = run("info", "flowers.safetensors")
    assert (code, err) == (0, "")
    assert "4-8-3 relu, softmax_cross_entropy, float32, 67 parameters" in out and "iris rose tulip" in out
    assert re.search(r"4 x 8 +relu +40 parameters", out)


def test_no_command_prints_the_help(run):
    code, out, err = run()
    assert (code, err) == (0, "") and all(name in out for name in ("train", "predict", "info"))


# The terminal and the process

def test_ctrl_c_is_one_line(run, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt
    monkeypatch.setattr(fastbp.Network, "fit", interrupt)
    code, _, err = run("train", "--save", "interrupted.safetensors")
    assert (code, err) == (130, "fastbp: interrupted\n") and not os.path.exists("interrupted.safetensors")


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_a_terminal_gets_a_bar_under_whole_rows(run, monkeypatch, has_tqdm):
    if has_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    code, out, err = run("train", "blobs.npz", *QUICK)
    assert code == 0 and "\r" not in out and len(re.findall("^ *[12]/2 ", out, re.MULTILINE)) == 2
    assert ("50 %" in err) == has_tqdm and (err == "") != has_tqdm


def test_numbers_that_json_lacks_are_null(capsys):
    _report.print_json({"loss": [np.float32(0.5), np.inf, float("nan")], "n": np.int64(3), "none": None})
    assert json.loads(capsys.readouterr().out) == {"loss": [0.5, None, None], "n": 3, "none": None}


def start(files, *args, **streams):
    environment = os.environ | {"PYTHONPATH": str(Path(fastbp.__file__).parents[1])}  # where it is not installed
    environment.pop("PYTHONUNBUFFERED", None)  # what is left in a buffer is what a broken pipe is about
    return subprocess.run([sys.executable, "-m", "fastbp", *args], cwd=files, env=environment, text=True, timeout=60,
                          **streams)


def test_python_m_fastbp(files):
    done = start(files, "train", "blobs.npz", *QUICK, "--quiet", capture_output=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("held-out accuracy ")
    done = start(files, "train", "missing.npz", capture_output=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastbp: error: missing.npz: No such file or directory\n"


def test_a_broken_pipe_is_quiet(files):
    reader, writer = os.pipe()
    os.close(reader)
    done = start(files, "train", "blobs.npz", *QUICK, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
