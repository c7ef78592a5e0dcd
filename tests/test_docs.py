"""The documentation says what is: its examples run, and every public name and every setting by name has its place."""

import doctest
import re
import sys
import types
from pathlib import Path

import pytest

import fastbp
from fastbp.activations import ACTIVATIONS
from fastbp.initializers import INITIALIZERS
from fastbp.losses import LOSSES
from fastbp.optimizers import OPTIMIZERS
from fastbp.schedules import SCHEDULES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(r"^(?:>>> )?(?:import|from) (?:fastbp\.)?(sklearn|matplotlib|torch|pyarrow|threadpoolctl)\b", re.MULTILINE)


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


PAGES = [page for page in ("../README.md", *sorted(path.name for path in DOCS.glob("*.md"))) if EXAMPLE.search(read(page))]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page, tmp_path, monkeypatch):
    """In order, with one namespace a page: those with prompts as doctests, others as they are."""
    text = read(page)
    examples = list(EXAMPLE.finditer(text))
    for package in set(OPTIONAL.findall("".join(example[1] for example in examples))):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("example")            # so that what an example defines can be pickled
    monkeypatch.setitem(sys.modules, "example", module)
    names = vars(module)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in examples:
        line = text.count("\n", 0, example.start(1))
        if ">>> " in example[1]:
            test = doctest.DocTestParser().get_doctest(example[1], names, page, page, line)
            runner.run(test, clear_globs=False)
            names.update(test.globs)
        else:
            exec(compile("\n" * line + example[1], page, "exec"), names)
    assert runner.summarize(verbose=False).failed == 0


def test_api_has_every_public_name():
    api = "\n".join(map(read, DOCS.glob("api/*.md")))
    documented = set(re.findall(r"^\.\. (?:auto\w+|py:data):: (?:fastbp\.)?(\w+)", api, re.MULTILINE))
    assert documented >= set(fastbp.__all__)


def test_api_table_has_every_public_name():
    listed = set(re.findall(r"^   (\w+)", read("api/index.md"), re.MULTILINE))
    assert listed >= set(fastbp.__all__) - {"__version__"}


@pytest.mark.parametrize("page, names", [
    ("networks.md", ACTIVATIONS), ("networks.md", LOSSES), ("networks.md", INITIALIZERS), ("mathematics.md", LOSSES),
    ("training.md", [kind.__name__ for kind in OPTIMIZERS.values()]),
    ("training.md", [kind.__name__ for kind in SCHEDULES.values()]),
    ("mathematics.md", [kind.__name__ for kind in OPTIMIZERS.values()]),
], ids=lambda value: value if isinstance(value, str) else next(iter(value)))
def test_tables_have_every_name(page, names):
    """In the first column."""
    first_columns = " ".join(re.findall(r"^\| (`[^|]*) \|", read(page), re.MULTILINE))
    assert set(names) <= set(re.findall(r"`(\w+)`", first_columns))
