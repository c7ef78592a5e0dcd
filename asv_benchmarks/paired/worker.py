"""Measures benchmarks of one package, which is on PYTHONPATH, when it is told to.

    python -P worker.py                   prints [name, parameters, ...] of every benchmark as JSON
    python -P worker.py NAME              for each parameter index on stdin, one answer a line
"""

import json
import os
import sys
import traceback
from pathlib import Path
from time import perf_counter

from asv_runner.discovery import disc_benchmarks, get_benchmark_from_name

SUITES = str(Path(__file__).parents[1] / "benchmarks")
TURN = {"repeat": (1, 5, 0.3), "warmup_time": 0.02, "min_run_count": 1}     # at least, at most, seconds


def catalogue():
    """What can be measured again and again in one process: no peak of memory, nothing with a cache on disk."""
    sys.path.insert(0, str(Path(SUITES).parent))
    for benchmark in disc_benchmarks(SUITES):
        if benchmark.type in ("time", "track") and benchmark.setup_cache_key is None:
            yield {"name": benchmark.name, "params": benchmark.params, "unit": benchmark.unit}


def answer(name, index):
    """{"value", "peak"}, {"skipped"} or {"error"} of one turn; the best of its samples, as what disturbs only adds."""
    try:
        benchmark = get_benchmark_from_name(SUITES, name if index is None else f"{name}-{index}", TURN)
        if benchmark.do_setup():
            return {"skipped": True}
        result = benchmark.do_run()
        return {"value": min(result["samples"]) if isinstance(result, dict) else result, "peak": peak()}
    except Exception:
        return {"error": traceback.format_exc()}


def peak():
    """Seconds of a chain of multiply-adds: how fast the machine is at this moment."""
    from fastbp._dispatch import core

    times = []
    for _ in range(3):
        start = perf_counter()
        core("float32").fma_chain(200_000)
        times.append(perf_counter() - start)
    return min(times)


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                               # what benchmarks and asv print is no answer
    if len(sys.argv) == 1:
        print(json.dumps(list(catalogue())), file=answers)
        return
    for line in sys.stdin:
        print(json.dumps(answer(sys.argv[1], json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
