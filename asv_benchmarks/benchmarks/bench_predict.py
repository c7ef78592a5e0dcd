"""Inference, from one sample to a large batch."""

import numpy as np

from .common import CASES, DTYPES, network, samples

BATCHES = [1, 8, 64, 512, 4096]


class Predict:
    version = "1"
    params = (["tiny", "small", "medium"], BATCHES, DTYPES)
    param_names = ("case", "batch", "dtype")

    def setup(self, name, batch, dtype):
        sizes = CASES[name].sizes
        self.X = samples(max(BATCHES), sizes[0], sizes[-1], dtype)[0][:batch]
        self.net = network(sizes, dtype)
        self.raw = np.empty((batch, sizes[-1]), dtype)
        self.net.forward(self.X, out=self.raw)

    def time_forward(self, name, batch, dtype):
        self.net.forward(self.X, out=self.raw)

    def time_predict(self, name, batch, dtype):
        self.net.predict(self.X)

    def time_predict_proba(self, name, batch, dtype):
        self.net.predict_proba(self.X)
