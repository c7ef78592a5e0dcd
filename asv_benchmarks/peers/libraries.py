"""The libraries, one small class each. To add one, write its four methods and put it into LIBRARIES.

Each does what its own users are told to do for speed, on data and a permutation in its own form.
"""

import os
import time
import warnings
from dataclasses import dataclass

import numpy as np


@dataclass
class Problem:
    """What is trained: a ReLU classifier on softmax cross-entropy, by plain SGD."""

    X: np.ndarray
    y: np.ndarray
    parameters: list            #: of (W, b), a layer each
    batch_size: int
    learning_rate: float

    @property
    def dtype(self):
        return self.X.dtype.name


class Library:
    """A library that trains one problem."""

    name = ""
    module = ""                 #: that must be installed
    note = ""                   #: what differs from the problem; such a library is timed, but not checked
    n_threads_used = None       #: where the library says it

    def __init__(self, n_threads):
        """Import it, set its threads and `version`."""
        raise NotImplementedError

    def load(self, problem):
        """Take copies of the data and of the starting parameters."""
        raise NotImplementedError

    def train(self, n_steps, shuffle):
        """Take steps over the first ``n_steps`` batches, in an order of its own drawing if `shuffle`."""
        raise NotImplementedError

    def parameters(self):
        """Of every layer, W (n_in, n_out) and b (n_out,) as NumPy arrays."""
        raise NotImplementedError

    def seconds_per_step(self, n_steps):
        started = time.perf_counter()
        self.train(n_steps, shuffle=True)
        return (time.perf_counter() - started) / n_steps


def batches(n_steps, batch_size, shuffle):
    """Indices (n_steps, batch_size) of an epoch."""
    n = n_steps * batch_size
    return (np.random.permutation(n) if shuffle else np.arange(n)).reshape(n_steps, batch_size)


class Fastbp(Library):
    """A whole call of fit, with its checks of the data and its permutation; it chooses its threads."""

    name = "fastbp"
    module = "fastbp"

    def __init__(self, n_threads):
        import fastbp

        self.fastbp, self.version = fastbp, fastbp.__version__

    def load(self, problem):
        self.problem = problem
        sizes = [len(problem.parameters[0][0]), *(len(b) for _, b in problem.parameters)]
        self.net = self.fastbp.Network(sizes, dtype=problem.dtype, seed=0)
        self.net.set_parameters(*zip(*problem.parameters))
        self.optimizer = self.fastbp.SGD(problem.learning_rate)

    def train(self, n_steps, shuffle):
        p = self.problem
        n = n_steps * p.batch_size
        history = self.net.fit(p.X[:n], p.y[:n], epochs=1, batch_size=p.batch_size, optimizer=self.optimizer,
                               shuffle=shuffle)
        self.n_threads_used = history.n_threads

    def parameters(self):
        return list(zip(self.net.weights, self.net.biases))


class ByHand(Library):
    """What one writes with NumPy; in float64 it is also what the others are checked against."""

    name = "numpy"
    module = "numpy"

    def __init__(self, n_threads):
        self.version = np.__version__

    def load(self, problem):
        self.problem = problem
        self.layers = [(W.copy(), b.copy()) for W, b in problem.parameters]

    def train(self, n_steps, shuffle):
        for batch in batches(n_steps, self.problem.batch_size, shuffle):
            self.step(self.problem.X[batch], self.problem.y[batch])

    def step(self, X, y):
        a = [X]
        for W, b in self.layers[:-1]:
            a.append(np.maximum(a[-1] @ W + b, 0))
        W, b = self.layers[-1]
        raw = a[-1] @ W + b
        dz = np.exp(raw - raw.max(axis=1, keepdims=True))
        dz /= dz.sum(axis=1, keepdims=True)
        dz[np.arange(len(y)), y] -= 1
        dz *= self.problem.learning_rate / len(y)       # the step along the gradient, learning rate and all
        for i in reversed(range(len(self.layers))):
            W, b = self.layers[i]
            dW, db = a[i].T @ dz, dz.sum(axis=0)
            dz = (dz @ W.T) * (a[i] > 0) if i else None
            W -= dW
            b -= db

    def parameters(self):
        return self.layers


