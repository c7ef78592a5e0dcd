"""The same bits, however many threads share the work, however often Python looks in between, every time."""
import itertools

import numpy as np
import pytest

import fastbp
from fastbp import _dispatch, _threads, network, training
from fastbp._isa import DTYPES
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

TEAMS = (1, 2, 3, 4)
N_SAMPLES = 401         # no multiple of a batch, a tile or a chunk; chunks enough for four threads
MOMENTUM = fastbp.SGD(0.05, momentum=0.9)
SHAPES = ([1, 1, 2], [10, 17, 10], [17, 130, 2], [130, 1, 130], [3, 130, 17, 10, 5])

pytestmark = [pytest.mark.parametrize("dtype", DTYPES), pytest.mark.parametrize("isa", _dispatch.usable())]


@pytest.fixture(autouse=True)
def any_team(monkeypatch):
    """As many threads as a call asks for, whatever this machine has."""
    monkeypatch.setattr(_threads, "limit", lambda openmp_max=None: max(TEAMS))


@pytest.fixture(autouse=True)
def this_row(monkeypatch, isa):
    """Networks compute on this row."""
    monkeypatch.setattr(network, "core", lambda dtype: _dispatch.load_core(isa, dtype))


def data(sizes, loss, n=N_SAMPLES, seed=0):
    """X, some of it far from zero, and targets of this loss; float64, whatever the network's dtype."""
    rng = np.random.default_rng([seed, n, *sizes])
    X = rng.standard_normal((n, sizes[0])) * rng.choice([0.1, 1, 3], (n, 1))
    if loss == "softmax_cross_entropy":
        return X, rng.integers(0, sizes[-1], n)
    y = rng.uniform(0, 1, (n, sizes[-1]))
    return X, y if loss == "squared_error" else y.round()


def bits(*arrays):
    """Something to compare bit for bit, NaN and the sign of zero included."""
    return [np.asarray(x).tobytes() for x in arrays]


def fitted(sizes, dtype, n_threads, loss="softmax_cross_entropy", activation="tanh", optimizer=MOMENTUM,
           batch_size=64, n_samples=N_SAMPLES):
    """The bits of history and parameters of a short training run."""
    net = fastbp.Network(sizes, activation=activation, loss=loss, dtype=dtype, seed=7)
    history = net.fit(*data(sizes, loss, n_samples), epochs=2, batch_size=batch_size, optimizer=optimizer,
                      validation_data=data(sizes, loss, 131, seed=1), n_threads=n_threads)
    assert history.n_threads == n_threads
    return bits(history.loss, history.metric, history.val_loss, history.val_metric, *net.weights, *net.biases)


def assert_all_equal(results):
    first, *others = results
    assert all(other == first for other in others)


@pytest.mark.parametrize("activation, loss", [*zip(ACTIVATIONS, itertools.cycle(LOSSES))])
def test_training_does_not_depend_on_the_threads(dtype, activation, loss):
    assert_all_equal(fitted([10, 17, 9], dtype, n, loss, activation) for n in TEAMS)


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("batch_size, n_samples", [(1, 19), (3, 50), (37, 401), (128, 401), (401, 401)])
def test_training_does_not_depend_on_the_threads_at_any_shape(dtype, sizes, batch_size, n_samples):
    """Batches smaller than the team leave threads without a sample, narrow layers without a block."""
    assert_all_equal(fitted(sizes, dtype, n, batch_size=batch_size, n_samples=n_samples) for n in TEAMS)


@pytest.mark.parametrize("optimizer", [
    *(kind() for kind in OPTIMIZERS.values()), fastbp.SGD(0.1, momentum=0.5, l2=1e-3),
    fastbp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)], ids=repr)
