"""Networks in files: each comes back as it was, and a file that describes none is refused."""
import re

import numpy as np
import pytest

import fastbp
from fastbp import layers, losses, persistence
from fastbp.activations import ACTIVATIONS
from fastbp.errors import FormatError
from fastbp.losses import LOSSES

SIZES = [3, 4, 2]
CLASSES = {"int64": [-5, 2**62], "uint8": [0, 255], "bool": [False, True], "float64": [0.5, 1e300],
           "<U7": ["jawohl\ud800", "nein"], "<U1": ["", "ü"], "S4": [b"ja", b"nein"], ">i4": [1, 2],
           ">U3": ["a", "bcd"]}


def make_network(sizes=SIZES, **options):
    options = {"activation": "tanh", "loss": "softmax_cross_entropy", "seed": 5} | options
    net = fastbp.Network(sizes, **options)
    rng = np.random.default_rng(0)
    net.set_parameters([rng.standard_normal(W.shape).astype(W.dtype) for W in net.weights],
                       [rng.standard_normal(b.shape).astype(b.dtype) for b in net.biases])
    return net


def parameters(net):
    parts = net.get_parameters()
    gains = [gain for gain in parts["gains"] if gain is not None]
    statistics = [array for pair in parts["running_statistics"] if pair is not None for array in pair]
    return [*parts["weights"], *parts["biases"], *gains, *statistics]


def assert_same(a, b):
    assert (a.sizes, a.layers, a._loss, a.dtype, a.seed, a.n_epochs, a.input_dropout, a.input_noise) == \
           (b.sizes, b.layers, b._loss, b.dtype, b.seed, b.n_epochs, b.input_dropout, b.input_noise)
    for x, y in zip(parameters(a), parameters(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_comes_back(tmp_path, dtype, loss):
    net = make_network(dtype=dtype, loss=loss)
    net.n_epochs = 7
    net.save(tmp_path / "m")
    again = fastbp.load(tmp_path / "m")
    assert_same(again, net)
    assert again.classes_ is None
    X = np.random.default_rng(1).standard_normal((5, 3)).astype(dtype)
    assert again.forward(X).tobytes() == net.forward(X).tobytes()


LAYERS = {
    "scale": fastbp.Scale(activation="tanh", learning_rate_factor=6.0), "dropout": fastbp.Dense(3, dropout=0.25),
    "layer": fastbp.Dense(4, "gelu", normalization="layer", initializer="orthogonal"), "frozen": fastbp.Dense(2, trainable=False),
    "batch": fastbp.Dense(3, normalization="batch", residual=True, max_norm=2.0),
    "factors": fastbp.Dense(2, learning_rate_factor=0.5, bias_learning_rate_factor=0.0, decay_factor=2.0)}


@pytest.mark.parametrize("name", LAYERS)
def test_every_setting_of_a_layer_comes_back(tmp_path, name):
    net = fastbp.Network([3, LAYERS[name], 2], seed=0, input_dropout=0.1, input_noise=0.2)
    X, y = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2
    net.fit(X, y, epochs=2)
    net.save(tmp_path / "m")
    again = fastbp.load(tmp_path / "m")
    assert_same(again, net)
    assert again.forward(X).tobytes() == net.forward(X).tobytes()
    for each in (net, again):
        each.fit(X, y, epochs=2)
    assert_same(again, net)


@pytest.mark.parametrize("loss", [losses.Huber(0.25), losses.Quantile((0.1, 0.9)), losses.BinaryCrossEntropy(0.1)])
def test_settings_of_a_loss_come_back(tmp_path, loss):
    net = make_network(loss=loss)
    net.save(tmp_path / "m")
    assert fastbp.load(tmp_path / "m")._loss == loss


def mean_error(raw, y):
    return float((raw - y).sum()) / len(raw), np.ones_like(raw) / len(raw)


def test_a_loss_of_ones_own_is_given_again(tmp_path):
    net = make_network(loss=mean_error)
    net.save(tmp_path / "m")
    with pytest.raises(ValueError, match="^loss must be given: the network has one of its user's own"):
        fastbp.load(tmp_path / "m")
    again = fastbp.load(tmp_path / "m", loss=mean_error)
    assert_same(again, net)
    X, y = np.ones((4, 3)), np.zeros((4, 2))
    assert again.fit(X, y, epochs=2).loss == net.fit(X, y, epochs=2).loss
    make_network().save(tmp_path / "m")
    with pytest.raises(ValueError, match="^loss must be None: the network has its own, softmax_cross_entropy"):
        fastbp.load(tmp_path / "m", loss=mean_error)


def test_files_of_before_there_were_settings_are_read(tmp_path):
    net = make_network(loss="binary_cross_entropy")
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    old = {key: config[key] for key in ("layers", "activations", "loss", "dtype", "seed", "classes", "epochs", "fastbp")}
    persistence.write(tmp_path / "m", tensors, old)
    again = fastbp.load(tmp_path / "m")
    assert again.activations == net.activations and again.loss == net.loss and again._specs == net._specs
    assert again.forward(np.ones((2, 3))).tobytes() == net.forward(np.ones((2, 3))).tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_comes_back_in_its_layer(tmp_path, activation):
    layers = [3, fastbp.Dense(4, "tanh"), fastbp.Dense(3, activation), fastbp.Dense(2)]
    net = make_network(layers, seed=None)
    net.save(tmp_path / "m")
    assert_same(fastbp.load(tmp_path / "m"), net)


@pytest.mark.parametrize("dtype", CLASSES)
def test_classes_come_back_with_their_dtype(tmp_path, dtype):
    net = make_network()
    net.classes_ = np.array(CLASSES[dtype], dtype)
    net.save(tmp_path / "m")
    native = net.classes_.astype(net.classes_.dtype.newbyteorder("="))
    np.testing.assert_array_equal(fastbp.load(tmp_path / "m").classes_, native, strict=True)


def test_two_classes_of_one_output_come_back(tmp_path):
    net = make_network([3, 1], loss="binary_cross_entropy")
    net.classes_ = np.array(["no", "yes"])
    net.save(tmp_path / "m")
    assert fastbp.load(tmp_path / "m").classes_.tolist() == ["no", "yes"]


def test_more_classes_than_a_header_can_hold(tmp_path):
    net = make_network([1, 200_000])
    net.classes_ = np.sort(np.char.add("class ", np.arange(200_000).astype(str)))
    net.save(tmp_path / "m")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "m").classes_, net.classes_, strict=True)


