"""Training that leaves the finite numbers says where, and keeps the parameters from before that step.

Every case is held against a twin that takes the same steps one by one with `partial_fit`: it has the same
bits, gets as far as the error says, and not a step further.
"""
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

import fastbp
from fastbp import DivergenceError

N_SAMPLES, BATCH_SIZE = 200, 32     # the last of 7 steps has 8 samples
ACTIVATIONS = {"relu": lambda z: np.where(z < 0, 0, z), "tanh": np.tanh, "identity": lambda z: z}


@dataclass
class Case:
    """A fit that diverges, and its step in the first epoch where that is known without training."""

    X: np.ndarray
    y: np.ndarray
    step: int | None = None
    batch_size: int = BATCH_SIZE
    shuffle: bool = True
    optimizer: fastbp.SGD = fastbp.SGD(0.1)
    network: dict = field(default_factory=dict)
    parameters: tuple = ()

    def make(self):
        settings = {"layers": [self.X.shape[1], 16, 3], "dtype": "float64", "seed": 1} | self.network
        net = fastbp.Network(**settings)
        if self.parameters:
            net.set_parameters(*self.parameters)
        return net

    def diverge(self, net, **options):
        """The error of a fit; NumPy may not warn of anything on the way."""
        with pytest.raises(DivergenceError) as caught, np.errstate(all="raise"):
            net.fit(self.X, self.y, 200, self.batch_size, self.optimizer, self.shuffle, **options)
        return caught.value

    def batches(self, seed, epoch):
        """What the steps of an epoch are made of; the order is the documented one, of seed and epoch."""
        order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(self.X))
        order = order if self.shuffle else np.arange(len(self.X))
        return [order[i:i + self.batch_size] for i in range(0, len(order), self.batch_size)]


def blobs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N_SAMPLES, 8)), rng.integers(0, 3, N_SAMPLES)


def with_row(row, value):
    X, y = blobs()
    X[row, 3] = value
    return X, y


def overflow(step, n_steps):
    """Steps of one sample whose loss is always finite, while the update of one makes a weight infinite.

    The samples before it change nothing: x, y and the output are 0. At that step x is 1e24, z and the output
    are 1, so all gradients are 1 but that of the first weight, 1e24; times the learning rate, 1e15, it
    overflows float32. From then on z is -inf and the unit is dead; the output is its bias, -1e15, as is y.
    """
    X = np.where(np.arange(n_steps) < step, 0, 1).astype(np.float32)[:, None]
    y = np.where(np.arange(n_steps) > step, np.float32(-1e15), 0)
    X[step] = 1e24
    return Case(X, y, step, batch_size=1, shuffle=False, optimizer=fastbp.SGD(1e15),
                network={"layers": [1, 1, 1], "loss": "squared_error", "dtype": "float32"},
                parameters=([[[1e-24]], [[1]]], [[0], [0]]))


def overflow_in_a_later_epoch(rule, **settings):
    """Weight decay multiplies all weights by -1000 a step; those of the first layer, 5e9, soon overflow float32.

    Its tanh is long saturated then and the loss finite. Biases do not decay: they show what the rule keeps.
    """
    X, y = blobs()
    W = np.where(np.arange(8 * 16) % 3, 5e9, -5e9).reshape(8, 16), np.linspace(-1, 1, 16 * 3).reshape(16, 3)
    return Case(X, y, optimizer=rule(0.1, weight_decay=10010, **settings), network=FLOAT32 | TANH,
                parameters=(W, [np.zeros(16), np.zeros(3)]))


