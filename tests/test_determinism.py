"""The same bits, however many threads share the work, however often Python looks in between, every time."""
import itertools

import numpy as np
import pytest
from stacks import layer, loss_spec, rule

import fastbp
from fastbp import _dispatch, _threads, training
from fastbp._isa import DTYPES
from fastbp.activations import ACTIVATIONS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS

TEAMS = (1, 2, 3, 4)
N_SAMPLES = 401         # no multiple of a batch, a tile or a chunk; chunks enough for four threads
MOMENTUM = fastbp.SGD(0.05, momentum=0.9)
ALL_KINDS = [10, fastbp.Dense(17, "mish", normalization="batch", dropout=0.3), fastbp.Scale(),
             fastbp.Dense(17, "gelu_tanh", normalization="layer", residual=True), fastbp.Dense(17, max_norm=1.0), 5]
# Layers whose products are shared out by features, on 2 threads and 4; on 3 the panels of 256 do not divide well.
WIDE = ([192, 256, 256, 256, 5], [130, 288, 2], [192, fastbp.Dense(256, "gelu", dropout=0.2, residual=False),
        fastbp.Dense(256, residual=True, dropout=0.2), fastbp.Dense(256, normalization="layer"), fastbp.Scale(), 256,
        fastbp.Dense(256, normalization="batch", residual=True), 256])
SHAPES = ([1, 1, 2], [10, 17, 10], [17, 130, 2], [130, 1, 130], [3, 130, 17, 10, 5])

pytestmark = [pytest.mark.parametrize("dtype", DTYPES), pytest.mark.parametrize("isa", _dispatch.usable())]


@pytest.fixture(autouse=True)
def any_team(monkeypatch):
    """As many threads as a call asks for, whatever this machine has."""
    monkeypatch.setattr(_threads, "limit", lambda openmp_max=None: max(TEAMS))


@pytest.fixture(autouse=True)
def this_row(monkeypatch, isa):
    """Networks compute on this row."""
    for dtype in DTYPES:
        monkeypatch.setitem(_dispatch._CORES, dtype, _dispatch.load_core(isa, dtype))


def data(sizes, loss, n=N_SAMPLES, seed=0):
    """X, some of it far from zero unless exp follows, and targets of this loss; float64, whatever the network's dtype."""
    rng = np.random.default_rng([seed, n, *sizes])
    X = rng.standard_normal((n, sizes[0])) * rng.choice([0.1, 1, 3], (n, 1)) * (0.1 if loss == "poisson" else 1)
    if loss == "softmax_cross_entropy":
        return X, rng.integers(0, sizes[-1], n)
    y = rng.uniform(0, 1, (n, sizes[-1]))
    return X, y if LOSSES[loss].targets == "values" else y.round()


def bits(*arrays):
    """Something to compare bit for bit, NaN and the sign of zero included."""
    return [np.asarray(x).tobytes() for x in arrays]


def fitted(layers, dtype, n_threads, loss="softmax_cross_entropy", activation="tanh", optimizer=MOMENTUM,
           batch_size=64, n_samples=N_SAMPLES, settings=(), **how):
    """The bits of history and parameters of a short training run."""
    net = fastbp.Network(layers, activation=activation, loss=loss, dtype=dtype, seed=7, **dict(settings))
    history = net.fit(*data(net.sizes, loss, n_samples), epochs=2, batch_size=batch_size, optimizer=optimizer,
                      validation_data=data(net.sizes, loss, 131, seed=1), n_threads=n_threads, **how)
    assert history.n_threads == n_threads
    return bits(history.loss, history.metric, history.val_loss, history.val_metric, *parameters(net))


def parameters(net):
    """All that the network has learnt, gains and running statistics too."""
    block = np.empty(net._stack.block_size, net.dtype)
    net._stack.get_block("params", block)
    return [block]


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


@pytest.mark.parametrize("layers", WIDE, ids=lambda layers: str(layers[1]))
@pytest.mark.parametrize("how", [{}, {"health": True, "optimizer": fastbp.SGD(0.1, clip_norm=0.1, momentum=0.9)}],
                         ids=["plain", "watched"])
def test_features_shared_out_change_no_bits(dtype, layers, how):
    """Batches of less samples than a layer has inputs, and of more."""
    for batch_size in (50, 300):
        assert_all_equal(fitted(layers, dtype, n, batch_size=batch_size, n_samples=301, **how) for n in TEAMS)


@pytest.mark.parametrize("optimizer", [
    *(kind() for kind in OPTIMIZERS.values()), fastbp.SGD(0.1, momentum=0.5, l2=1e-3),
    fastbp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), fastbp.Adam(amsgrad=True),
    fastbp.SGD(0.1, clip_norm=0.1, clip_layer_norm=0.08, clip_value=0.05), fastbp.Adam(l1=1e-3, average=0.9),
    fastbp.SGD(0.1, average="polyak")], ids=repr)
