"""Chooses the ISA row once, at import: the first that this machine can run, or the one that $FASTBP_ISA names.

A row's modules are imported only after the check: their very initialisation is compiled for that ISA.
"""

import importlib
import os
import platform
import sys

from fastbp._isa import DTYPES, ISAS, machine_name, module_name

try:
    import fastbp._cpu as _cpu
except ModuleNotFoundError as error:
    raise ImportError(f"fastbp's compiled modules are not in {os.path.dirname(__file__)}: a source tree that is not built stands "
                      "before the installed package. Start Python in another folder, or build here: pip install -e . "
                      "(CONTRIBUTING.md)") from error

MACHINE = machine_name(platform.machine())


def usable():
    """Names of the ISA rows that this machine can run, best first."""
    features = _cpu.features()
    return tuple(isa.name for isa in ISAS if isa.machine == MACHINE and isa.features <= features)


def _choose():
    names = usable()
    wanted = os.environ.get("FASTBP_ISA", "")
    if not names:
        raise ImportError(f"fastbp has no core for {platform.machine()}; it has {[isa.name for isa in ISAS]}")
    if not wanted:
        return names[0]
    if wanted not in names:
        known = wanted in [isa.name for isa in ISAS]
        raise ImportError(
            f"FASTBP_ISA={wanted!r} {'is not supported by this machine' if known else 'is unknown'}; "
            f"accepted here: {', '.join(names)}"
        )
    return wanted


def _is_the_command():
    """Whether this process is `fastbp`, or `python -m fastbp`."""
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":             # as it stands until the module is found
        return sys.orig_argv[-len(sys.argv)] in ("fastbp", "-mfastbp")
    return os.path.basename(program) in ("fastbp", "fastbp.exe")


def _choose_or_exit():
    """The command line says in a line what is wrong, and from here: its own code is in the package that cannot be imported."""
    try:
        return _choose()
    except ImportError as error:
        if not _is_the_command():
            raise
        print(f"fastbp: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def load_core(isa, dtype):
    """The compiled core of a row and a dtype. The caller has checked that the machine can run it."""
    return importlib.import_module("fastbp._core." + module_name(isa, dtype))


ISA = _choose_or_exit()
_CORES = {dtype: load_core(ISA, dtype) for dtype in DTYPES}


def core(dtype):
    """The compiled core for a dtype, 'float32' or 'float64'."""
    return _CORES[dtype]
