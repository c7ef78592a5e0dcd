"""Every activation, forward and backward, over spans that stay in the second-level cache.

The parameters are the registry. asv tells them apart by their place, so a registry grows at its end only.
"""

import numpy as np

from fastbp._dispatch import core
from fastbp.activations import ACTIVATIONS

from .common import DTYPES, samples

N = 1 << 14


class Activation:
    version = "1"
    params = (list(ACTIVATIONS), DTYPES)
    param_names = ("activation", "dtype")

    def setup(self, activation, dtype):
        self.core, self.code = core(dtype), ACTIVATIONS[activation]
        self.z, self.da = samples(2, N, 2, dtype)[0]
        self.a, self.dz = np.empty_like(self.z), np.empty_like(self.z)
        self.time_forward(activation, dtype)

    def time_forward(self, activation, dtype):
        self.core.activation_forward(self.code, self.z, self.a)

    def time_backward(self, activation, dtype):
        self.core.activation_backward(self.code, self.z, self.a, self.da, self.dz)
