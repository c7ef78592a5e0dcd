"""fit as users call it: optimizers, batches of one, time to an accuracy, memory."""

import numpy as np

from .common import CASES, DTYPES, data, learning_rate, network, optimizer, samples, use_cores


class Optimizer:
    """An epoch of a case with each optimizer, on one thread."""

    version = "1"
    params = (["tiny", "small", "medium"], ["sgd", "momentum", "adam"], DTYPES)
    param_names = ("case", "optimizer", "dtype")
    number = 1
    repeat = (3, 10, 2.0)

    def setup(self, name, settings, dtype):
        use_cores(1)
        self.case = CASES[name]
        self.X, self.y = data(self.case, dtype)
        self.net = network(self.case.sizes, dtype)
        self.optimizer = optimizer(settings, learning_rate(self.case))

    def time_epoch(self, name, settings, dtype):
        self.net.fit(self.X, self.y, 1, self.case.batch_size, self.optimizer, n_threads=1)


class BatchOfOne:
    """1000 steps of one sample each."""

    version = "1"
    params = (["tiny", "small"], DTYPES)
    param_names = ("case", "dtype")
    number = 1
    repeat = (3, 10, 2.0)

    def setup(self, name, dtype):
        import fastbp

        use_cores(1)
        sizes = CASES[name].sizes
        self.X, self.y = samples(1000, sizes[0], sizes[-1], dtype)
        self.net = network(sizes, dtype)
        self.optimizer = fastbp.SGD(1e-3)

    def time_1000_steps(self, name, dtype):
        self.net.fit(self.X, self.y, epochs=1, batch_size=1, optimizer=self.optimizer)


class Digits:
    """The embedded digits, to 97 % of the fifth that is held out."""

    version = "1"
    params = (DTYPES,)
    param_names = ("dtype",)
    number = 1
    repeat = (3, 10, 2.0)

    def setup(self, dtype):
        from fastbp.datasets import load_digits

        use_cores()
        X, y = load_digits()
        X = (X / 16).astype(dtype)
        held_out = np.arange(len(X)) % 5 == 0
        self.train, self.test = (X[~held_out], y[~held_out]), (X[held_out], y[held_out])

    def fit(self, dtype):
        import fastbp

        def good(net, history):
            return history.val_metric[-1] >= 0.97

        net, optimizer = fastbp.Network([64, 64, 10], dtype=dtype, seed=0), fastbp.SGD(0.1, momentum=0.9)
        history = net.fit(*self.train, 100, 32, optimizer, validation_data=self.test, callbacks=[good])
        if history.val_metric[-1] < 0.97:
            raise RuntimeError(f"only {history.val_metric[-1]:.1%} after {history.n_epochs} epochs")
        return history

    def time_to_97_percent(self, dtype):
        self.fit(dtype)

    def track_epochs_to_97_percent(self, dtype):
        return self.fit(dtype).n_epochs

    track_epochs_to_97_percent.unit = "epochs"


class Memory:
    """Peak of the process. X is mapped from a file: what fit costs is the difference to `peakmem_read_X`."""

    version = "1"

    def setup_cache(self):
        case = CASES["medium"]
        X, y = samples(50_000, case.sizes[0], case.sizes[-1], "float32")
        np.save("X.npy", X)
        np.save("y.npy", y)

    def setup(self):
        self.X, self.y = np.load("X.npy", mmap_mode="r"), np.load("y.npy")
        self.net = network(CASES["medium"].sizes, "float32")

    def peakmem_nothing(self):
        pass

    def peakmem_read_X(self):
        self.X.sum()

    def peakmem_fit(self):
        self.net.fit(self.X, self.y, epochs=1, batch_size=128)
