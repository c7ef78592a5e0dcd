"""What may be in an sdist."""

import re
import tarfile

from wheelhouse.environments import CheckFailed

#: Directories and files that it has, and what a build leaves behind.
WANTED = ("fastbp/_core/core.pyx fastbp/_core/simd.h fastbp/_cpu.pyx tests/ asv_benchmarks/ examples/ docs/ tools/"
             " setup.py pyproject.toml README.md LICENSE CHANGELOG.md ARCHITECTURE.md CONTRIBUTING.md").split()
BUILT = re.compile(r"^fastbp/.*\.c$|\.(o|so|pyd|pyc)$|_float(32|64)\.py[xi]$|(^|/)(build|dist|__pycache__)/")


def check_sdist(sdist):
    with tarfile.open(sdist) as archive:
        names = ["/".join(name.split("/")[1:]) for name in archive.getnames()]
    missing = [wanted for wanted in WANTED if not any(name == wanted or name.startswith(wanted) for name in names)]
    built = [name for name in names if BUILT.search(name)]
    if missing or built:
        raise CheckFailed(f"{sdist.name} lacks {missing} and has what a build made: {built}")
    return f"{len(names)} files, nothing that a build makes"
