"""The house stands as ARCHITECTURE.md draws it: floors, rooms of the core, sizes, forbidden things."""
import ast
import graphlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastbp"
CORE = PACKAGE / "_core"

#: Floor of every module. A module imports from floors below, and from its own where no circle comes of it.
FLOORS = {module: floor for floor, modules in {
    5: "cli __main__ _prepare _report sklearn sklearn._base sklearn._callbacks sklearn._classifier sklearn._convert sklearn._fit"
       " sklearn._lbfgs sklearn._network sklearn._rates sklearn._records sklearn._regressor sklearn._settings sklearn._sparse"
       " sklearn._tabular sklearn._validation",
    4: "__init__ network model predictor presets many ensemble cross_validation selection",
    3: "training divergence full_batch sources fitting plan resuming checkpoint callbacks reports history health plots"
       " gradients gradient_check trace range_test kernels embedding persistence _description _config",
    2: "activations losses optimizers schedules lbfgs initializers layers scaling _validate _targets errors datasets tables"
       " _files _modelfile _settings _rates _update",
    1: "_dispatch _isa _cpu _capi _threads _typing _version",
    0: "_core reference _reference_math",
}.items() for module in modules.split()}

#: Below the facades, the modules that draw or report with an optional package, imported inside the function that needs it.
MAY_USE_EXTRAS = {"plots", "reports"}

#: The facade that derives from another package's classes; nobody imports it who does not have that package.
STANDS_ON_SCIKIT_LEARN = {module for module in FLOORS if module.startswith("sklearn")}

MODULES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("sklearn/*.py")])
ROOMS = sorted(CORE.glob("*.pxi"))
BUILD = [ROOT / "setup.py", PACKAGE / "_isa.py"]
COMPILED = [CORE / "core.pyx", PACKAGE / "_cpu.pyx", PACKAGE / "_capi.pyx", *ROOMS]



def name_of(path):
    """As FLOORS has it: `network`, `sklearn._fit`; of the package `sklearn` itself its own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


every_module = pytest.mark.parametrize("path", MODULES, ids=name_of)
every_room = pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.name)
every_compiled_file = pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)


def read(path):
    return path.read_text(encoding="utf-8")


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def imports(path):
    """Each import of a file: the dotted name, and whether it is done when the file is. Those for type checkers, which may look
    up to the floors above, are none."""
    tree = ast.parse(read(path))
    inner = {node for function in functions(tree) for node in ast.walk(function)}
    for_checkers = {node for guard in tree.body if isinstance(guard, ast.If) and ast.unparse(guard.test) == "TYPE_CHECKING"
                    for node in ast.walk(guard)}
    for node in (node for node in ast.walk(tree) if node not in for_checkers):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import in line {node.lineno}"
            yield from ((f"{node.module}.{alias.name}", node not in inner) for alias in node.names)


def modules_used(path):
    """The modules of the package that a file imports, also inside functions."""
    for name, _ in imports(path):
        package, *parts = name.split(".")
        if package == "fastbp":
            yield next((module for module in (".".join(parts[:2]), *parts[:1]) if module in FLOORS), "__init__")


def code(path):
    """The text of a Cython or C file without comments and docstrings."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.DOTALL)
    text = re.sub(r'^\s*"""(?!\n).*?"""', "", text, flags=re.DOTALL | re.MULTILINE)  # quoted C stays
    return re.sub(r"(^|\s)# .*", "", text)


# --- Floors -------------------------------------------------------------------------------------------------


def test_every_module_has_a_floor():
    found = {name_of(path) for path in [*MODULES, *PACKAGE.glob("*.pyx")]}
    found |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found == set(FLOORS)


def test_every_package_is_shipped():
    settings = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert found == set(settings["packages"]) - {"fastbp.data"}


@every_module
def test_imports_go_down(path):
    for module in modules_used(path):
        assert FLOORS[module] <= FLOORS[name_of(path)], f"{name_of(path)} imports {module}, which stands above it"


