"""The whole step: gather by permutation, forward, loss, backward, update.

`python -m asv_benchmarks.peers` measures the same cases beside other libraries.
"""

from statistics import median
from time import perf_counter

from .common import CASES, DTYPES, THREADS, data, learning_rate, network, samples, use_cores

# Shapes that other libraries' users found slower on many threads than on one, or slow at all, with their batch size
NARROW = {"10-45-45-10": 64, "10-46-46-10": 64, "4-120-84-2": 32}


class Step:
    """One epoch of `Case.n_steps` steps."""

    version = "1"
    params = (list(CASES), DTYPES, THREADS)
    param_names = ("case", "dtype", "threads")
    number = 1
    repeat = (3, 10, 5.0)
    warmup_time = 0.0       # setup has taken a step

    def setup(self, name, dtype, threads):
        import fastbp

        use_cores(threads)
        self.case = CASES[name]
        self.X, self.y = data(self.case, dtype)
        self.net = network(self.case.sizes, dtype)
        self.optimizer = fastbp.SGD(learning_rate(self.case))
        self.train(self.case.batch_size, threads)

    def train(self, n_samples, threads):
        X, y = self.X[:n_samples], self.y[:n_samples]
        self.net.fit(X, y, 1, self.case.batch_size, self.optimizer, n_threads=threads)

    def time_epoch(self, name, dtype, threads):
        self.train(self.case.n_samples, threads)

    def track_over_fma(self, name, dtype, threads):
        """The epoch over the time that its FLOPs would take at the FMA peak, measured in turns: 1 is the machine's limit."""
        ratios = []
        for _ in range(5):
            start = perf_counter()
            self.train(self.case.n_samples, threads)
            seconds = perf_counter() - start
            ratios.append(seconds * threads * fma_peak(dtype) / (self.case.n_steps * self.case.flops))
        return median(ratios)

    track_over_fma.unit = "times at FMA peak"


def fma_peak(dtype):
    """FLOPs a second of one core, now."""
    from fastbp._dispatch import core

    start = perf_counter()
    _, flops = core(dtype).fma_chain(500_000)
    return flops / (perf_counter() - start)


class Narrow:
    """1000 steps of a narrow network: left to itself, fit must not be slower than on one thread."""

    version = "1"
    params = (list(NARROW), ["auto", 1])
    param_names = ("shape", "threads")
    number = 1
    repeat = (3, 10, 2.0)

    def setup(self, shape, threads):
        sizes = tuple(map(int, shape.split("-")))
        use_cores(None if threads == "auto" else threads)
        self.batch_size = NARROW[shape]
        self.X, self.y = samples(1000 * self.batch_size, sizes[0], sizes[-1], "float32")
        self.net = network(sizes, "float32")

    def time_1000_steps(self, shape, threads):
        self.net.fit(self.X, self.y, 1, self.batch_size, n_threads=None if threads == "auto" else threads)
