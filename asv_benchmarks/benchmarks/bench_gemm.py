"""Products and dense layers by themselves."""

import numpy as np

from .common import DTYPES, THREADS, Calls, samples, use_cores

# batch x n_in x n_out: a layer of small, medium and large (common.py), and one column short of whole panels
SHAPES = ["64x784x128", "128x784x512", "256x2048x2048", "129x257x255"]


def layer(shape, dtype):
    """X, W and dz of a layer, and the FLOPs of a product."""
    n, n_in, n_out = map(int, shape.split("x"))
    arrays = [samples(rows, columns, 2, dtype)[0] for rows, columns in ((n, n_in), (n_in, n_out), (n, n_out))]
    return *arrays, 2 * n * n_in * n_out


class Gemm(Calls):
    """The tiles of forward and of dW on one thread, with the packing that a call of their own needs."""

    version = "1"
    params = (SHAPES, DTYPES)
    param_names = ("shape", "dtype")

    def setup(self, shape, dtype):
        from fastbp._dispatch import core

        use_cores(1)
        self.core = core(dtype)
        self.X, self.W, self.dz, flops = layer(shape, dtype)
        self.z, self.dW = np.empty_like(self.dz), np.empty_like(self.W)
        self.use_calls(flops)

    def time_forward(self, shape, dtype):
        for _ in self.calls:
            self.core.gemm(self.X, self.W, False, self.z)

    def time_dw(self, shape, dtype):
        for _ in self.calls:
            self.core.gemm(self.X, self.dz, True, self.dW)


class Dense(Calls):
    """The public functions over a layer with ReLU."""

    version = "1"
    params = (SHAPES, DTYPES, THREADS)
    param_names = ("shape", "dtype", "threads")

    def setup(self, shape, dtype, threads):
        use_cores(threads)
        self.X, self.W, self.dz, flops = layer(shape, dtype)
        self.use_calls(2 * flops)
        self.b, self.z, self.a = np.zeros(self.W.shape[1], dtype), np.empty_like(self.dz), np.empty_like(self.dz)
        self.gradients = np.empty_like(self.X), np.empty_like(self.W), np.empty_like(self.b)
        self.forward(threads)

    def forward(self, threads):
        import fastbp

        fastbp.dense_forward(self.X, self.W, self.b, "relu", z=self.z, out=self.a, n_threads=threads)

    def time_forward(self, shape, dtype, threads):
        for _ in self.calls:
            self.forward(threads)

    def time_backward(self, shape, dtype, threads):
        import fastbp

        for _ in self.calls:
            fastbp.dense_backward(self.X, self.W, self.dz, "relu", self.z, out=self.gradients, n_threads=threads)