def test_updates_do_not_depend_on_the_threads(dtype, optimizer):
    assert_all_equal(fitted([10, 130, 17, 2], dtype, n, optimizer=optimizer) for n in TEAMS)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_gradients_and_inference_do_not_depend_on_the_threads(dtype, sizes, loss):
    net = fastbp.Network(sizes, activation="gelu", loss=loss, dtype=dtype, seed=3)

    def results(n):
        """Of fewer samples than threads, some more than a chunk, and many."""
        for n_samples in (1, 127, N_SAMPLES):
            X, y = data(sizes, loss, n_samples)
            mean, dW, db = net.loss_and_gradient(X, y, n_threads=n)
            yield from bits(mean, *dW, *db, net.forward(X, n_threads=n), *net.evaluate(X, y, n_threads=n))

    assert_all_equal(list(results(n)) for n in TEAMS)


def test_the_kernels_by_themselves_do_not_depend_on_the_threads(isa, dtype):
    core, rng = _dispatch.load_core(isa, dtype), np.random.default_rng(0)
    for batch, n_in, n_out in itertools.product((1, 29, 130), (1, 17, 130), (1, 17, 130)):
        X, W, b, da = (rng.standard_normal(shape).astype(dtype)
                       for shape in ((batch, n_in), (n_in, n_out), (n_out,), (batch, n_out)))

        def results(n, X=X, W=W, b=b, da=da):
            z, a, dX, dW, db = (np.full_like(x, np.nan) for x in (da, da, X, W, b))
            core.dense_forward(X, W, b, core.Activation.SILU, z, a, n)
            core.dense_backward(X, W, z, a, da, core.Activation.SILU, dX, dW, db, n)
            return bits(z, a, dX, dW, db)

        assert_all_equal(results(n) for n in TEAMS)


def test_training_twice_gives_the_same_network_and_another_seed_another(dtype):
    for n in TEAMS:
        assert_all_equal(fitted([10, 17, 5], dtype, n) for _ in range(3))
    nets = [fastbp.Network([10, 17, 5], dtype=dtype, seed=seed) for seed in (7, 7, 8)]
    same, again, other = (bits(*net.weights, *net.biases) for net in nets)
    assert same == again != other
    X, y = data([10, 17, 5], "softmax_cross_entropy")
    nets[2].set_parameters(nets[0].weights, nets[0].biases)
    same, again, other = (bits(*net.fit(X, y, epochs=1).loss, *net.weights) for net in nets)
    assert same == again != other, "the seed decides the order of the samples too"


@pytest.mark.parametrize("loss", LOSSES)
def test_looking_up_after_every_step_changes_no_bits(dtype, monkeypatch, loss):
    """With no time for a slice, training comes back to Python after each step, and nothing shows it."""
    expected = fitted([10, 17, 9], dtype, 1, loss, batch_size=32)
    monkeypatch.setattr(training, "SLICE_SECONDS", 0)
    assert_all_equal([expected, *(fitted([10, 17, 9], dtype, n, loss, batch_size=32) for n in TEAMS)])


def test_a_slice_without_time_is_one_step(isa, dtype):
    """Or else the test above would not see anything."""
    core = _dispatch.load_core(isa, dtype)
    stack, order = core.Stack([3, 2], [0], 2), np.arange(10)
    X, y, totals = np.ones((10, 3), dtype), np.zeros(10, np.int64), np.zeros(2)
    for n in TEAMS:
        assert stack.train(X, y, order, 4, 0, 3, fastbp.SGD(0.1).update(), 0, totals, n) == (1, False)
        assert stack.train(X, y, order, 4, 0, 3, fastbp.SGD(0.1).update(), 60, totals, n) == (3, False)


def test_single_steps_do_not_depend_on_the_threads(dtype):
    X, y = data([10, 17, 5], "softmax_cross_entropy")

    def results(n):
        net = fastbp.Network([10, 17, 5], dtype=dtype, seed=7)
        for start in range(0, 200, 40):
            batch = slice(start, start + 40)
            yield from bits(net.partial_fit(X[batch], y[batch], MOMENTUM, n_threads=n))
        yield from bits(*net.weights, *net.biases)

    assert_all_equal(list(results(n)) for n in TEAMS)
