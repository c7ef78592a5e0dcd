"""Products and dense layers by themselves, and the machine's own peak, by which figures are normalised."""

import numpy as np

from .common import DTYPES, THREADS, samples, skip_unless_threads

# batch x n_in x n_out: a layer of small, medium and large (common.py), and one column short of whole panels
SHAPES = ["64x784x128", "128x784x512", "256x2048x2048", "129x257x255"]


def layer(shape, dtype):
    """X, W and dz of a layer."""
    n, n_in, n_out = map(int, shape.split("x"))
    return samples(n, n_in, 2, dtype)[0], samples(n_in, n_out, 2, dtype)[0], samples(n, n_out, 2, dtype)[0]


class Peak:
    """A million times twelve multiply-adds of vectors, in registers."""

    version = "1"
    params = (DTYPES,)
    param_names = ("dtype",)

    def setup(self, dtype):
        from fastbp._dispatch import core

        self.core = core(dtype)

    def time_fma_chain(self, dtype):
        self.core.fma_chain(1_000_000)


class Gemm:
    """The tiles of forward and of dW on one thread, with the packing that a call of their own needs."""

    version = "1"
    params = (SHAPES, DTYPES)
    param_names = ("shape", "dtype")

    def setup(self, shape, dtype):
        from fastbp._dispatch import core

        self.core = core(dtype)
        self.X, self.W, self.dz = layer(shape, dtype)
        self.z, self.dW = np.empty_like(self.dz), np.empty_like(self.W)

    def time_forward(self, shape, dtype):
        self.core.gemm(self.X, self.W, False, self.z)

    def time_dw(self, shape, dtype):
        self.core.gemm(self.X, self.dz, True, self.dW)


class Dense:
    """The public functions over a layer with ReLU."""

    version = "1"
    params = (SHAPES, DTYPES, THREADS)
    param_names = ("shape", "dtype", "threads")

    def setup(self, shape, dtype, threads):
        import fastbp

        skip_unless_threads(threads)
        self.forward, self.backward = fastbp.dense_forward, fastbp.dense_backward
        self.X, self.W, self.dz = layer(shape, dtype)
        self.b, self.z = np.zeros(self.W.shape[1], dtype), np.empty_like(self.dz)
        self.a = np.empty_like(self.dz)
        self.gradients = np.empty_like(self.X), np.empty_like(self.W), np.empty_like(self.b)
        self.time_forward(shape, dtype, threads)

    def time_forward(self, shape, dtype, threads):
        self.forward(self.X, self.W, self.b, "relu", z=self.z, out=self.a, n_threads=threads)

    def time_backward(self, shape, dtype, threads):
        self.backward(self.X, self.W, self.dz, "relu", self.z, out=self.gradients, n_threads=threads)
