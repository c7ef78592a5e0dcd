"""Inference, from one sample to a large batch, on as many threads as fastbp takes by itself."""

import numpy as np

from .common import CASES, DTYPES, Calls, network, samples, use_cores

BATCHES = [1, 8, 64, 512, 4096]


class Predict(Calls):
    version = "1"
    params = (["tiny", "small", "medium"], BATCHES, DTYPES)
    param_names = ("case", "batch", "dtype")

    def setup(self, name, batch, dtype):
        sizes = CASES[name].sizes
        use_cores()
        self.use_calls(2 * batch * sum(n_in * n_out for n_in, n_out in zip(sizes, sizes[1:])))
        self.X = samples(max(BATCHES), sizes[0], sizes[-1], dtype)[0][:batch]
        self.net = network(sizes, dtype)
        self.raw = np.empty((batch, sizes[-1]), dtype)
        self.net.forward(self.X, out=self.raw)

    def time_forward(self, name, batch, dtype):
        for _ in self.calls:
            self.net.forward(self.X, out=self.raw)

    def time_predict(self, name, batch, dtype):
        for _ in self.calls:
            self.net.predict(self.X)
