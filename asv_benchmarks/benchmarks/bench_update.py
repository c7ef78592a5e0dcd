"""Every optimizer's update, over a span in cache and one in memory."""

import numpy as np

from .common import DTYPES, OPTIMIZERS, Calls, optimizer, skip_unless, use_cores


class Update(Calls):
    version = "1"
    params = (list(OPTIMIZERS), [1 << 14, 1 << 22], DTYPES)
    param_names = ("optimizer", "n", "dtype")

    def setup(self, name, n, dtype):
        import fastbp
        from fastbp._dispatch import core

        skip_unless(hasattr(fastbp, "Adam"), "before Adam, the core's update took other arguments")
        use_cores(1)
        self.use_calls(50 * n)
        self.core = core(dtype)
        self.rule = optimizer(name, 1e-3).update()
        self.w, self.dw, self.slots = np.ones(n, dtype), np.full(n, 1e-3, dtype), np.zeros((3, n), dtype)

    def time_update(self, name, n, dtype):
        for _ in self.calls:
            self.core.update(self.rule, 1, self.w, self.dw, self.slots)
