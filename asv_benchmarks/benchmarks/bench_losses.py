"""Every loss with its gradient, over a batch of 128."""

import numpy as np

from .common import DTYPES, Calls, enum_names, samples, skip_unless, use_cores

N = 128
LOSSES = [name for name in enum_names("losses.pxi", "Loss") if name != "custom"]


class Loss(Calls):
    version = "1"
    params = (LOSSES, [10, 1000], DTYPES)
    param_names = ("loss", "n_out", "dtype")

    def setup(self, loss, n_out, dtype):
        from fastbp import losses
        from fastbp._dispatch import core

        skip_unless(loss in losses.LOSSES, f"this fastbp has no {loss}")
        use_cores(1)
        self.use_calls(50 * N * n_out)
        self.core, kind = core(dtype), losses.LOSSES[loss]
        if isinstance(kind, type):
            self.loss, self.scores = kind().spec(n_out), np.empty(N)
        else:                       # before losses had settings
            self.loss, self.scores = kind.code, np.empty(N, np.uint8)
        self.raw, labels = samples(N, n_out, n_out, dtype)
        self.y = labels.astype(np.int64) if kind.targets == "labels" else (self.raw > 0).astype(dtype)
        self.losses, self.draw = np.empty(N), np.empty_like(self.raw)

    def time_forward_backward(self, loss, n_out, dtype):
        for _ in self.calls:
            self.core.loss_forward_backward(self.loss, self.raw, self.y, self.losses, self.scores, self.draw)