def test_training_goes_on_as_if_there_had_been_no_file(tmp_path):
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((40, 3)), rng.choice(["no", "yes"], 40)
    net = make_network()
    net.fit(X, y, epochs=2, batch_size=8)
    net.save(tmp_path / "m")
    again = fastbp.load(tmp_path / "m")
    for each in (net, again):
        each.fit(X, y, epochs=2, batch_size=8)
    assert net.n_epochs == 4 and again.predict(X).tolist() == net.predict(X).tolist()
    assert_same(again, net)


def test_the_config_says_what_the_network_is(tmp_path):
    net = make_network()
    net.classes_ = np.array(["no", "yes"])
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    assert tensors.keys() == {"layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b", "classes"}
    assert config.pop("activations") == list(net.activations) and isinstance(config.pop("fastbp"), str)
    assert config.pop("layer_settings") == [layers.to_config(layer) for layer in net.layers]
    assert config == {"layers": SIZES, "loss": "softmax_cross_entropy", "dtype": "float32", "seed": 5,
                      "classes": "str", "epochs": 0, "input_dropout": 0.0, "input_noise": 0.0,
                      "loss_settings": {"name": "softmax_cross_entropy", "label_smoothing": 0.0}}


def test_keys_of_later_versions_are_ignored(tmp_path):
    net = make_network()
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    persistence.write(tmp_path / "m", tensors, config | {"dropout": [0.5], "fastbp": None})
    assert_same(fastbp.load(tmp_path / "m"), net)


MISSING = object()
DENSE_4, DENSE_2 = layers.to_config(fastbp.Dense(4, "tanh")), layers.to_config(fastbp.Dense(2, "identity"))
BAD_CONFIGS = [("layers", value) for value in (
    [3, 4, 3], [3, 5, 2], [4, 3, 2], [3, 2], [3, 4, 2, 2], [3], [], [3.0, 4, 2], [True, 4, 2], [3, -4, 2],
    [3, 0, 2], ["3", 4, 2], [[3], 4, 2], [2**63, 4, 2], 3, None, "342", {"0": 3}, [1] * 200_000, MISSING)] + [
    ("activations", value) for value in (["tanh"], ["tanh"] * 3, [], ["os.system", "tanh"], [None, "tanh"],
                                         [["tanh"], "tanh"], "tanh", None, MISSING)] + [
    ("loss", value) for value in ("", "no_such_loss", "__class__", None, ["squared_error"], 1, MISSING)] + [
    ("dtype", value) for value in ("float64", "float16", "object", "f4", None, ["float32"], MISSING)] + [
    ("seed", value) for value in (-1, 2**64, 1.0, True, "5", [5], MISSING)] + [
    ("classes", value) for value in (None, "str", "bytes", "int32", "object", 2, ["int64"], MISSING)] + [
    ("epochs", value) for value in (-1, 0.0, False, None, "0", [], MISSING)] + [
    ("layer_settings", value) for value in (None, [], [{}, {}], [1, 2], "dense", [{"name": "dense", "n_out": 4}] * 2,
                                            [DENSE_4, DENSE_2 | {"dropout": 1}], [DENSE_4, DENSE_2 | {"n_out": 3}],
                                            [DENSE_4, DENSE_2 | {"activation": "relu"}], [DENSE_4, DENSE_2 | {"new": 1}],
                                            [DENSE_4, DENSE_2 | {"name": "conv"}], [DENSE_4, DENSE_2 | {"residual": True}],
                                            [DENSE_4, DENSE_2 | {"normalization": "layer"}],
                                            [DENSE_4 | {"name": "scale"}, DENSE_2])
] + [("loss_settings", value) for value in (None, [], {}, {"name": "hinge"}, {"name": "softmax_cross_entropy", "delta": 1.0},
                                            {"name": "softmax_cross_entropy", "label_smoothing": 2})] + [
    ("input_dropout", value) for value in (1, -0.1, "0", None, True)] + [("input_noise", value) for value in (-1, "0", None, [0])]


