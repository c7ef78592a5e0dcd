"""Peak memory of `fit`, beside what it has to hold.

    python -m asv_benchmarks.memory

Each case runs in a process of its own and reports the growth of its peak resident set from before the data were made to the
end of a fit of two epochs. The bound: X, 3.5 times the parameters, the activations of a batch, and 64 MiB.
"""

import argparse
import json
import resource
import subprocess
import sys

import numpy as np

MIB = 2**20
CASES = {       # sizes, batch size, samples
    "medium": ((784, 512, 256, 10), 128, 60_000),
    "large": ((1024, 2048, 2048, 1000), 256, 20_000),
    "wide": ((4096, 4096, 4096, 10), 512, 10_000),
}
OPTIMIZERS = {"sgd": ("SGD", {}), "momentum": ("SGD", {"momentum": 0.9}), "adam": ("Adam", {})}


def peak():
    """Bytes; Linux reports KiB, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def worker(name, optimizer):
    import fastbp

    sizes, batch_size, n_samples = CASES[name]
    kind, settings = OPTIMIZERS[optimizer]
    before = peak()
    rng = np.random.default_rng(0)
    X, y = np.empty((n_samples, sizes[0]), np.float32), rng.integers(0, sizes[-1], n_samples)
    for row in X:
        rng.standard_normal(out=row, dtype=np.float32)
    net = fastbp.Network(list(sizes), seed=0)
    net.fit(X, y, 2, batch_size, getattr(fastbp, kind)(learning_rate=1e-4, **settings))
    held = {"X": X.nbytes, "parameters": 4 * net.n_params, "activations": 4 * batch_size * sum(sizes)}
    print(json.dumps(held | {"peak": peak() - before}))


def main():
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker)
        return
    print(f"{'case':8} {'optimizer':9} {'X':>6} {'params':>7} {'batch':>6} {'peak':>7} {'bound':>7}   times params   (MiB)")
    for name in CASES:
        for optimizer in OPTIMIZERS:
            command = [sys.executable, "-m", "asv_benchmarks.memory", "--worker", name, optimizer]
            held = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            X, parameters, activations, most = (held[key] / MIB for key in ("X", "parameters", "activations", "peak"))
            bound = X + 3.5 * parameters + activations + 64
            print(f"{name:8} {optimizer:9} {X:6.0f} {parameters:7.1f} {activations:6.1f} {most:7.0f} {bound:7.0f}   "
                  f"{(most - X - activations) / parameters:6.2f}   {'within' if most <= bound else 'above'}", flush=True)


if __name__ == "__main__":
    main()
