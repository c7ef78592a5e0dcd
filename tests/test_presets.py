"""RealMLP-TD-S: its parts against the formulas of the paper, and the whole on small made-up tables."""
import numpy as np
import pytest

import fastbp
from fastbp.history import History
from fastbp.presets import KeepBest, RobustScaler, Tabular, tabular_network, tabular_optimizer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4)) * (1, 100, 0.01, 1) + (0, 1000, 0, 5)
LABELS = np.where(X[:, 0] * (X[:, 1] - 1000) > 0, "same", "other")
VALUES = 50 + 20 * np.sin(X[:, 0]) + 0.1 * (X[:, 1] - 1000)


# Columns ------------------------------------------------------------------------------------------------------


def test_columns_are_scaled_by_quartiles_and_clipped_smoothly():
    column = np.array([1.0, 2, 3, 4, 5, 1000])[:, None]       # quartiles 2.25 and 4.75, median 3.5
    u = (column - 3.5) / 2.5
    found = RobustScaler().fit(column).transform(column)
    np.testing.assert_allclose(found, u / np.sqrt(1 + (u / 3) ** 2), rtol=1e-6)     # float32
    assert found.dtype == np.float32 and 2.9 < found.max() < 3
    np.testing.assert_allclose(RobustScaler().fit(column).transform(column, "float64"), u / np.sqrt(1 + (u / 3) ** 2), rtol=1e-15)
    with pytest.raises(ValueError, match="dtype must be one of float32, float64; not 'int8'"):
        RobustScaler().fit(column).transform(column, np.int8)


def test_a_column_of_equal_quartiles_is_scaled_by_half_its_range():
    column = np.array([7.0] * 10 + [11])[:, None]
    u = 4 / 2
    assert RobustScaler().fit(column).transform(column).ravel() == pytest.approx([0] * 10 + [u / np.sqrt(1 + (u / 3) ** 2)])


def test_a_constant_column_says_nothing_later_either():
    scaler = RobustScaler().fit([[1.0, 5], [2, 5], [3, 5]])
    assert scaler.transform([[2, 1e300]]).tolist() == [[0, 0]]


def test_numbers_of_any_size_stay_finite():
    scaler = RobustScaler().fit([[0.0], [1], [2]])
    assert np.abs(scaler.transform([[1e300], [-1e300]])).ravel() == pytest.approx([3, 3])


# The network --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task, activation", [("classification", "selu"), ("regression", "mish")])
def test_the_network_starts_as_the_recipe_says(task, activation):
    net = tabular_network(10, 3, task, seed=0)
    assert net.sizes == (10, 10, 256, 256, 256, 3)
    assert net.activations == ("identity", *[activation] * 3, "identity")
    assert not net.forward(RNG.normal(size=(5, 10))).any()      # the last layer is zero
    for W, b in zip(net.weights[1:4], net.biases[1:4]):
        assert W.std() * np.sqrt(len(W)) == pytest.approx(1, rel=0.05)      # of 2,560 numbers at least, 3.5 sigma
        assert b.std() == pytest.approx(1, rel=0.16)                        # of 256


