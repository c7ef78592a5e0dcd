"""Every optimizer's update, over a span in cache and one in memory."""

import numpy as np

from .common import DTYPES, OPTIMIZERS, optimizer


class Update:
    version = "1"
    params = (list(OPTIMIZERS), [1 << 14, 1 << 22], DTYPES)
    param_names = ("optimizer", "n", "dtype")

    def setup(self, name, n, dtype):
        from fastbp._dispatch import core

        self.core = core(dtype)
        self.rule = optimizer(name, 1e-3).update()
        self.w, self.dw, self.slots = np.ones(n, dtype), np.full(n, 1e-3, dtype), np.zeros((3, n), dtype)

    def time_update(self, name, n, dtype):
        self.core.update(self.rule, 1, self.w, self.dw, self.slots)
