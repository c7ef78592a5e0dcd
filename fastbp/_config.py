"""What this build is and what this machine lets it do."""

import os
import platform
from typing import Any

import numpy as np

from fastbp import _threads
from fastbp._dispatch import ISA, core, usable
from fastbp._version import VERSION


def config() -> dict[str, Any]:
    """The same as `show_config`, as a dict."""
    openmp, _ = core("float32").openmp()
    return {
        "fastbp": VERSION,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "isa": ISA,
        "isa_usable": list(usable()),
        "openmp": openmp,
        "threads": _threads.get_num_threads(),
        "cpu_count": os.cpu_count(),
        "cpu_quota": _threads.cgroup_quota(),
    }


def show_config() -> None:
    """Print versions, the ISA row in use and those this machine can run, and how many threads a call may use."""
    for name, value in config().items():
        print(f"{name:<12} {', '.join(value) if isinstance(value, list) else value}")
