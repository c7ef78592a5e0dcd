"""One case, dtype and thread count in a process of its own: checks that all take the same step, times them.

    python -m asv_benchmarks.peers.worker CASE DTYPE N_THREADS REPEATS JSON LIBRARY...
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from asv_benchmarks.benchmarks.common import CASES, data, learning_rate, parameters
from asv_benchmarks.peers.libraries import LIBRARIES, ByHand, Problem

CHECK_STEPS = 5

#: Accepted distance of each W and b after CHECK_STEPS steps from NumPy's in float64, in eps of the dtype
#: times the array's norm. Rounding the parameter once a step costs at most CHECK_STEPS / 2; sums in another
#: order, and ReLU where rounding moves a z across zero, add as much (0.4 to 3.4 in all was seen). In float32
#: the steps move every bias vector by 600 eps and more: a bias, a factor or an update left out fails.
TOLERANCE = 8

#: Thread pools spin for some milliseconds after their last work, on the cores that the next library needs.
PAUSE_SECONDS = 0.05


class DifferentStep(Exception):
    """A library does not compute what the others do."""


def main(case, dtype, n_threads, repeats, path, *names):
    result = measure(CASES[case], dtype, int(n_threads), int(repeats), names)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file)


def measure(case, dtype, n_threads, repeats, names):
    """Everything about one case: a dict for JSON."""
    X, y = data(case, dtype)
    problem = Problem(X, y, parameters(case, dtype), case.batch_size, learning_rate(case))
    libraries = [LIBRARIES[name](n_threads) for name in names]
    expected = expected_parameters(problem)
    distances = {}
    for library in libraries:
        library.load(problem)
        if not library.note:
            distances[library.name] = check(library, problem, expected)
        library.train(case.n_steps, shuffle=True)           # compiled, touched, and warm
    seconds, peaks = rounds(libraries, case, dtype, n_threads, repeats)
    return {
        "case": case.name, "sizes": case.sizes, "batch_size": case.batch_size, "dtype": dtype,
        "n_threads": n_threads, "flops": case.flops, "n_steps": case.n_steps, "peak_flops_per_second": peaks,
        "libraries": {
            library.name: {
                "version": library.version, "seconds_per_step": seconds[library.name], "note": library.note,
                "n_threads_used": library.n_threads_used, "distance_eps": distances.get(library.name),
            }
            for library in libraries
        },
    }


def expected_parameters(problem):
    """Every W and b after CHECK_STEPS steps in float64, from data and start as rounded for the libraries."""
    exact = ByHand(1)
    n = CHECK_STEPS * problem.batch_size
    start = [(W.astype(np.float64), b.astype(np.float64)) for W, b in problem.parameters]
    X = problem.X[:n].astype(np.float64)
    exact.load(Problem(X, problem.y, start, problem.batch_size, problem.learning_rate))
    exact.train(CHECK_STEPS, shuffle=False)
    return exact.parameters()


def check(library, problem, expected):
    """The largest distance, in the unit of TOLERANCE; raises if it is more than rounding."""
    library.train(CHECK_STEPS, shuffle=False)
    distances = [
        np.linalg.norm(have - want) / np.linalg.norm(want) / np.finfo(problem.dtype).eps
        for pair_have, pair_want in zip(library.parameters(), expected, strict=True)
        for have, want in zip(pair_have, pair_want, strict=True)
    ]
    worst = int(np.argmax(distances))                       # a NaN, if there is one
    if not distances[worst] <= TOLERANCE:
        raise DifferentStep(
            f"{library.name} takes another step than NumPy in float64: after {CHECK_STEPS} steps "
            f"{'Wb'[worst % 2]} of layer {worst // 2} is {distances[worst]:.3g} eps of its norm away; "
            f"{TOLERANCE} are accepted")
    return distances[worst]


def rounds(libraries, case, dtype, n_threads, repeats):
    """Seconds per step of each library, each once a round, in turning order; FLOP/s of the peak in all bursts."""
    seconds, peaks = {library.name: [] for library in libraries}, []
    for i in range(repeats):
        time.sleep(PAUSE_SECONDS)
        peaks += bursts(dtype, n_threads)
        start = i % len(libraries)
        for library in libraries[start:] + libraries[:start]:
            time.sleep(PAUSE_SECONDS)
            seconds[library.name].append(library.seconds_per_step(case.n_steps))
    return seconds, peaks


def bursts(dtype, n_threads):
    """FLOP/s of multiply-adds in registers, in so many threads at once, in ten bursts of some milliseconds."""
    from fastbp._dispatch import core

    rates = []
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(10):
            started = time.perf_counter()
            results = list(pool.map(core(dtype).fma_chain, [1_000_000] * n_threads))    # it releases the GIL
            rates.append(sum(flops for _, flops in results) / (time.perf_counter() - started))
    return rates


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DifferentStep as error:
        sys.exit(f"error: {error}")
