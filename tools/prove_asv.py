"""Proves that the benchmarks catch what they are for: a kernel that a commit made 15 % slower.

    python tools/prove_asv.py [--keep FOLDER] [--rounds N]

In a clone that is thrown away it makes eight commits: four of the same code, then one in which the training step computes a
third of dW's blocks twice, and three more of that. asv builds and measures them in interleaved rounds and publishes. The
proof holds if asv's list of regressions names that commit for the steps of two networks and nothing else at all, and if
`asv continuous` finds the slow commit slower and two equal ones equal. Needs asv, virtualenv, git, a C compiler and a
machine that does nothing else; about 15 minutes on two cores. Status: 0 proved, 1 not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from asv.commands.compare import unroll_result
from asv.results import iter_results
from asv.util import load_json

import fastbp

ROOT = Path(__file__).parents[1]
SLOWED = ["bench_step.Step.time_epoch('small', 'float32', 1)", "bench_step.Step.time_epoch('medium', 'float32', 1)"]
OTHERS = ["bench_calibration.Calibration.time_fma_chain('float32')", "bench_gemm.Gemm.time_forward('128x784x512', 'float32')",
          "bench_predict.Predict.time_forward('medium', 512, 'float32')"]
BENCH = "^(" + "|".join(name.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.") for name in SLOWED + OTHERS) + ")$"

KERNEL = "fastbp/_core/update.pxi"
SOUND = "        product_features(&p, rows, q1 - q)\n"
SLOW = SOUND + "        if i % 3 == 0: product_features(&p, rows, q1 - q)\n"


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        clone = Clone(folder / "fastbp")
        equal, slow = clone.history()
        asv = Asv(folder, clone.path, options.rounds)
        if asv("run", "--interleave-rounds", f"{equal[0]}~1..main") or asv("publish"):
            sys.exit("asv did not measure or publish, see above")
        times, found = asv.times(), asv.regressions()
        checks = {
            "every benchmark has a figure for every commit": all(set(times[c]) >= {*SLOWED, *OTHERS} for c in equal + slow),
            "the slow kernel is found, and the commit named": all(found.get(name) == {slow[0]} for name in SLOWED),
            "nothing else raises an alarm": set(found) <= set(SLOWED),
            "asv continuous: the slow commit is slower": asv("continuous", "--interleave-rounds", equal[-1], slow[0]) == 1,
            "asv continuous: equal commits are equal": asv("continuous", "--interleave-rounds", equal[0], equal[1]) == 0,
        }
    report(times, found, equal, slow)
    for check, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {check}")
    return 0 if all(checks.values()) else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder to work in and leave; html/ has the pages")
    parser.add_argument("--rounds", type=int, default=4, help="default 4")
    options = parser.parse_args()
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"--keep must name an empty folder, not {options.keep}")
    return options


class Clone:
    """The repository's HEAD, and a history on top of it."""

    def __init__(self, path):
        self.path = path
        run(["git", "clone", "--quiet", ROOT, path])
        self.git("checkout", "--quiet", "-B", "main")

    def git(self, *arguments):
        author = ["-c", "user.name=prove_asv", "-c", "user.email=prove_asv@localhost"]
        return run(["git", *author, *arguments], cwd=self.path)

    def history(self):
        """Hashes of the commits before the slow one, and of it and those after."""
        row = fastbp.config()["isa"]        # the only one that is built: a third of the time
        self.edit("fastbp/_isa.py", "\nDTYPES = ", f"\nISAS = tuple(isa for isa in ISAS if isa.name == {row!r})\n\nDTYPES = ")
        equal = [self.commit("One ISA row"), *(self.commit(f"Nothing, {n}") for n in (1, 2, 3))]
        self.edit(KERNEL, SOUND, SLOW)
        return equal, [self.commit("A slow kernel"), *(self.commit(f"Nothing, {n}") for n in (4, 5, 6))]

    def edit(self, name, old, new):
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            sys.exit(f"{name} has {text.count(old)} times {old!r}, not once: this script has to follow it")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def commit(self, message):
        self.git("commit", "--quiet", "--all", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


class Asv:
    """asv with the project's own settings and suites, and everything that it writes in one folder."""

    def __init__(self, folder, repository, rounds):
        self.folder, self.rounds = folder, rounds
        suites = ROOT / "asv_benchmarks"
        settings = load_json(suites / "asv.conf.json", js_comments=True)
        settings |= {"repo": str(repository), "benchmark_dir": str(suites / "benchmarks"), "env_dir": str(folder / "env"),
                     "results_dir": str(folder / "results"), "html_dir": str(folder / "html")}
        (folder / "asv.conf.json").write_text(json.dumps(settings), encoding="utf-8")
        if not Path("~/.asv-machine.json").expanduser().exists():
            self("machine", "--yes")

    def __call__(self, command, *arguments):
        """The status of a command."""
        if command in ("run", "continuous"):
            arguments = ["--bench", BENCH, "--attribute", f"rounds={self.rounds}", *arguments]
        asv = [sys.executable, "-m", "asv", "--config", self.folder / "asv.conf.json", command, *arguments]
        return subprocess.run(asv).returncode

    def times(self):
        """{commit: {benchmark: seconds}} of what was measured."""
        times = {}
        for result in iter_results(str(self.folder / "results")):
            of_commit = times.setdefault(result.commit_hash, {})
            for key in result.get_all_result_keys():
                params = result.get_result_params(key)
                values = unroll_result(key, params, result.get_result_value(key, params))
                of_commit |= {name: value for name, value in values if value is not None and value == value}
        return times

    def regressions(self):
        """{benchmark: commits, or ranges of them} of the published list."""
        html = self.folder / "html"
        hashes = load_json(html / "index.json")["revision_to_hash"]
        found = {}
        for name, *_, jumps in load_json(html / "regressions.json")["regressions"]:
            found[name] = {hashes[str(b)] if a is None else f"{hashes[str(a)]}..{hashes[str(b)]}" for a, b, *_ in jumps}
        return found


def report(times, found, equal, slow):
    print(f"\n{'':60} slow over equal   equal from least to most")
    for name in SLOWED + OTHERS:
        before, after = ([times[commit][name] for commit in commits] for commits in (equal, slow))
        ratio, spread = median(after) / median(before), max(before) / min(before)
        print(f"{name:60} {ratio:15.3f} {spread:26.3f}")
    for name, commits in found.items():
        print(f"regression of {name} in {', '.join(sorted(commits))}; planted in {slow[0]}")


def run(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