def test_updates_do_not_depend_on_the_threads(dtype, optimizer):
    batch_size = N_SAMPLES if isinstance(optimizer, fastbp.LBFGS) else 64
    assert_all_equal(fitted([10, 130, 17, 2], dtype, n, optimizer=optimizer, batch_size=batch_size) for n in TEAMS)


@pytest.mark.parametrize("loss", LOSSES)
def test_layers_of_every_kind_do_not_depend_on_the_threads(dtype, loss):
    """Nor dropout, noise, weights, watching."""
    settings, weights = {"input_dropout": 0.2, "input_noise": 0.1}, np.linspace(0, 2, N_SAMPLES)
    plain = [fitted(ALL_KINDS, dtype, n, loss, settings=settings, sample_weight=weights) for n in TEAMS]
    assert_all_equal([*plain, fitted(ALL_KINDS, dtype, 3, loss, settings=settings, sample_weight=weights, health=True)])


@pytest.mark.parametrize("loss, sizes", [*zip(LOSSES, itertools.cycle((*SHAPES, WIDE[0])))], ids=str)
def test_gradients_and_inference_do_not_depend_on_the_threads(dtype, sizes, loss):
    net = fastbp.Network(sizes, activation="gelu", loss=loss, dtype=dtype, seed=3)

    def results(n):
        """Of fewer samples than threads, some more than a chunk, and many."""
        for n_samples in (1, 127, N_SAMPLES):
            X, y = data(sizes, loss, n_samples)
            mean, dW, db = net.loss_and_gradient(X, y, n_threads=n)
            yield from bits(mean, *dW, *db, net.forward(X, n_threads=n), *net.evaluate(X, y, n_threads=n))
            yield from bits(net.input_gradient(X, y, n_threads=n))

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
    same, again, other = (bits(*parameters(net)) for net in nets)
    assert same == again != other
    X, y = data([10, 17, 5], "softmax_cross_entropy")
    nets[2].set_parameters(nets[0].weights, nets[0].biases)
    same, again, other = (bits(*net.fit(X, y, epochs=1).loss, *parameters(net)) for net in nets)
    assert same == again != other, "the seed decides the order of the samples too"


def test_dropout_follows_the_seed_and_the_epoch(dtype):
    """Networks of equal parameters, samples in their order: only masks differ."""
    X, y = data([10, 5], "softmax_cross_entropy")
    results = []
    for seed in (7, 7, 8):
        net = fastbp.Network([10, fastbp.Dense(9, dropout=0.5), 5], dtype=dtype, seed=seed)
        net.set_parameters([np.full((10, 9), 0.1), np.eye(9, 5)], [np.zeros(9), np.zeros(5)])
        losses = net.fit(X, y, epochs=2, shuffle=False, optimizer=fastbp.SGD(1e-30)).loss
        assert losses[0] != losses[1]
        results.append(bits(losses))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy"])
def test_looking_up_after_every_step_changes_no_bits(dtype, monkeypatch, loss):
    """With no time for a slice, training comes back to Python after each step, and nothing shows it."""
    expected = fitted(ALL_KINDS, dtype, 1, loss, batch_size=32)
    monkeypatch.setattr(training, "SLICE_SECONDS", 0)
    assert_all_equal([expected, *(fitted(ALL_KINDS, dtype, n, loss, batch_size=32) for n in TEAMS)])


def test_a_slice_without_time_is_one_step(isa, dtype):
    """Or else the test above would not see anything."""
    core = _dispatch.load_core(isa, dtype)
    stack, order = core.Stack(3, [layer(2)], loss_spec("softmax_cross_entropy", 2)), np.arange(10)
    X, y, totals = np.ones((10, 3), dtype), np.zeros(10, np.int64), np.zeros(3)
    stack.reset_slots(rule())
    for n in TEAMS:
        assert stack.train(X, y, None, order, 4, 0, 3, rule(), np.ones(3), 0, 0, totals, n) == (1, False)
        assert stack.train(X, y, None, order, 4, 0, 3, rule(), np.ones(3), 0, 60, totals, n) == (3, False)


def test_single_steps_do_not_depend_on_the_threads(dtype):
    X, y = data([10, 17, 5], "softmax_cross_entropy")

    def results(n):
        net = fastbp.Network(ALL_KINDS, dtype=dtype, seed=7)
        for start in range(0, 200, 40):
            batch = slice(start, start + 40)
            yield from bits(net.partial_fit(X[batch], y[batch], MOMENTUM, n_threads=n))
        yield from bits(*parameters(net))

    assert_all_equal(list(results(n)) for n in TEAMS)
