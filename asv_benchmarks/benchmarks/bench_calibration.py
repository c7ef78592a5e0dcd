"""How fast the machine itself is in this run: the figure by which others are normalised (README.md)."""

from .common import DTYPES, use_cores


class Calibration:
    """A million times twelve multiply-adds of vectors, in registers of one core: the FMA peak."""

    version = "1"
    params = (DTYPES,)
    param_names = ("dtype",)
    number = 1
    repeat = (5, 20, 2.0)

    def setup(self, dtype):
        from fastbp._dispatch import core

        use_cores(1)
        self.core = core(dtype)

    def time_fma_chain(self, dtype):
        self.core.fma_chain(1_000_000)
