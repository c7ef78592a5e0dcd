"""What setup.py builds for which machine, and what leaves the tree: seen without a compiler.

`tools/wheels.py` builds, and looks at what came of it.
"""

import os
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging
pytest.importorskip("Cython")
pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[1]
X86 = {f"fastbp._core.{row}_{dtype}" for row in ("x86_64", "x86_64_v3", "x86_64_v4") for dtype in ("float32", "float64")}
NEON = {"fastbp._core.neon_float32", "fastbp._core.neon_float64"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what a commit has, and of what a build leaves beside it."""
    tree = tmp_path_factory.mktemp("copy") / "fastbp"
    skip = shutil.ignore_patterns(".git", ".*cache", "build", "dist", "*.egg-info", "*.so", ".asv", "_build")
    shutil.copytree(ROOT, tree, ignore=skip)
    (tree / "fastbp" / "_core" / "left_over.c").write_text("int left_over;\n")
    return tree


def run_setup(tree, code, **changes):
    """A Python that has run setup.py as far as its table of extensions, `it`, and then runs `code`."""
    names = ("FASTBP_OPENMP", "FASTBP_LIBOMP", "FASTBP_LIMITED_API", "_PYTHON_HOST_PLATFORM")
    env = {name: value for name, value in os.environ.items() if name not in names} | changes
    return subprocess.run([sys.executable, "-c", f"import runpy, sysconfig\n{code}"], cwd=tree, env=env, text=True,
                          capture_output=True, timeout=60)


def extensions(tree, target, **changes):
    code = "for it in runpy.run_path('setup.py')['EXTENSIONS']: print(it.name, *it.extra_compile_args, *it.extra_link_args)"
    printed = run_setup(tree, code, _PYTHON_HOST_PLATFORM=target, **changes)
    assert printed.returncode == 0, printed.stderr
    return {name: flags for name, *flags in map(str.split, printed.stdout.splitlines())}


@pytest.mark.parametrize("target, cores", [
    ("linux-x86_64", X86), ("linux-aarch64", NEON), ("macosx-11.0-arm64", NEON), ("macosx-10.13-x86_64", X86), ("win-amd64", X86),
])
def test_the_rows_are_those_of_the_target_and_not_of_the_machine_that_compiles(tree, target, cores):
    assert {name for name in extensions(tree, target) if name.startswith("fastbp._core.")} == cores


def test_only_the_cores_get_the_flags_of_a_row_and_openmp(tree):
    made = extensions(tree, "linux-x86_64")
    assert "-march=x86-64-v4" in made["fastbp._core.x86_64_v4_float32"] and "-fopenmp" in made["fastbp._core.x86_64_v4_float32"]
    assert not [flag for flag in made["fastbp._cpu"] if flag.startswith(("-march", "-fopenmp"))]


@pytest.mark.parametrize("target, changes", [("linux-x86_64", {"FASTBP_OPENMP": "0"}), ("macosx-11.0-arm64", {})])
def test_without_openmp_there_is_no_flag_of_it(tree, target, changes):
    for flags in extensions(tree, target, **changes).values():
        assert not [flag for flag in flags if "omp" in flag]


def test_openmp_comes_from_the_prefix_on_macos(tree):
    flags = extensions(tree, "macosx-11.0-arm64", FASTBP_LIBOMP="/opt/libomp")["fastbp._core.neon_float32"]
    assert {"-I/opt/libomp/include", "-L/opt/libomp/lib", "-lomp"} <= set(flags)


@pytest.mark.parametrize("target, changes, words", [
    ("macosx-11.0-universal2", {}, "ARCHFLAGS"),
    ("linux-riscv64", {}, "accepted machines are aarch64, x86_64"),
    ("macosx-11.0-arm64", {"FASTBP_OPENMP": "1"}, "FASTBP_LIBOMP"),
])
def test_what_cannot_work_is_refused_before_anything_is_compiled(tree, target, changes, words):
    run = run_setup(tree, "import sys; sys.argv = ['setup.py', 'build_ext']; runpy.run_path('setup.py', run_name='__main__')",
                    _PYTHON_HOST_PLATFORM=target, **changes)
    assert run.returncode == 1 and words in run.stderr and "Traceback" not in run.stderr


def test_the_stable_abi_is_refused_on_a_free_threaded_python(tree):
    code = "sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1; runpy.run_path('setup.py')"
    run = run_setup(tree, code, FASTBP_LIMITED_API="1")
    assert run.returncode == 1 and "FASTBP_LIMITED_API=1 needs a Python with the GIL" in run.stderr


def test_clang_cl_takes_the_place_of_msvc(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PATH", str(tmp_path))
    use_clang_cl = runpy.run_path("setup.py")["use_clang_cl"]
    msvc = types.SimpleNamespace(initialize=lambda: None, cc="cl.exe", compile_options=["/nologo", "/GL", "/MD"])
    with pytest.raises(SystemExit, match="clang-cl 12 or newer"):
        use_clang_cl(msvc)
    clang = tmp_path / "clang-cl"
    clang.write_text("")
    clang.chmod(0o755)
    use_clang_cl(msvc)
    assert (msvc.cc, msvc.compile_options) == (str(clang), ["/nologo", "/MD"])


def test_a_wheel_gets_nothing_from_an_earlier_build(tree, tmp_path):
    stale = tmp_path / "lib" / "fastbp" / "_cpu.abi3.so"
    stale.parent.mkdir(parents=True)
    stale.touch()
    run = run_setup(tree, f"""
import setuptools
setuptools.setup(packages=["fastbp"], cmdclass={{"build": runpy.run_path("setup.py")["Build"]}},
                 script_args=["build", "--build-base", {str(tmp_path)!r}])""")
    assert run.returncode == 0, run.stderr
    assert (stale.parent / "network.py").exists() and not stale.exists()


def test_an_sdist_has_the_sources_and_nothing_that_a_build_makes(tree, tmp_path, monkeypatch):
    run = run_setup(tree, f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})")
    assert run.returncode == 0, run.stderr
    monkeypatch.syspath_prepend(ROOT / "tools")
    from wheelhouse.sdist import check_sdist
    sdist, = tmp_path.glob("*.tar.gz")
    check_sdist(sdist)
