"""Times the same training step in fastbp and in the other libraries that are installed.

Each case, dtype and thread count has a process of its own, so that every library's pool starts with the right
number of threads, on as many cores.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from asv_benchmarks.benchmarks.common import CASES, DTYPES
from asv_benchmarks.peers import report
from asv_benchmarks.peers.libraries import LIBRARIES, environment


def main():
    options = parse()
    names = installed(options.libraries)
    about, results = machine(), []
    for dtype in options.dtype:
        for n_threads in options.threads:
            for case in options.cases:
                results.append(run(case, dtype, n_threads, options.repeats, names))
                print(report.table(results[-1]), end="\n\n", flush=True)
                if options.json:        # now: a run of all cases takes long, and may be stopped
                    text = json.dumps({"about": about, "results": results}, indent=1)
                    options.json.write_text(text, encoding="utf-8")
    versions = {name: of["version"] for name, of in results[0]["libraries"].items()}
    print("\n".join(f"{key}: {value}" for key, value in (about | versions).items()))
    if options.plot:
        report.plot(results, options.plot)


def parse():
    first_line = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m asv_benchmarks.peers", description=first_line)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32"])
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES), metavar="NAME",
                        help=f"beside fastbp: {', '.join(LIBRARIES)}; default: all that are installed")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; default 7")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=".svg or .png; needs matplotlib")
    options = parser.parse_args()
    if min(options.threads) < 1 or max(options.threads) > len(cpus()):
        parser.error(f"--threads must be from 1 to {len(cpus())}, the cores of this process")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    return options


def installed(names):
    """Those of the names that are there, fastbp first."""
    found = [report.OURS]
    for name in dict.fromkeys(names):
        if find_spec(LIBRARIES[name].module) is None:
            print(f"not installed: {name}")
        elif name != report.OURS:
            found.append(name)
    return found


def run(case, dtype, n_threads, repeats, names):
    with tempfile.TemporaryDirectory() as folder, affinity(n_threads):
        path = Path(folder) / "result.json"
        arguments = [case, dtype, str(n_threads), str(repeats), str(path), *names]
        worker = [sys.executable, "-m", "asv_benchmarks.peers.worker", *arguments]
        if subprocess.run(worker, env=environment(n_threads)).returncode:
            sys.exit(f"{case}, {dtype}, {n_threads} threads: not measured, see above")
        return json.loads(path.read_text(encoding="utf-8"))


def cpus():
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def affinity(n_threads):
    """Processes started meanwhile get so many cores; where there is no affinity, `environment` must do."""
    before = cpus()
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, before[:n_threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine():
    """What the figures were measured on."""
    import fastbp

    config = fastbp.config()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": len(cpus()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "isa": config["isa"],
    }


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
