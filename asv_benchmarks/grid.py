"""Training throughput over depth, width and batch size: is there a cliff, and does the automatic team fit the work?

    python -m asv_benchmarks.grid [--seconds 0.3] [--rounds 3] [--json FILE] [--plot FILE.png]

Each cell trains with one thread, with all, and with the automatic number, in turn; the best round of each counts. Prints
the cells where automatic is more than 10 % behind the better fixed number, and the steps from a cell to its neighbour of
less work that lose more than 25 % of the throughput.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import fastbp

BATCHES = (1, 8, 32, 128, 512, 4096)
#: (depth, width): at every depth widths from 16 up; a cell is left out where one step would take seconds.
SHAPES = [(depth, width) for depth in (1, 2, 4, 16) for width in (16, 64, 256, 1024, 4096)]
MOST_FLOPS = 4e10


def cells():
    for depth, width in SHAPES:
        for batch in BATCHES:
            flops = 2 * batch * width * width * (3 * depth - 1)
            if flops <= MOST_FLOPS and (depth < 16 or width <= 1024):
                yield depth, width, batch, flops


def seconds_per_step(net, X, y, batch, n_threads, seconds):
    """Of a fit that lasts about `seconds`."""
    n_steps = len(X) // batch
    started, taken, epochs = time.perf_counter(), [], 0
    while not taken or time.perf_counter() - started < seconds:
        epochs = max(1, 2 * epochs)         # a fit begins with a try of either team; let it be a small part
        history = net.fit(X, y, epochs=epochs, batch_size=batch, optimizer=fastbp.SGD(1e-4), n_threads=n_threads)
        taken.append(sum(history.seconds) / (epochs * n_steps))
    return taken[-1]


def measure(depth, width, batch, seconds, rounds):
    """Best seconds per step with one thread, with all, and with the automatic number."""
    rng = np.random.default_rng(0)
    n = batch * max(1, min(64, 8192 // batch))
    X, y = rng.normal(size=(n, width)).astype("float32"), rng.normal(size=(n, width)).astype("float32")
    net = fastbp.Network([width] * (depth + 1), loss="squared_error", seed=0)
    modes = {"one": 1, "all": fastbp.get_num_threads(), "automatic": None}
    times = {mode: [] for mode in modes}
    for _ in range(rounds):
        for mode, n_threads in modes.items():
            times[mode].append(seconds_per_step(net, X, y, batch, n_threads, seconds))
    return {mode: min(each) for mode, each in times.items()}


def late(results):
    return [r for r in results if r["automatic"] > 1.1 * min(r["one"], r["all"])]


def cliffs(results):
    """Pairs of neighbours, the larger slower per FLOP by a quarter or more on one thread."""
    at = {(r["depth"], r["width"], r["batch"]): r["flops"] / r["one"] for r in results}
    found = []
    for (depth, width, batch), rate in at.items():
        larger = [(depth, next((w for w in (16, 64, 256, 1024, 4096) if w > width), 0), batch),
                  (depth, width, next((b for b in BATCHES if b > batch), 0)),
                  (next((d for d in (1, 2, 4, 16) if d > depth), 0), width, batch)]
        found += [((depth, width, batch), cell, at[cell] / rate) for cell in larger if at.get(cell, rate) < 0.75 * rate]
    return found


def plot(results, path):
    """A curve over batch size for each width, a panel for each depth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(14, 3.6), sharey=True, layout="constrained")
    for axis, depth in zip(axes, (1, 2, 4, 16)):
        for width in (16, 64, 256, 1024, 4096):
            points = [r for r in results if (r["depth"], r["width"]) == (depth, width)]
            if points:
                axis.plot([r["batch"] for r in points], [r["flops"] / r["automatic"] / 1e9 for r in points], "o-",
                          label=f"width {width}", markersize=3)
        axis.set(title=f"depth {depth}", xlabel="batch size", xscale="log", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("GFLOP/s, automatic threads")
    axes[0].legend(fontsize=8)
    figure.suptitle("fastbp: one training step, float32, squared error")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.grid", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="of a measurement (default 0.3)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=".svg or .png; needs matplotlib")
    options = parser.parse_args()
    results = []
    print("depth width batch    us/step: one     all    automatic  GFLOP/s")
    for depth, width, batch, flops in cells():
        times = measure(depth, width, batch, options.seconds, options.rounds)
        results.append({"depth": depth, "width": width, "batch": batch, "flops": flops} | times)
        print(f"{depth:5} {width:5} {batch:5} {times['one'] * 1e6:14.1f} {times['all'] * 1e6:9.1f} "
              f"{times['automatic'] * 1e6:9.1f} {flops / times['automatic'] / 1e9:9.1f}", flush=True)
    for r in late(results):
        print(f"late: {r['depth']}x{r['width']} batch {r['batch']}: "
              f"{r['automatic'] / min(r['one'], r['all']):.2f} times the best")
    for small, large, ratio in cliffs(results):
        print(f"cliff: from {small} to {large} (depth, width, batch): {ratio:.2f} of the throughput")
    print(f"{len(results)} cells, {len(late(results))} late, {len(cliffs(results))} cliffs")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