@pytest.mark.parametrize("key, value", BAD_CONFIGS)
def test_a_config_that_makes_no_sense_is_refused(tmp_path, key, value):
    net = make_network()
    net.classes_ = np.array([0, 1])
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    config[key] = value
    if value is MISSING:
        del config[key]
    persistence.write(tmp_path / "m", tensors, config)
    with pytest.raises(FormatError, match=f"^{re.escape(repr(str(tmp_path / 'm')))}: .{{,500}}$"):
        fastbp.load(tmp_path / "m")


def test_softmax_over_one_output_is_refused(tmp_path):
    make_network([3, 1], loss="squared_error").save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    persistence.write(tmp_path / "m", tensors, config | {"loss": "softmax_cross_entropy",
                                                         "loss_settings": {"name": "softmax_cross_entropy"}})
    with pytest.raises(FormatError, match="at least 2 outputs"):
        fastbp.load(tmp_path / "m")


W0, B1 = "layers.0.W", "layers.1.b"
BAD_TENSORS = {
    "missing": {B1: None}, "extra": {"layers.2.W": np.ones((2, 2), "f4"), "layers.2.b": np.ones(2, "f4")},
    "renamed": {B1: None, "layers.1.c": np.ones(2, "f4")}, "transposed": {W0: np.ones((4, 3), "f4")},
    "flat": {W0: np.ones(12, "f4")}, "column": {B1: np.ones((2, 1), "f4")}, "float64": {B1: np.ones(2)},
    "integers": {B1: np.ones(2, "i4")}, "NaN": {B1: np.float32([0, np.nan])},
    "infinity": {B1: np.float32([0, np.inf])}, "classes twice": {"classes": np.array([1, 1])},
    "classes missing": {"classes": None}, "classes too few": {"classes": np.array([0])},
    "classes too many": {"classes": np.arange(3)}, "classes in a table": {"classes": np.array([[0], [1]])},
    "classes falling": {"classes": np.array([1, 0])},
}


@pytest.mark.parametrize("changes", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tensors_that_do_not_fit_the_config_are_refused(tmp_path, changes):
    net = make_network()
    net.classes_ = np.array([0, 1])
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    tensors = {name: tensor for name, tensor in (tensors | changes).items() if tensor is not None}
    persistence.write(tmp_path / "m", tensors, config)
    with pytest.raises(FormatError):
        fastbp.load(tmp_path / "m")


@pytest.mark.parametrize("points", [[[65], [2**31]], [[65], [0x110000]], [[66], [65]], [65, 66], [[], []]])
def test_strings_that_are_no_strings_are_refused(tmp_path, points):
    net = make_network()
    net.classes_ = np.array(["A", "B"])
    net.save(tmp_path / "m")
    tensors, config = persistence.read(tmp_path / "m")
    persistence.write(tmp_path / "m", tensors | {"classes": np.array(points, np.uint32)}, config)
    with pytest.raises(FormatError):
        fastbp.load(tmp_path / "m")


@pytest.mark.parametrize("classes, error", [
    (["a", "b", "c"], FormatError), (["b", "a"], FormatError), ([[0, 1]], FormatError),
    (np.array(["a", "b"], object), TypeError), (np.array([0, 1], "M8[D]"), TypeError)])
def test_classes_that_could_not_come_back_are_not_saved(tmp_path, classes, error):
    net = make_network()
    net.classes_ = np.asarray(classes)
    with pytest.raises(error):
        net.save(tmp_path / "m")
    assert not any(tmp_path.iterdir())


def test_a_diverged_network_does_not_replace_a_good_file(tmp_path):
    net = make_network()
    net.save(tmp_path / "m")
    diverged = make_network()      # `set_parameters` refuses a NaN, and so does training: only the core takes it
    diverged._stack.set_rows(1, np.vstack([net.weights[1], net.biases[1] * np.nan]))
    with pytest.raises(FormatError, match="'layers.1.b' holds a value that is infinite or NaN"):
        diverged.save(tmp_path / "m")
    assert_same(fastbp.load(tmp_path / "m"), net)
