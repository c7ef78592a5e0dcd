"""The table of ISA rows, and the choice of one: the best that the machine can run, or the one asked for."""
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import stacks

import fastbp
from fastbp import _cpu, _dispatch
from fastbp._isa import DTYPES, ISAS, machine_name, macros, module_name

NAMES = [isa.name for isa in ISAS]
HERE = [isa for isa in ISAS if isa.machine == _dispatch.MACHINE]
OTHERS = [isa.name for isa in ISAS if isa.machine != _dispatch.MACHINE]
LINE_BYTES = 64
UNKNOWN, UNSUPPORTED = "is unknown", "is not supported by this machine"
each_row = pytest.mark.parametrize("row", ISAS, ids=NAMES)


# --- The table


def test_names_are_unique_and_make_unique_modules():
    modules = [module_name(isa, dtype) for isa in NAMES for dtype in DTYPES]
    assert len(set(modules)) == len(ISAS) * len(DTYPES)


@pytest.mark.parametrize("machine", sorted({isa.machine for isa in ISAS}))
def test_rows_stand_best_first_and_one_runs_everywhere(machine):
    rows = [isa for isa in ISAS if isa.machine == machine]
    for better, worse in zip(rows, rows[1:]):
        assert better.features > worse.features and better.vector_bytes >= worse.vector_bytes
    assert rows[-1].features == frozenset()


@pytest.mark.parametrize("given, expected", [
    ("AMD64", "x86_64"), ("x86_64", "x86_64"), ("x64", "x86_64"),
    ("arm64", "aarch64"), ("ARM64", "aarch64"), ("aarch64", "aarch64"), ("riscv64", "riscv64")])
def test_machines_have_one_spelling(given, expected):
    assert machine_name(given) == expected
    assert all(machine_name(isa.machine) == isa.machine for isa in ISAS)


@each_row
def test_a_row_fits_what_the_core_sets_aside(row):
    """tile.pxi has 32 accumulators, 16 vectors of b, cases for 14 rows; simd.h, vectors of 16 to 64 bytes."""
    vectors = LINE_BYTES // row.vector_bytes
    assert row.vector_bytes in (16, 32, 64)
    for rows, panels in (row.tile, row.tile_dw):
        assert 1 <= rows <= 14 and 1 <= panels and panels * vectors <= 16
        assert rows * panels * vectors <= 32
    assert row.kc % LINE_BYTES == 0


@each_row
@pytest.mark.parametrize("dtype", DTYPES)
def test_macros_are_numbers_of_this_dtype(row, dtype):
    size = np.dtype(dtype).itemsize
    assert macros(row, dtype) == {
        "FASTBP_F64": int(dtype == "float64"), "FASTBP_VECTOR_BYTES": row.vector_bytes,
        "FASTBP_MR": row.tile[0], "FASTBP_NP": row.tile[1],
        "FASTBP_MR_DW": row.tile_dw[0], "FASTBP_NP_DW": row.tile_dw[1], "FASTBP_KC": row.kc // size}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", HERE, ids=[isa.name for isa in HERE])
def test_every_row_of_this_machine_is_built(row, dtype):
    """Looks for the module without loading it: its initialisation may need what this machine lacks."""
    assert importlib.util.find_spec("fastbp._core." + module_name(row.name, dtype)) is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _dispatch.usable())
def test_a_core_is_what_its_row_says(isa, dtype):
    core = _dispatch.load_core(isa, dtype)
    row = ISAS[NAMES.index(isa)]
    stack = core.Stack(1, [stacks.layer(1)], stacks.loss_spec("squared_error", 1))
    assert stack.dtype == dtype
    assert stack.chunk_size % row.tile[0] == 0, "chunks of inference should be whole tiles"
    assert core.fma_chain(1)[1] == 24 * row.vector_bytes // np.dtype(dtype).itemsize


# --- The choice


@pytest.fixture
def machine(monkeypatch):
    """Calling it makes this another machine, as far as the choice goes."""

    def become(name, features=()):
        monkeypatch.setattr(_dispatch, "MACHINE", name)
        monkeypatch.setattr(_dispatch, "_cpu", SimpleNamespace(features=lambda: frozenset(features)))

    monkeypatch.delenv("FASTBP_ISA", raising=False)
    return become


