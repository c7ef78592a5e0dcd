"""Type hints: what is public has them, they are shipped, and the program that uses all of it runs. That they are right is
checked by `tools/check_types.sh`."""
import inspect
import runpy
import types
from importlib import resources
from pathlib import Path

import pytest

import fastbp
from fastbp import _cpu, _dispatch


def functions():
    """Every public function and method, by its name."""
    for name in fastbp.__all__:
        value = getattr(fastbp, name)
        its_own = [it for it in vars(value).values() if getattr(it, "__module__", None) == value.__name__] \
            if isinstance(value, types.ModuleType) else [value]
        for it in its_own:
            if inspect.isclass(it):
                yield from methods(it)
            elif inspect.isfunction(it) and not it.__name__.startswith("_"):
                yield f"{it.__module__}.{it.__name__}", it


def methods(cls):
    for kind in cls.__mro__:
        for name, value in vars(kind).items():
            function = value.fget if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
            is_ours = inspect.isfunction(function) and function.__code__.co_filename.startswith(str(Path(fastbp.__file__).parent))
            if is_ours and (not name.startswith("_") or name in ("__init__", "__call__")):
                yield f"{kind.__module__}.{function.__qualname__}", function


@pytest.mark.parametrize("function", [pytest.param(f, id=name) for name, f in sorted(dict(functions()).items())])
def test_what_is_public_has_hints(function):
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    assert not bare and signature.return_annotation is not signature.empty


def test_a_type_checker_finds_them():
    assert (resources.files(fastbp) / "py.typed").is_file()


@pytest.mark.parametrize("module", [_cpu, _dispatch.core("float32"), _dispatch.core("float64")], ids=lambda m: m.__name__)
def test_a_compiled_module_has_a_stub(module):
    assert Path(module.__file__).with_name(module.__name__.rpartition(".")[2] + ".pyi").is_file()


def test_the_typed_program_runs(tmp_path):
    runpy.run_path(str(Path(__file__).parent / "typed" / "public.py"))["main"](tmp_path)
