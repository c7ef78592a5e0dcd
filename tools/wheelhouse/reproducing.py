"""Whether a build depends on anything but the source: its folder, the time, the order of files."""

import hashlib
import tempfile
import zipfile
from pathlib import Path

from wheelhouse.building import make_wheel
from wheelhouse.environments import CheckFailed


def digests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def check_reproducible(python, sdist, wheel):
    """Builds the wheel once more, in another folder, and compares the bytes."""
    with tempfile.TemporaryDirectory(prefix="fastbp-") as folder:
        again = make_wheel(python, sdist, Path(folder), "-abi3-" in wheel.name)
        if again.name != wheel.name:
            raise CheckFailed(f"{wheel.name} was {again.name} when built again")
        if again.read_bytes() != wheel.read_bytes():
            first, second = digests(wheel), digests(again)
            differ = [name for name in first | second if first.get(name) != second.get(name)]
            raise CheckFailed(f"{wheel.name}, built again, differs in {differ or 'order or dates alone'}")
        return "built twice in two folders: sha256 " + hashlib.sha256(wheel.read_bytes()).hexdigest()