def test_the_usable_rows_are_this_machines_in_the_order_of_the_table():
    assert _dispatch.usable() == tuple(isa.name for isa in HERE if isa.features <= _cpu.features())
    assert _dispatch.ISA in _dispatch.usable()
    assert fastbp.config()["isa"] == _dispatch.ISA
    assert fastbp.config()["isa_usable"] == list(_dispatch.usable())


@each_row
def test_the_first_row_whose_features_are_all_there_is_taken(machine, row):
    machine(row.machine, row.features)
    assert _dispatch.usable()[0] == _dispatch._choose() == row.name
    machine(row.machine, row.features | {"something new"})
    assert _dispatch._choose() == row.name


@each_row
def test_one_missing_feature_rules_a_row_out(machine, row):
    for missing in row.features:
        machine(row.machine, row.features - {missing})
        assert row.name not in _dispatch.usable()
        assert _dispatch._choose() != row.name


@each_row
def test_a_row_that_is_named_is_taken_if_it_is_usable(machine, monkeypatch, row):
    machine(row.machine, frozenset().union(*(isa.features for isa in ISAS)))
    monkeypatch.setenv("FASTBP_ISA", row.name)
    assert _dispatch._choose() == row.name


@pytest.mark.parametrize("wanted, why", [
    *((name, UNSUPPORTED) for name in NAMES if name != "x86_64"),
    *((name, UNKNOWN) for name in ("avx2", "X86_64", " x86_64", "x86_64_v3,x86_64", "0"))])
def test_what_cannot_be_had_is_refused_with_a_list_of_what_can(machine, monkeypatch, wanted, why):
    machine("x86_64")
    monkeypatch.setenv("FASTBP_ISA", wanted)
    with pytest.raises(ImportError) as caught:
        _dispatch._choose()
    assert str(caught.value) == f"FASTBP_ISA={wanted!r} {why}; accepted here: x86_64"


def test_an_empty_wish_is_none(machine, monkeypatch):
    machine("x86_64")
    monkeypatch.setenv("FASTBP_ISA", "")
    assert _dispatch._choose() == "x86_64"


def test_a_machine_without_a_row_is_told_so(machine):
    machine("riscv64")
    with pytest.raises(ImportError, match="no core for") as caught:
        _dispatch._choose()
    assert all(name in str(caught.value) for name in NAMES)


# --- What the processor says

on_x86 = pytest.mark.skipif(_dispatch.MACHINE != "x86_64", reason="the table of CPUID bits is for x86_64")


@on_x86
def test_every_feature_of_a_row_is_one_that_can_be_found():
    assert frozenset().union(*(isa.features for isa in HERE)) <= set(_cpu._BITS)
    assert _cpu.features() <= set(_cpu._BITS)


@on_x86
@pytest.mark.skipif(platform.system() != "Linux", reason="needs /proc/cpuinfo")
def test_features_are_those_that_the_kernel_sees():
    """The kernel too leaves out what the operating system does not save; it knows lzcnt as AMD's abm."""
    text = Path("/proc/cpuinfo").read_text()
    flags = set(next(line for line in text.splitlines() if line.startswith("flags")).split())
    assert _cpu.features() == {name for name in _cpu._BITS if {"lzcnt": "abm"}.get(name, name) in flags}


# --- Other processes, each with its wish

PROGRAM = """
import json, sys
import numpy, fastbp
net = fastbp.Network([2, 8, 2], activation="tanh", seed=0)
X = [[0, 0], [0, 1], [1, 0], [1, 1]]
losses = net.fit(X, [0, 1, 1, 0], epochs=300, batch_size=4, optimizer=fastbp.SGD(0.5)).loss
cores = [name.rpartition(".")[2] for name in sys.modules if name.startswith("fastbp._core.")]
print(json.dumps([fastbp.config()["isa"], cores, net.predict(X).tolist(), losses[-1]]))
"""


def python(program, isa):
    return run_python(["-c", program], isa)


