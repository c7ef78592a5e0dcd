"""The whole public surface, as a program that a strict type checker accepts; `test_types.py` runs it too."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastbp
from fastbp import initializers, losses, optimizers, presets, schedules

Array = NDArray[np.floating[Any]]

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
LABELS = np.arange(60) % 3


class Halving(schedules.Schedule):
    """A schedule of the user's own."""

    def rates(self, steps: NDArray[np.int64], total: int | None, values: Any) -> NDArray[np.float64]:
        return 0.1 * 0.5 ** (steps / 10)


def squared(raw: Array, y: Array) -> tuple[float, Array]:
    return float(((raw - y) ** 2).sum() / 2 / len(raw)), (raw - y) / len(raw)


def stop(net: fastbp.Network, history: fastbp.History) -> bool:
    return history.loss[-1] < 0.01


def make() -> fastbp.Network:
    hidden = fastbp.Dense(8, "gelu", dropout=0.1, normalization="layer", max_norm=3.0)
    return fastbp.Network([4, fastbp.Scale(activation="tanh"), hidden, 3], activation="relu",
                          loss=losses.SoftmaxCrossEntropy(label_smoothing=0.1), dtype=np.float64, seed=0, initializer="auto",
                          input_dropout=0.0, input_noise=0.0)


def train(directory: Path) -> None:
    net = make()
    path = directory / "run.safetensors"
    logs = [fastbp.CSVLog(directory / "log.csv"), fastbp.JSONLog(str(directory / "log.jsonl"))]
    best = fastbp.EarlyStopping("loss", patience=3)
    rate = schedules.Warmup(schedules.Cosine(0.1), 3)
    history = net.fit(X, LABELS, epochs=2, batch_size=16, optimizer=fastbp.SGD(rate, momentum=0.9), shuffle=True,
                      validation_data=(X, LABELS), n_threads=1, verbose=0, sample_weight=np.ones(60),
                      callbacks=[best, stop, *logs, fastbp.ProgressBar(), fastbp.TimeLimit(60), fastbp.Checkpoint(path, every=2)],
                      class_weight="balanced", classes=[0, 1, 2], health=True, resume=path, rows=np.arange(50))
    assert_type(best.best_epoch, int | None)
    assert_type(history, fastbp.History)
    assert_type(history.loss, list[float])
    assert_type(history.gflops, float)
    assert_type(history.row(-1), dict[str, float])
    print(history.line(), history.verdict().remedies, history.columns)
    net.fit(lambda: iter([(X, LABELS)]), epochs=1, class_weight={0: 2.0})
    assert_type(net.partial_fit(X, LABELS, fastbp.Adam(lambda step: 0.1 / (1 + step), amsgrad=True)), float)
    net.save(path)
    assert_type(fastbp.load(path), fastbp.Network)


def every_rule() -> None:
    rules: list[optimizers.Optimizer | fastbp.LBFGS] = [
        fastbp.SGD(Halving(), nesterov=True, momentum=0.5, weight_decay=0.1, l2=0.1, l1=0.1, clip_value=1.0, average="polyak"),
        fastbp.AdaGrad(), fastbp.RMSprop(rho=0.9), fastbp.Adam(), fastbp.AdamW(0.01, weight_decay=0.1), fastbp.NAdam(),
        fastbp.Lion(schedules.OneCycle(0.1)), fastbp.Rprop(), fastbp.LBFGS(n_pairs=5)]
    assert len(rules) == len(optimizers.OPTIMIZERS)
    for rule in rules:
        fastbp.Network([4, 3], seed=0).fit(X, LABELS, epochs=1, batch_size=60, optimizer=rule)


def use(net: fastbp.Network) -> None:
    assert_type(net.sizes, tuple[int, ...])
    assert_type(net.loss, str)
    assert_type(net.weights, list[Array])
    assert_type(net.gains, list[Array | None])
    net.set_parameters(net.weights, [np.zeros(n) for n in net.sizes[1:]], net.gains)
    net.set_parameters(**net.get_parameters())
    out = np.empty((60, 3), np.float64)
    assert_type(net.forward(X, out=out), Array)
    assert_type(net.predict_proba(X.data, out=out.data), Array)
    assert_type(net.evaluate(X.tolist(), LABELS, sample_weight=[1.0] * 60), tuple[float, float])
    loss, dW, db = net.loss_and_gradient(X, LABELS)
    assert_type((loss, dW, db), tuple[float, list[Array], list[Array]])
    assert_type(net.input_gradient(X, LABELS), Array)
    assert_type(net.jacobian(X, out=None), Array)
    print(net.predict(X)[:3], net.classes_, net.n_params)


