"""What may be in a wheel, seen without installing it."""

import json
import os
import re
import tempfile
import zipfile
from pathlib import Path

from wheelhouse.elf import SharedObject
from wheelhouse.environments import CheckFailed

MOST_BYTES = 4_000_000
TAG = re.compile(r"-cp3\d+-(cp3\d+t?|abi3)-((many|musl)linux\w*_(x86_64|aarch64)\.)+whl$")
SUFFIXES = {".py", ".pyi", ".pxd", ".h", ".typed", ".npz", ".txt", ".so"}

#: What any Linux has. Everything else that is needed must be in the wheel.
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
          "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"}


def problems_of(module, bundled):
    """What is wrong with one of our compiled modules; `bundled` are the libraries that came with it."""
    it = SharedObject(module)
    entry = "PyInit_" + module.name.split(".")[0]
    if it.exports() != {entry}:
        yield f"exports {sorted(it.exports())}, expected {entry} alone"
    if strangers := it.needed() - SYSTEM - bundled:
        yield f"needs {sorted(strangers)}, which is neither in the wheel nor in every Linux"
    if paths := [path for path in it.search_path() if not path.startswith("$ORIGIN/")]:
        yield f"looks for libraries in {paths}"
    if it.debugging_sections():
        yield f"is not stripped: {it.debugging_sections()}"


def bundled_packages(folder):
    """Whose libraries auditwheel copied into a wheel, as the list that it left there says."""
    for path in folder.glob("*.dist-info/sboms/auditwheel.cdx.json"):
        components = json.loads(path.read_text())["components"]
        yield from (f"{it['name']} {it['version']}" for it in components if it["name"] != "fastbp")


def problems_of_files(folder):
    """What is wrong with an unpacked wheel."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".dist-info" not in str(path.relative_to(folder))]
    libraries = {path for path in files if path.parent.name == "fastbp.libs"}
    modules = [path for path in files if path.suffix == ".so" and path not in libraries]
    if not modules:
        yield "has no compiled module"
    for path in set(files) - libraries:
        if path.suffix not in SUFFIXES:
            yield f"has {path.relative_to(folder)}"
    for module in modules:
        yield from (f"{module.name} {problem}" for problem in problems_of(module, {path.name for path in libraries}))


def check_wheel(wheel):
    """One line about a repaired wheel; CheckFailed with all that is wrong with it."""
    problems, size = [], os.path.getsize(wheel)
    if size > MOST_BYTES:
        problems.append(f"{size:,} bytes are more than {MOST_BYTES:,}")
    if not TAG.search(wheel.name):
        problems.append("the tag is not one of manylinux or musllinux")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        problems += problems_of_files(Path(folder))
        bundled = ", ".join(bundled_packages(Path(folder))) or "nothing"
    if problems:
        raise CheckFailed(f"{wheel.name}:\n  " + "\n  ".join(problems))
    return f"{size / 1e6:.2f} MB; each module exports its PyInit alone; bundles {bundled}"
