"""Every loss with its gradient, over a batch of 128. Its parameters: see bench_activations.py."""

import numpy as np

from fastbp._dispatch import core
from fastbp.losses import LOSSES

from .common import DTYPES, samples

N = 128


class Loss:
    version = "1"
    params = (list(LOSSES), [10, 1000], DTYPES)
    param_names = ("loss", "n_out", "dtype")

    def setup(self, loss, n_out, dtype):
        self.core, self.spec = core(dtype), LOSSES[loss]().spec(n_out)
        self.raw, labels = samples(N, n_out, n_out, dtype)
        values = (self.raw > 0).astype(dtype)
        self.y = labels.astype(np.int64) if LOSSES[loss].targets == "labels" else values
        self.losses, self.scores = np.empty(N), np.empty(N)
        self.draw = np.empty_like(self.raw)

    def time_forward_backward(self, loss, n_out, dtype):
        self.core.loss_forward_backward(self.spec, self.raw, self.y, self.losses, self.scores, self.draw)
