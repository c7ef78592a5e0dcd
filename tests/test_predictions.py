"""Predictions, probabilities and scores of a network, for every loss."""
import numpy as np
import pytest
from networks import N_IN, N_OUT, N, X, network, targets

from fastbp import Dense, Network
from fastbp.losses import LOSSES


def test_predictions_of_labels():
    net = network()
    raw = net.forward(X)
    assert raw.shape == (N, N_OUT) and net.predict(X).tolist() == raw.argmax(axis=1).tolist()
    net.fit(X, np.array(["no", "so", "yes"])[targets(net.loss)], epochs=2)
    raw, p = net.forward(X), net.predict_proba(X)
    assert net.predict(X).tolist() == net.classes_[raw.argmax(axis=1)].tolist() and p.shape == (N, N_OUT)
    # a few roundings of exp and of the division
    np.testing.assert_allclose(p, np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), rtol=1e-14)


def test_predictions_of_one_binary_output():
    net = Network([N_IN, 1], loss="binary_cross_entropy", dtype="float64", seed=0)
    y = np.where(X[:, 0] > 0, "yes", "no")
    net.fit(X, y, epochs=2)
    raw, p = net.forward(X), net.predict_proba(X)
    assert p.shape == (N, 2) and net.classes_.tolist() == ["no", "yes"]
    assert net.predict(X).tolist() == np.where(raw[:, 0] > 0, "yes", "no").tolist()
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-raw[:, 0])), rtol=1e-14)


def test_predictions_of_several_binary_outputs_and_of_values():
    net = network("binary_cross_entropy")
    assert net.predict(X).tolist() == (net.forward(X) > 0).astype(int).tolist()
    np.testing.assert_allclose(net.predict_proba(X), 1 / (1 + np.exp(-net.forward(X))), rtol=1e-14)
    net = network("squared_error")
    assert net.predict(X).tobytes() == net.forward(X).tobytes()
    with pytest.raises(ValueError, match="squared_error gives no probabilities"):
        net.predict_proba(X)
    assert Network([N_IN, 1], loss="squared_error").predict(X).shape == (N,)


LARGE = np.array([1e4, -1e4, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss, y, wanted", [
    ("softmax_cross_entropy", [0, 1, 2], [0, 2e4, 1e4]),
    ("squared_error", [LARGE, -LARGE, LARGE], [0, 4e8, 0]),
    ("binary_cross_entropy", [[1, 0, 1], [0, 1, 1], [0.5, 0.5, 1]], np.log(2) + [0, 2e4, 1e4])])
def test_outputs_of_ten_thousand_lose_nothing(loss, y, wanted, dtype):
    net = Network([N_IN, N_OUT], loss=loss, dtype=dtype, seed=0)
    net.set_parameters([np.zeros((N_IN, N_OUT))], [LARGE])
    rounding = 4 * float(np.finfo(dtype).eps)       # the losses are sums of at most three numbers
    assert [net.evaluate(X[:1], [row])[0] for row in y] == pytest.approx(wanted, rel=rounding)
    mean, dW, db = net.loss_and_gradient(X[:3], y)
    assert mean == pytest.approx(np.mean(wanted), rel=rounding)
    assert np.isfinite(dW[0]).all() and np.isfinite(db[0]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_out", [2, 3, 17, 1000])
@pytest.mark.parametrize("scale", [0, 1, 30, 1e4])
def test_probabilities_sum_to_one(n_out, scale, dtype):
    net = Network([N_IN, n_out], dtype=dtype, seed=0)
    net.set_parameters([scale * W for W in net.weights], net.biases)
    p = net.predict_proba(X)
    assert (p >= 0).all()
    # the quotients are rounded; so are the n_out sums of their denominator, and those here
    rounding = np.finfo(dtype).eps + n_out * np.finfo("f8").eps
    np.testing.assert_allclose(p.sum(axis=1, dtype="f8"), 1, rtol=rounding)


def in_numpy(loss, raw, y):
    """Loss and score of each sample, from their formulas."""
    if loss == "softmax_cross_entropy":
        return np.log(np.exp(raw).sum(axis=1)) - raw[np.arange(len(raw)), y], raw.argmax(axis=1) == y
    if loss in ("binary_cross_entropy", "hinge"):
        s = 2 * y - 1
        losses = np.log1p(np.exp(-s * raw)) if loss == "binary_cross_entropy" else np.maximum(0, 1 - s * raw)
        return losses.sum(axis=1), ((raw > 0) == y).all(axis=1)
    e = raw - y
    losses = {"squared_error": e**2 / 2, "absolute_error": abs(e), "log_cosh": np.log(np.cosh(e)), "quantile": abs(e) / 2,
              "huber": np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5), "poisson": np.exp(raw) - y * raw}[loss]
    return losses.sum(axis=1), (((np.exp(raw) if loss == "poisson" else raw) - y) ** 2).sum(axis=1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_evaluate_is_the_mean_loss_and_metric_of_forward(loss, weighted):
    net, y = network(loss), targets(loss)
    weights = np.linspace(0, 2, N) if weighted else None
    losses, scores = in_numpy(loss, net.forward(X), y)
    wanted = np.average(losses, weights=weights)        # the metric counts all alike
    metric = scores.mean() if net.metric_name == "accuracy" else 1 - scores.sum() / ((y - y.mean(0)) ** 2).sum()
    # sums of 90 terms in another order; log_cosh takes log 2 off a sum
    assert net.evaluate(X, y, sample_weight=weights) == pytest.approx((wanted, metric), rel=1e-12)
    assert all(type(number) is float for number in net.evaluate(X, y))


def test_an_output_without_a_target_is_left_out():
    net, y = network("huber"), targets("huber")
    y[::2, 1] = np.nan
    raw = net.forward(X)
    known = ~np.isnan(y)
    e = np.where(known, raw - y, 0)
    losses = np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5).sum(axis=1)
    spread = np.nansum((y - np.nanmean(y, axis=0)) ** 2)
    # sums of 75 terms in another order
    assert net.evaluate(X, y) == pytest.approx((losses.mean(), 1 - (e**2).sum() / spread), rel=1e-12)


def test_predictions_of_counts_and_of_a_margin():
    net = network("poisson")
    np.testing.assert_allclose(net.predict(X), np.exp(net.forward(X)), rtol=1e-14)      # two roundings
    net = network("hinge")
    assert net.predict(X).tolist() == (net.forward(X) > 0).astype(int).tolist()
    for loss in ("poisson", "hinge"):
        with pytest.raises(ValueError, match=f"{loss} gives no probabilities"):
            network(loss).predict_proba(X)


def test_predictions_are_made_without_dropout_and_noise_and_by_running_statistics():
    layers = [N_IN, Dense(6, "tanh", dropout=0.5, normalization="batch"), Dense(N_OUT)]
    net = Network(layers, loss="squared_error", dtype="float64", seed=0, input_dropout=0.5, input_noise=1.0)
    net.fit(X, targets("squared_error"), epochs=3)
    (mean, variance), (W, V) = net.running_statistics[0], net.weights
    u = (X @ W - mean) / np.sqrt(variance + 1e-5)
    # some ten roundings
    raw = np.tanh(net.gains[0] * u + net.biases[0]) @ V + net.biases[1]
    np.testing.assert_allclose(net.forward(X), raw, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(net.predict(X[:1]), net.predict(X)[:1], rtol=1e-12)      # of no other sample