def test_no_imports_in_a_circle():
    graph = {name_of(path): {m for m in modules_used(path) if m != name_of(path)} for path in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@every_module
def test_numpy_is_all_that_an_import_needs(path):
    """Optional packages are imported inside functions, and on the top floor only."""
    for name, at_once in imports(path):
        package = name.partition(".")[0]
        if package in ("sklearn", "scipy") and name_of(path) in STANDS_ON_SCIKIT_LEARN:
            continue
        if package not in sys.stdlib_module_names | {"fastbp", "numpy"}:
            is_optional = FLOORS[name_of(path)] == 5 or name_of(path) in MAY_USE_EXTRAS
            assert not at_once and is_optional, f"{name_of(path)} imports {name}"


@every_module
def test_scikit_learn_stays_optional(path):
    assert name_of(path) in STANDS_ON_SCIKIT_LEARN or not STANDS_ON_SCIKIT_LEARN & set(modules_used(path))


@every_module
def test_production_leaves_the_twin_alone(path):
    twin = {"reference", "_reference_math"}
    assert name_of(path) in twin or not twin & set(modules_used(path))


@every_module
def test_no_numpy_products(path):
    """Training and inference multiply matrices in the core alone."""
    if FLOORS[name_of(path)] == 0:
        pytest.skip("the twin is NumPy")
    for node in ast.walk(ast.parse(read(path))):
        assert not isinstance(node, ast.MatMult), f"{path.name} multiplies with @"
        products = ("dot", "matmul", "einsum", "tensordot", "inner", "vdot", "linalg")
        assert getattr(node, "attr", "") not in products


# --- The core -----------------------------------------------------------------------------------------------


def included():
    return re.findall(r'^include "(.+)"', read(CORE / "core.pyx"), re.MULTILINE)


def test_the_core_is_made_of_its_rooms():
    assert sorted(included()) == [path.name for path in ROOMS]


def test_no_room_includes_another():
    assert not [path.name for path in ROOMS if re.search(r"^\s*include\b", read(path), re.MULTILINE)]


def test_the_headers_exist():
    headers = {name for path in [*COMPILED, *CORE.glob("*.h"), *PACKAGE.glob("include/*.h")]
               for name in re.findall(r'(?:extern from|#\s*include) "(.+?)"', read(path))}
    assert headers == {path.name for path in [*CORE.glob("*.h"), *PACKAGE.glob("include/*.h")]}


DEFINITION = re.compile(r"^(?:cdef|cpdef|def) (?:class |struct |enum |inline )?[^(=\n:]*?\b(\w+)(?:\(.*|:)$",
                        re.MULTILINE)


def test_a_room_uses_the_rooms_above_it_only():
    later = set()
    for name in reversed(included()):
        text = code(CORE / name)
        own = set(DEFINITION.findall(text)) - {"enum", "nogil"}
        assert own, f"no definition is recognised in {name}"
        used = later & set(re.findall(r"(?<![.\w])\w+", text)) - own  # not after a dot: that is a field
        assert not used, f"{name} uses {sorted(used)} of rooms that are included after it"
        later |= own


@every_room
def test_threads_live_on_one_floor(path):
    words = re.findall(r"\b(?:parallel|prange|omp_\w+|run_team|most_threads|barrier_wait)\(", code(path))
    allowed = {"step.pxi": {*words}, "infer.pxi": {*words}, "batch.pxi": {"barrier_wait("}, "types.pxi": {*words},
               "kernels.pxi": {"most_threads("}}
    assert set(words) <= allowed.get(path.name, set())


@every_compiled_file
def test_public_functions_of_the_core_explain_themselves(path):
    """In the source: at run time every __doc__ has the signature at least."""
    text = read(path)
    start = r"^ *(?:cp)?def (?!enum)"
    head = r"[^(\n]*?(\w+)\([^()]*(?:\([^()]*\)[^()]*)*\)[^\n:]*:\n"
    functions = re.findall(start + head + r'(\s*""")?', text, re.MULTILINE)
    assert len(functions) == len(re.findall(start, text, re.MULTILINE))  # each is recognised
    assert not [name for name, docstring in functions if not name.startswith("_") and not docstring]


# --- What no file may contain, and sizes --------------------------------------------------------------------


def strings(path):
    return [node.value for node in ast.walk(ast.parse(read(path)))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("path", BUILD, ids=lambda path: path.name)
def test_no_flag_breaks_the_host_or_leaves_the_table(path):
    """Fast math changes the process that loads it; -march=native is this machine, not a row of the table."""
    bad = r"fast-?math|-Ofast|(unsafe|finite|associative|reciprocal)-math|=native|daz|ftz"
    assert not [text for text in strings(path) if re.search(bad, text) and not text.startswith("\n")]


@pytest.mark.parametrize("path", [*COMPILED, *sorted(CORE.glob("*.h"))], ids=lambda path: path.name)
def test_the_core_knows_neither_numpy_nor_flags_of_its_own(path):
    text = code(path)
    assert not re.search(r"cimport\s+numpy|from\s+numpy\s+cimport|numpy/\w+\.h", text)
    assert not re.search(r"pragma\s+(GCC|clang|STDC)|__attribute__\(\(optimize|distutils:", text)
    if path.name != "team.h":                       # whose use_arithmetic says what was there before
        assert not re.search(r"setcsr|ldmxcsr|fpcr|fesetenv|fesetround", text)


@every_module
def test_a_function_fits_a_screen(path):
    for function in functions(ast.parse(read(path))):
        n_lines = function.end_lineno - function.lineno + 1
        if ast.get_docstring(function) is not None:
            n_lines -= function.body[0].end_lineno - function.body[0].lineno + 1
        assert n_lines <= 40, f"{path.name}: {function.name} has {n_lines} lines besides its docstring"


@every_compiled_file
def test_a_room_is_one_idea(path):
    assert len(read(path).splitlines()) <= 300
