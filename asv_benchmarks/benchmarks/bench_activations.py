"""Every activation, forward and backward, over spans that stay in the second-level cache."""

import numpy as np

from .common import DTYPES, Calls, enum_names, samples, skip_unless, use_cores

N = 1 << 14


class Activation(Calls):
    version = "1"
    params = (enum_names("activations.pxi", "Activation"), DTYPES)
    param_names = ("activation", "dtype")

    def setup(self, activation, dtype):
        from fastbp._dispatch import core
        from fastbp.activations import ACTIVATIONS

        skip_unless(activation in ACTIVATIONS, f"this fastbp has no {activation}")
        use_cores(1)
        self.use_calls(50 * N)
        self.core, self.code = core(dtype), ACTIVATIONS[activation]
        self.z, self.da = samples(2, N, 2, dtype)[0]
        self.a, self.dz = np.empty_like(self.z), np.empty_like(self.z)
        self.core.activation_forward(self.code, self.z, self.a)

    def time_forward(self, activation, dtype):
        for _ in self.calls:
            self.core.activation_forward(self.code, self.z, self.a)

    def time_backward(self, activation, dtype):
        for _ in self.calls:
            self.core.activation_backward(self.code, self.z, self.a, self.da, self.dz)