class KernelNetwork:
    """Weights as w / sqrt(n_in) at their use, torch's groups of rates, plain NumPy: as the paper's own program."""

    def __init__(self, net):
        self.parameters = [net.weights[0][0].copy()]
        for W, b in zip(net.weights[1:], net.biases[1:]):
            self.parameters += [W * np.sqrt(len(W)), b.copy()]
        self.m = [np.zeros_like(p) for p in self.parameters]
        self.v = [np.zeros_like(p) for p in self.parameters]

    def gradient(self, X, Y):
        """Of the mean of (raw - Y)^2 / 2 over samples, with mish."""
        scale, *rest = self.parameters
        a, kept = X * scale, []
        for i in range(0, len(rest), 2):
            z = a @ rest[i] / np.sqrt(len(rest[i])) + rest[i + 1]
            kept.append((a, z))
            t = np.tanh(np.log1p(np.exp(z)))
            a = z * t if i + 2 < len(rest) else z
        dz, gradients = (z - Y) / len(X), []
        for i in reversed(range(0, len(rest), 2)):
            x, _ = kept[i // 2]
            gradients[:0] = [x.T @ dz / np.sqrt(len(rest[i])), dz.sum(axis=0)]
            da = dz @ rest[i].T / np.sqrt(len(rest[i]))
            if i:
                z = kept[i // 2 - 1][1]
                t = np.tanh(np.log1p(np.exp(z)))
                dz = da * (t + z * (1 - t * t) / (1 + np.exp(-z)))
        return [(da * X).sum(axis=0), *gradients]

    def step(self, t, rate, X, Y):
        for i, g in enumerate(self.gradient(X, Y)):
            is_weights = i % 2 == 1
            factor = 6 if i == 0 else 1 if is_weights else 0.1
            eps = 1e-8 / np.sqrt(len(self.parameters[i])) if is_weights else 1e-8       # where the two are told apart
            self.m[i] += 0.1 * (g - self.m[i])
            self.v[i] += 0.05 * (g * g - self.v[i])
            m, v = self.m[i] / (1 - 0.9**t), self.v[i] / (1 - 0.95**t)
            self.parameters[i] -= factor * rate * m / (np.sqrt(v) + eps)


def test_rates_by_layer_walk_the_path_of_the_kernel_parametrisation():
    net = tabular_network(4, 2, "regression", seed=0, dtype="float64")
    twin, n_steps = KernelNetwork(net), 20
    inputs, Y = RNG.normal(size=(32, 4)), RNG.normal(size=(32, 2))
    net.fit(inputs, Y, epochs=n_steps, batch_size=32, shuffle=False, optimizer=tabular_optimizer("regression"))
    for t in range(n_steps):
        twin.step(t + 1, 0.07 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t / n_steps))) / 2, inputs, Y)
    np.testing.assert_allclose(net.weights[0][0], twin.parameters[0], rtol=1e-8)    # 20 steps of a nonlinear system
    for i, (W, b) in enumerate(zip(net.weights[1:], net.biases[1:])):
        np.testing.assert_allclose(W, twin.parameters[2 * i + 1] / np.sqrt(len(W)), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(b, twin.parameters[2 * i + 2], rtol=1e-6, atol=1e-9)
    assert not net.biases[0].any()      # the scales have no shift


# Which epoch is kept ------------------------------------------------------------------------------------------


def epochs_with(metric_name, **values):
    """A network and a history of one more epoch at each call of KeepBest; returns the epoch that was kept."""
    net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    history, keep = History(metric_name, 1, 1, "", 1, is_validated=True), KeepBest()
    keep.begin(net, history)
    (name, values), = values.items()
    for i, value in enumerate(values):
        history.loss.append(0.0)
        getattr(history, name).append(value)
        net.set_parameters([[[i]]], [[0]])
        keep(net, history)
    keep.finish(net, history)
    assert net.weights[0][0, 0] == keep.epoch
    return keep.epoch


def test_the_last_of_the_best_epochs_is_kept():
    assert epochs_with("accuracy", val_metric=[0.1, 0.9, 0.3, 0.9, 0.8]) == 3
    assert epochs_with("r2", val_loss=[3.0, 1.0, 2.0, 1.0, 1.5]) == 3


def test_there_is_no_best_epoch_without_validation():
    net = fastbp.Network([4, 1], loss="squared_error", seed=0)
    with pytest.raises(ValueError, match="KeepBest needs validation_data"):
        net.fit(X, VALUES, callbacks=[KeepBest()])


# The whole ----------------------------------------------------------------------------------------------------


def test_it_tells_labels_apart():
    model = Tabular(seed=0, epochs=32).fit(X[:300], LABELS[:300])
    assert (model.predict(X[300:]) == LABELS[300:]).mean() > 0.9
    probabilities = model.predict_proba(X[300:])
    assert model.classes_.tolist() == ["other", "same"] and probabilities.shape == (100, 2)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    assert (model.classes_[probabilities.argmax(axis=1)] == model.predict(X[300:])).all()


def test_it_finds_numbers_in_their_own_units():
    model = Tabular("regression", seed=0, epochs=32).fit(X[:300], VALUES[:300])
    error = model.predict(X[300:]) - VALUES[300:]
    assert error.shape == (100,) and error.std() < 0.3 * VALUES.std() and model.classes_ is None


def test_it_finds_several_numbers_of_which_one_is_constant():
    Y = np.stack([VALUES, np.full(400, 7.0), -VALUES], axis=1)
    model = Tabular("regression", seed=0, epochs=16).fit(X, Y)
    found = model.predict(X)
    assert found.shape == Y.shape and np.abs(found[:, 1] - 7).max() < 1e-12 and found[:, 0].std() > 0.5 * VALUES.std()


def test_a_seed_says_everything():
    def parameters(n_threads, seed=3):
        net = Tabular(seed=seed, epochs=3).fit(X, LABELS, n_threads=n_threads).net
        return b"".join(a.tobytes() for a in net.weights + net.biases)
    assert parameters(1) == parameters(2) == parameters(None) != parameters(1, seed=4)


def test_a_drawn_seed_is_told():
    model = Tabular(epochs=1).fit(X, LABELS)
    again = Tabular(seed=model.seed, epochs=1).fit(X, LABELS)
    assert (again.predict_proba(X) == model.predict_proba(X)).all()


def test_held_out_samples_are_not_trained_on():
    model = Tabular(seed=0, epochs=1, validation_fraction=0.25).fit(X, LABELS)
    assert model.history.n_samples == 300 and len(model.history.val_loss) == 1
    model = Tabular(seed=0, epochs=1).fit(X, LABELS, validation_data=(X[:10], LABELS[:10]))
    assert model.history.n_samples == 400 and len(model.history.val_loss) == 1
    model = Tabular(seed=0, epochs=1, validation_fraction=0).fit(X, LABELS)
    assert model.history.n_samples == 400 and not model.history.val_loss


def test_it_ends_with_its_best_epoch():
    held_out = X[300:], LABELS[300:]
    model = Tabular(seed=0, epochs=20).fit(X[:300], LABELS[:300], validation_data=held_out)
    assert (model.predict(held_out[0]) == held_out[1]).mean() == max(model.history.val_metric) > model.history.val_metric[0]


def test_a_class_that_only_the_held_out_samples_have_is_known():
    labels = np.array(["a", "b"] * 200)
    labels[np.random.Generator(np.random.PCG64((0, 2))).permutation(400)[0]] = "c"      # the first that is held out
    assert Tabular(seed=0, epochs=1).fit(X, labels).classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("act, error, words", [
    (lambda: Tabular("ranking"), ValueError, "task must be one of classification, regression; not 'ranking'"),
    (lambda: Tabular(epochs=0), ValueError, "epochs must be at least 1"),
    (lambda: Tabular(validation_fraction=1), ValueError, "validation_fraction must be finite and at least 0 and less than 1"),
    (lambda: Tabular().predict(X), RuntimeError, "call fit first"),
    (lambda: Tabular().fit(X[0], LABELS), ValueError, "X must have shape"),
    (lambda: Tabular().fit(X, LABELS[:9]), ValueError, "X has 400 samples, y has 9"),
    (lambda: Tabular().fit(np.where(X > 1e3, np.nan, X), LABELS), ValueError, "X must be finite; row"),
    (lambda: Tabular().fit(X, ["a"] * 400), ValueError, "y must hold labels of 2 classes or more, not 1"),
    (lambda: Tabular().fit(X, X[:, 0]), ValueError, "y must hold labels; row 0"),
    (lambda: Tabular("regression").fit(X, LABELS), TypeError, "y must hold real numbers"),
    (lambda: Tabular("regression").fit(X, np.full(400, np.inf)), ValueError, "y must be finite"),
    (lambda: Tabular().fit(X[:2], ["a", "b"]), ValueError, "must leave samples on both sides; 0.2 of 2 samples is 0"),
    (lambda: Tabular().fit(X, LABELS, X), ValueError, r"validation_data must be a pair \(X, y\)"),
    (lambda: Tabular().fit(X, LABELS, (X[:2], ["same", "x"])), ValueError, "validation_data y row 1 is 'x'"),
    (lambda: Tabular(epochs=1).fit(X, LABELS).predict(X[:, :3]), ValueError, "X must have shape"),
    (lambda: Tabular("regression", epochs=1).fit(X, VALUES).predict_proba(X), ValueError, "gives no probabilities"),
])
def test_what_it_cannot_do_it_says(act, error, words):
    with pytest.raises(error, match=words):
        act()