def run_python(arguments, isa, **options):
    path = os.pathsep.join([str(Path(fastbp.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "FASTBP_ISA": isa}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("isa", _dispatch.usable())
def test_a_forced_row_trains_and_no_other_is_loaded(isa):
    """Loading a better row's module could already be an illegal instruction."""
    done = python(PROGRAM, isa)
    assert done.returncode == 0, done.stderr
    chosen, cores, labels, loss = json.loads(done.stdout)
    assert (chosen, labels) == (isa, [0, 1, 1, 0]) and loss < 0.1
    assert sorted(cores) == sorted(module_name(isa, dtype) for dtype in DTYPES)


@pytest.mark.parametrize("wanted, why", [("best", UNKNOWN), *((name, UNSUPPORTED) for name in OTHERS[:1])])
def test_importing_with_a_wish_that_cannot_be_met_fails_in_one_line(wanted, why):
    done = python("import fastbp", wanted)
    last = done.stderr.strip().splitlines()[-1]
    accepted = ", ".join(_dispatch.usable())
    assert done.returncode == 1 and done.stdout == ""
    assert last == f"ImportError: FASTBP_ISA={wanted!r} {why}; accepted here: {accepted}"
    assert done.stderr.count("Traceback") == 1, done.stderr


@pytest.mark.parametrize("command", [
    ["-m", "fastbp", "info"], ["-mfastbp"], ["fastbp", "train", "--epochs", "1"], ["fastbp.exe"]], ids=" ".join)
def test_the_command_line_says_so_in_one_line(command, tmp_path):
    for name in ("fastbp", "fastbp.exe"):           # what pip writes
        (tmp_path / name).write_text("import sys\nfrom fastbp.cli import main\nsys.exit(main())\n")
    done = run_python(command, "best", cwd=tmp_path)
    accepted = ", ".join(_dispatch.usable())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"fastbp: error: FASTBP_ISA='best' is unknown; accepted here: {accepted}\n"
    assert run_python(command, "", cwd=tmp_path).stderr.count("ImportError") == 0


@pytest.mark.parametrize("program", ["other", "fastbp_more"])
def test_other_programs_get_the_error_itself(program, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / program).write_text("try:\n    import fastbp\nexcept ImportError:\n    print('caught')\n")
    (tmp_path / f"{program}.py").write_text("import fastbp\n")
    assert run_python([program, "fastbp"], "best", cwd=tmp_path).stdout == "caught\n"
    done = run_python(["-m", program, "fastbp"], "best", cwd=tmp_path)
    assert done.returncode == 1 and "ImportError: FASTBP_ISA='best' is unknown" in done.stderr


# --- One computation on every row


def trained(monkeypatch, isa, dtype):
    """Losses and parameters of a short training run on one row."""
    monkeypatch.setitem(_dispatch._CORES, dtype, _dispatch.load_core(isa, dtype))
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((203, 19)), rng.integers(0, 5, 203)
    net = fastbp.Network([19, 33, 18, 5], activation="tanh", dtype=dtype, seed=1)
    history = net.fit(X, y, epochs=5, optimizer=fastbp.SGD(0.1, momentum=0.9))
    return np.concatenate([history.loss, *(x.ravel() for x in net.weights + net.biases)]).astype(np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _dispatch.usable())
def test_rows_agree_to_rounding(monkeypatch, isa, dtype):
    """35 steps round differently where a row has no FMA. Each difference is an ULP or so of a sum, as likely
    up as down, and training carries it on: together one ULP of the largest number here. A wrong lane is
    thousands.
    """
    best, this = (trained(monkeypatch, name, dtype) for name in (_dispatch.usable()[0], isa))
    assert np.abs(best).max() > 1e-1 and np.isfinite(best).all()
    assert np.abs(this - best).max() <= 16 * np.finfo(dtype).eps * np.abs(best).max()


def test_a_source_tree_that_is_not_built_says_so(tmp_path):
    """Which anyone meets who installs from a clone and starts Python in it."""
    package = Path(fastbp.__file__).parent
    for path in package.rglob("*.py"):
        copy = tmp_path / "fastbp" / path.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    done = subprocess.run([sys.executable, "-c", "import fastbp"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True)
    assert "ImportError: fastbp's compiled modules are not in" in done.stderr.splitlines()[-1] and done.returncode == 1