def look(net: fastbp.Network) -> None:
    assert_type(fastbp.check_gradient(net, X, LABELS, max_entries=3).ok, bool)
    test = fastbp.learning_rate_range_test(net, X, LABELS, fastbp.SGD(), n_steps=20)
    assert_type(test.suggestion, float | None)
    print(fastbp.Network([4, 3], seed=0).trace_step(X, LABELS).delta[0].shape)
    initializers.lsuv(fastbp.Network([4, 5, 3], seed=0), X)
    own = fastbp.Network([4, 2], loss=squared, seed=0)
    own.fit(X, X[:, :2], epochs=1)
    fastbp.Network([4, 3], loss=losses.Quantile([0.1, 0.5, 0.9]), seed=0).fit(X, X[:, 0], epochs=1)
    table = presets.Tabular("classification", seed=0, epochs=1).fit(X, LABELS)
    print(table.predict_proba(X).shape, table.classes_)


def several(directory: Path) -> None:
    networks = [fastbp.Network([4, 3], seed=seed) for seed in range(2)]
    assert_type(fastbp.fit_many(networks, X, LABELS, each=[{"epochs": 1}, {"epochs": 2}], batch_size=20), list[fastbp.History])
    ensemble = fastbp.Ensemble(networks)
    ensemble.fit(X, LABELS, bootstrap=True, epochs=1)
    ensemble.save(directory / "ensemble")
    print(fastbp.Ensemble.load(directory / "ensemble").spread(X).shape)
    assert_type(fastbp.cross_validate(fastbp.Network([4, 3], seed=0), X, LABELS, 2, epochs=1).mean, float)
    found = fastbp.search({"layers": [[4, 3], [4, 5, 3]]}, X, LABELS, 2, epochs=1, seed=0)
    assert_type(found.network, fastbp.Network | None)


def kernels() -> None:
    W, b = np.ones((4, 3), np.float32), np.ones(3, np.float32)
    z = np.empty((60, 3), np.float32)
    a = fastbp.dense_forward(X, W, b, "tanh", z=z, out=np.empty_like(z), n_threads=1)
    dX, dW, db = fastbp.dense_backward(X, W, a, "tanh", z, out=(np.empty_like(X), np.empty_like(W), np.empty_like(b)))
    assert_type(fastbp.sgd_update(W, dW, np.zeros_like(W), learning_rate=0.1, momentum=0.9), Array)
    assert_type(dX, Array)
    assert_type(db, Array)


def configure() -> None:
    fastbp.set_num_threads(2)
    assert_type(fastbp.get_num_threads(), int)
    fastbp.set_num_threads(None)
    assert_type(fastbp.config(), dict[str, Any])
    fastbp.show_config()
    assert_type(fastbp.__version__, str)
    assert_type(fastbp.get_include(), str)
    print(make().c_handle(fastbp.SGD(), batch_size=8))
    assert_type(fastbp.activations.ACTIVATIONS, dict[str, int])


def fail() -> None:
    try:
        fastbp.Network([4, 1], loss="squared_error").fit(X, X[:, 0], epochs=9, optimizer=fastbp.SGD(1e30))
    except fastbp.DivergenceError as error:
        assert_type(error.step, int | None)
        assert_type(error.history, fastbp.History)
    except fastbp.FormatError:
        raise


def draw(history: fastbp.History, directory: Path) -> None:
    """Needs matplotlib and tensorboardX."""
    history.plot()
    history.plot_gradient_flow()
    make().fit(X, LABELS, callbacks=(fastbp.TensorBoard(directory),))


def main(directory: Path) -> None:
    train(directory)
    every_rule()
    use(make())
    look(make())
    several(directory)
    kernels()
    configure()
    fail()
