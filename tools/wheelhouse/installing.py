"""Wheels where users meet them: a new environment, no compiler, no source tree."""

import shutil
import tempfile

from wheelhouse.building import unpack
from wheelhouse.environments import CheckFailed, clean_environment, run, virtual_environment

COMPILERS = "cc gcc clang c++ g++ ld as".split()


def tests_of(sdist, folder):
    """The tests, and the texts and examples they read, without the package and without what reads its source."""
    tree = unpack(sdist, folder)
    shutil.rmtree(tree / "fastbp")
    for name in ("setup.py", "tests/test_architecture.py", "tests/test_suites.py"):
        (tree / name).unlink()
    return tree


def test_wheel(python, wheel, sdist, *selection):
    """pytest's last line, on the wheel as `python` installs it; `selection` are more arguments for pytest."""
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder, virtual_environment(python, f"{wheel}[test]") as inside:
        env = clean_environment(PATH=str(inside.parent))
        if found := [name for name in COMPILERS if shutil.which(name, path=env["PATH"])]:
            raise CheckFailed(f"a user's machine was wanted, but there are {found}")
        tree = tests_of(sdist, folder)
        place = run(inside, "-c", "import fastbp; print(fastbp.__file__)", cwd=tree, env=env).strip()
        if not place.startswith(str(inside.parents[1])):
            raise CheckFailed(f"tested would be {place}, not the wheel in {inside.parents[1]}")
        printed = run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selection, cwd=tree, env=env)
    return printed.strip().splitlines()[-1]