FLOAT32, TANH = {"dtype": "float32"}, {"activation": "tanh"}
X, Y = blobs()
VALUES = X @ np.linspace(-1, 1, 24).reshape(8, 3)
LINEAR = {"activation": "identity", "loss": "squared_error"}
CASES = {
    "learning rate 1e6": Case(X, Y, optimizer=fastbp.SGD(1e6)),
    "learning rate 1e6, float32": Case(X, Y, optimizer=fastbp.SGD(1e6), network=FLOAT32),
    "X times 1e200": Case(X * 1e200, Y, 1),
    "X times 1e200, for a float32 network": Case(X * 1e200, Y, 0, network=FLOAT32),
    "X times 1e30, float32": Case((X * 1e30).astype(np.float32), Y, 1, network=FLOAT32),
    "NaN in a batch": Case(*with_row(77, np.nan), 2, shuffle=False),
    "NaN in a shuffled batch": Case(*with_row(77, np.nan)),
    "NaN in the last, small batch": Case(*with_row(199, np.nan), 6, shuffle=False),
    "NaN in a tanh network": Case(*with_row(77, np.nan), 2, shuffle=False, network=TANH),
    "infinity in a batch": Case(*with_row(77, -np.inf), 2, shuffle=False),
    "infinity behind tanh": Case(*with_row(77, np.inf), 2, shuffle=False, network=TANH),
    "momentum": Case(X, Y, optimizer=fastbp.SGD(1e5, momentum=0.9)),
    "Nesterov momentum": Case(X, Y, optimizer=fastbp.SGD(1e5, momentum=0.9, nesterov=True)),
    "Adam": Case(X, Y, optimizer=fastbp.Adam(1e30), network=FLOAT32),
    "weight decay that grows": Case(X, Y, optimizer=fastbp.SGD(1, weight_decay=1e30), network=FLOAT32),
    "squared error growing over epochs": Case(X, VALUES, optimizer=fastbp.SGD(0.5), network=LINEAR),
    "squared error with momentum": Case(X, VALUES, optimizer=fastbp.SGD(0.3, momentum=0.5), network=LINEAR),
    "a loss beyond float32": Case(X, VALUES * 1e25, 0, network=LINEAR | FLOAT32),
    "an update amid an epoch": overflow(3, 8),
    "the first update": overflow(0, 8),
    "the last update of an epoch": overflow(7, 8),
    "the only update": overflow(0, 1),
    "an update in a later epoch": overflow_in_a_later_epoch(fastbp.SGD, momentum=0.9),
    "an update in a later epoch, Adam": overflow_in_a_later_epoch(fastbp.Adam),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def parameters(net):
    return net.weights + net.biases


def bits(net):
    return b"".join(p.tobytes() for p in parameters(net))


def replay(case, error):
    """A twin before the step that the error names, and that step's batch."""
    twin = case.make()
    for epoch in range(error.epoch + 1):
        for step, batch in enumerate(case.batches(twin.seed, epoch)):
            if (epoch, step) == (error.epoch, error.step):
                return twin, batch
            twin.partial_fit(case.X[batch], case.y[batch], case.optimizer)


def first_bad_layer(net, X, y):
    """What `layer` must be for this step: the forward pass once more, in NumPy."""
    if np.isfinite(net.evaluate(X, y)[0]):
        return None
    with np.errstate(all="ignore"):
        outputs = [X.astype(net.dtype)]
        for W, b, activation in zip(net.weights, net.biases, net.activations, strict=True):
            outputs.append(ACTIVATIONS[activation](outputs[-1] @ W + b))
    return next((i for i, a in enumerate(outputs, -1) if not np.isfinite(a).all()), net.n_layers)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_parameters_are_those_before_the_step_that_is_named(case, n_threads):
    net, histories = case.make(), []
    error = case.diverge(net, n_threads=n_threads, callbacks=[lambda net, history: histories.append(history)])
    assert all(np.isfinite(p).all() for p in parameters(net))
    assert bits(net) == bits(replay(case, error)[0])
    assert net.n_epochs == error.epoch == len(histories)  # those that were completed
    assert not histories or histories[-1].n_epochs == error.epoch and np.isfinite(histories[-1].loss).all()


def test_the_error_names_epoch_step_and_layer(case):
    error = case.diverge(case.make())
    assert case.step is None or (error.epoch, error.step) == (0, case.step)
    n_steps = len(case.batches(1, 0))
    assert f"epoch {error.epoch + 1}, step {error.step + 1} of {n_steps}" in str(error)
    twin, batch = replay(case, error)
    assert error.layer == first_bad_layer(twin, case.X[batch], case.y[batch])
    bad_row = next((row for row in batch if not np.abs(case.X[row]).max() <= np.finfo(twin.dtype).max), None)
    words = {None: "the update of", -1: f"X row {bad_row} ", 2: "the loss itself"}
    assert words.get(error.layer, f"layer {error.layer}") in str(error)


def test_the_step_is_the_first_bad_one(case):
    """The twin got to that step, but cannot take it, and stays as it was before; its velocity too."""
    error = case.diverge(case.make())
    (twin, batch), (other, _) = replay(case, error), replay(case, error)
    with pytest.raises(DivergenceError) as caught:
        twin.partial_fit(case.X[batch], case.y[batch], case.optimizer)
    assert (caught.value.epoch, caught.value.step, caught.value.layer) == (0, 0, error.layer)
    assert bits(twin) == bits(other)
    for net in (twin, other):
        net.set_parameters(case.make().weights, case.make().biases)
        net.partial_fit(np.zeros_like(case.X[:4]), case.y[:4] * 0, case.optimizer)
    assert bits(twin) == bits(other)


def test_nothing_is_left_behind(case):
    """From the first parameters and with better settings, the network trains as one that never diverged."""
    net, fresh = case.make(), case.make()
    error = case.diverge(net)
    net.set_parameters(fresh.weights, fresh.biases)
    fresh.n_epochs = error.epoch
    X, y = np.random.default_rng(1).standard_normal(case.X.shape) * 1e-3, case.y * 0
    losses = [n.fit(X, y, epochs=3, optimizer=fastbp.SGD(0.01, momentum=0.5)).loss for n in (net, fresh)]
    assert np.isfinite(losses).all() and losses[0] == losses[1]
    assert bits(net) == bits(fresh) and net.n_epochs == error.epoch + 3


def test_the_cases_reach_the_places_that_matter():
    """Else nothing above shows that epochs are counted and that an epoch is replayed to any step."""
    errors = [case.diverge(case.make()) for case in CASES.values()]
    assert sum(error.epoch >= 2 for error in errors) >= 2
    assert {-1, 0, 1, 2, None} == {error.layer for error in errors}
    assert {(0, 0), (0, 3), (0, 7), (1, 2)} <= {(e.epoch, e.step) for e in errors if e.layer is None}


def test_an_epoch_of_a_later_fit_is_counted_on():
    case = overflow(5, 8)
    net = case.make()
    net.fit(np.zeros((4, 1)), np.zeros(4), epochs=2)
    before = bits(net)
    error = case.diverge(net)
    assert (error.epoch, error.step, net.n_epochs) == (2, 5, 2)
    assert bits(net) == before  # steps 0 to 4 change nothing


def test_a_network_that_starts_infinite_is_not_called_finite():
    net = fastbp.Network([2, 2, 1], loss="squared_error", seed=0)
    with pytest.raises((ValueError, ArithmeticError)) as caught:  # refused when set, or when trained
        net.set_parameters([[[-np.inf, 1], [0, 1]], [[1], [1]]], [[0, 0], [0]])
        net.fit(np.ones((4, 2)), np.ones(4), epochs=2, batch_size=2)
    assert "all finite" not in str(caught.value) and getattr(caught.value, "step", None) in (None, 0)


def test_the_error_passes_between_processes():
    error = CASES["NaN in a batch"].diverge(CASES["NaN in a batch"].make())
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is DivergenceError and isinstance(again, ArithmeticError)
    assert str(again) == str(error)
    assert (again.epoch, again.step, again.layer) == (error.epoch, error.step, error.layer)


# With everything that a step may have -------------------------------------------------------------------------

DROPPING = [8, fastbp.Dense(16, "tanh", dropout=0.4, normalization="batch"), fastbp.Dense(3, max_norm=1.0)]
EVERYTHING = {
    "dropout and noise": dict(network=dict(layers=DROPPING, input_dropout=0.2, input_noise=0.1)),
    "weights": dict(fit=dict(sample_weight=np.arange(N_SAMPLES))),
    "momentum and an average": dict(fit=dict(momentum=0.9, average=0.9)),
    "clipping": dict(fit=dict(momentum=0.9, clip_norm=1e3)),
    "chunks": dict(network=dict(layers=DROPPING), chunks=True),
}


class Stop:
    every = 1

    def __init__(self, step):
        self.step = step

    def __call__(self, net, history):
        return history.step == self.step


@pytest.mark.parametrize("step", [0, 3, 6, 17])
@pytest.mark.parametrize("name", EVERYTHING)
def test_what_is_replayed_are_the_same_steps(name, step):
    """The update of one step overflows, its loss does not; a twin is stopped before that step."""
    settings = EVERYTHING[name]
    options = {key: value for key, value in settings.get("fit", {}).items() if key == "sample_weight"}
    rule = {key: value for key, value in settings.get("fit", {}).items() if key != "sample_weight"}
    optimizer = fastbp.SGD(lambda t: 1.7e308 if t == step else 1e-7, **rule)
    y = VALUES * 1e4        # so are the gradients
    data = ([(X[:96], y[:96]), (X[96:], y[96:])],) if settings.get("chunks") else (X, y)

    def fit(net, callbacks):
        return net.fit(*data, epochs=5, batch_size=BATCH_SIZE, optimizer=optimizer, callbacks=callbacks, **options)
    common = {"layers": [8, 16, 3], "activation": "tanh", "loss": "squared_error", "dtype": "float64", "seed": 1}
    made = [fastbp.Network(**(common | settings.get("network", {}))) for _ in range(2)]
    with pytest.raises(DivergenceError) as caught:
        fit(made[0], [])
    assert caught.value.epoch * 7 + caught.value.step == step
    if step:
        fit(made[1], [Stop(step)])
    assert bits(made[0]) == bits(made[1])