class Torch(Library):
    """nn.Linear and ReLU, fused SGD, the data a tensor that batches are indexed out of."""

    name = "torch eager"
    module = "torch"

    def __init__(self, n_threads):
        import torch

        torch.set_num_threads(n_threads)
        self.torch, self.version = torch, torch.__version__

    def load(self, problem):
        torch, layers = self.torch, []
        for W, b in problem.parameters:
            linear = torch.nn.Linear(*W.shape, dtype=getattr(torch, problem.dtype))
            linear.load_state_dict({"weight": torch.tensor(W.T), "bias": torch.tensor(b)})
            layers += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.X, self.y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
        self.batch_size = problem.batch_size
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=problem.learning_rate, fused=True)
        self.loss = self.compiled(lambda X, y: torch.nn.functional.cross_entropy(self.model(X), y))

    def compiled(self, function):
        return function

    def train(self, n_steps, shuffle):
        n = n_steps * self.batch_size
        order = self.torch.randperm(n) if shuffle else self.torch.arange(n)
        for batch in order.split(self.batch_size):
            self.optimizer.zero_grad()
            self.loss(self.X[batch], self.y[batch]).backward()
            self.optimizer.step()

    def parameters(self):
        pairs = [(layer.weight, layer.bias) for layer in self.model[::2]]
        return [(W.detach().numpy().T, b.detach().numpy()) for W, b in pairs]


class TorchCompile(Torch):
    """The same, forward and backward compiled."""

    name = "torch compile"

    def compiled(self, function):
        return self.torch.compile(function)


class Jax(Library):
    """An epoch as one compiled scan over the steps, its parameters donated."""

    name = "jax scan"
    module = "jax"

    def __init__(self, n_threads):
        import jax

        self.jax, self.version = jax, jax.__version__

    def load(self, problem):
        jax, jnp = self.jax, self.jax.numpy
        jax.config.update("jax_enable_x64", problem.dtype == "float64")
        self.X, self.y, self.batch_size = jnp.array(problem.X), jnp.array(problem.y), problem.batch_size
        self.layers = [(jnp.array(W), jnp.array(b)) for W, b in problem.parameters]

        def loss(layers, X, y):
            for W, b in layers[:-1]:
                X = jnp.maximum(X @ W + b, 0)
            raw = X @ layers[-1][0] + layers[-1][1]
            picked = jnp.take_along_axis(raw, y[:, None], axis=1)[:, 0]
            return jnp.mean(jax.nn.logsumexp(raw, axis=1) - picked)

        def epoch(layers, X, y, order):
            def step(layers, batch):
                gradient = jax.grad(loss)(layers, X[batch], y[batch])
                return jax.tree.map(lambda p, g: p - problem.learning_rate * g, layers, gradient), None

            return jax.lax.scan(step, layers, order)[0]

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def train(self, n_steps, shuffle):
        order = batches(n_steps, self.batch_size, shuffle)
        self.layers = self.jax.block_until_ready(self.epoch(self.layers, self.X, self.y, order))

    def parameters(self):
        return [(np.asarray(W), np.asarray(b)) for W, b in self.layers]


class ScikitLearn(Library):
    """MLPClassifier. What a call costs besides its epochs is left out: the difference of two `max_iter`."""

    name = "scikit-learn"
    module = "sklearn"
    EPOCHS = 2

    def __init__(self, n_threads):
        import sklearn.neural_network

        self.MLPClassifier, self.version = sklearn.neural_network.MLPClassifier, sklearn.__version__

    def load(self, problem):
        self.problem = problem
        self.model = self.MLPClassifier(
            [len(b) for _, b in problem.parameters[:-1]], solver="sgd", batch_size=problem.batch_size,
            learning_rate_init=problem.learning_rate, momentum=0, nesterovs_momentum=False, alpha=0, tol=0,
            n_iter_no_change=10**9, warm_start=True)
        n_classes = len(problem.parameters[-1][1])
        self.note = "trains one logistic output for two classes" if n_classes == 2 else ""
        self.fit(max(1, -(-n_classes // problem.batch_size)), False, 1)
        if not self.note:
            self.model.coefs_ = [W.copy() for W, _ in problem.parameters]
            self.model.intercepts_ = [b.copy() for _, b in problem.parameters]

    def fit(self, n_steps, shuffle, max_iter):
        n = n_steps * self.problem.batch_size
        self.model.set_params(shuffle=shuffle, max_iter=max_iter)
        with warnings.catch_warnings(action="ignore"):      # that it has not converged
            self.model.fit(self.problem.X[:n], self.problem.y[:n])

    def train(self, n_steps, shuffle):
        self.fit(n_steps, shuffle, 1)

    def parameters(self):
        return list(zip(self.model.coefs_, self.model.intercepts_))

    def seconds_per_step(self, n_steps):
        seconds = []
        for max_iter in (1, 1 + self.EPOCHS):
            started = time.perf_counter()
            self.fit(n_steps, True, max_iter)
            seconds.append(time.perf_counter() - started)
        return (seconds[1] - seconds[0]) / (self.EPOCHS * n_steps)


LIBRARIES = {library.name: library for library in (Fastbp, ByHand, Torch, TorchCompile, Jax, ScikitLearn)}


def environment(n_threads):
    """Environment of a process in which every pool has so many threads; some read it at import only."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
             "NPROC")                                       # the last is XLA's
    return os.environ | dict.fromkeys(names, str(n_threads))
