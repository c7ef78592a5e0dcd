"""Packages of two states of the repository, each in a folder of its own: built once, then found again by its git tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "asv_benchmarks" / ".asv" / "paired"
KEPT = 8


class BuildError(Exception):
    """A state of the repository that is not there, or does not build."""


def package_of(commit=None):
    """A folder to import fastbp from: as of a commit, or as the working tree is now, with files that git does not know yet."""
    with TemporaryDirectory() as folder:
        git = Git(Path(folder), commit)
        package = CACHE / f"{git.tree}-{sys.implementation.cache_tag}"
        if not package.exists():
            print(f"building {commit or 'the working tree'} ...", file=sys.stderr, flush=True)
            git.extract(Path(folder, "source"))
            build(Path(folder, "source"), Path(folder, "package"))
            CACHE.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder, "package"), package)
        os.utime(package)
    for old in sorted(CACHE.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old)
    return package


class Git:
    """A tree of the repository. That of the working tree is made with an index and a store of its own, which are thrown away."""

    def __init__(self, folder, commit):
        self.environment = dict(os.environ)
        if commit is not None:
            self.tree = self("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")
            return
        objects = self("rev-parse", "--path-format=absolute", "--git-path", "objects")
        Path(folder, "objects").mkdir()
        self.environment |= {"GIT_INDEX_FILE": str(folder / "index"), "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
                             "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
        self("read-tree", "HEAD")
        self("add", "--all")
        self.tree = self("write-tree")

    def __call__(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise BuildError(f"git {' '.join(arguments)} failed: {done.stderr.strip() or 'no such commit'}")
        return done.stdout.strip()

    def extract(self, folder):
        self("archive", "--format=tar", f"--output={folder}.tar", self.tree)
        shutil.unpack_archive(f"{folder}.tar", folder, filter="data")


def build(source, package):
    """As asv.conf.json does: a wheel by the tools of this environment, unpacked."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = source.parent
    for command in (["wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source],
                    ["install", "--no-deps", "--no-index", "--find-links", wheels, "--target", package, "fastbp"]):
        done = subprocess.run([*pip, *command], capture_output=True, text=True)
        if done.returncode:
            raise BuildError(f"pip {command[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
