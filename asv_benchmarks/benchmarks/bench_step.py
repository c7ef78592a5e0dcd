"""The whole step: gather by permutation, forward, loss, backward, update.

`python -m asv_benchmarks.peers` measures the same cases beside other libraries.
"""

from .common import CASES, DTYPES, THREADS, data, learning_rate, network, skip_unless_threads


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

        skip_unless_threads(threads)
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
