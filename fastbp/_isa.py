"""The rows that the core is built for. Imports nothing: setup.py reads it too.

One source, `_core/core.pyx`, becomes one extension module for each ISA and dtype, `_core/<isa>_<dtype>`; a row is all
that tells them apart. Rows stand best first; `_dispatch.py` takes the first that the machine can run. To add an ISA, add
a row (and its vector width, if new, to the ZIP table of simd.h).
"""

from typing import NamedTuple


class Isa(NamedTuple):
    name: str
    machine: str            #: platform.machine(), in the spelling of `machine_name`
    features: frozenset     #: what `_cpu.features()` must report
    flags: tuple            #: for GCC and clang
    vector_bytes: int
    tile: tuple             #: rows and panels (of 64 bytes) of the register tile of z and da
    tile_dw: tuple          #: the same for dW
    kc: int                 #: terms of a block, in bytes of one lane: 4096 is 1024 floats, 512 doubles


V3 = frozenset("avx avx2 bmi1 bmi2 f16c fma lzcnt movbe".split())
V4 = V3 | frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split())

#: Tiles fill the registers: rows * panels * (64 / vector_bytes) accumulators and what a term needs besides.
ISAS = (
    Isa("x86_64_v4", "x86_64", V4, ("-march=x86-64-v4", "-mprefer-vector-width=512"), 64, (14, 2), (8, 3), 2048),
    Isa("x86_64_v3", "x86_64", V3, ("-march=x86-64-v3",), 32, (6, 1), (6, 1), 4096),
    Isa("x86_64", "x86_64", frozenset(), ("-march=x86-64",), 16, (2, 1), (2, 1), 1024),
    Isa("neon", "aarch64", frozenset(), (), 16, (6, 1), (6, 1), 1024),
)

DTYPES = ("float32", "float64")

_MACHINES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def machine_name(machine):
    """The spelling of a row's `machine` for what platform.machine() says."""
    machine = machine.lower()
    return _MACHINES.get(machine, machine)


def module_name(isa, dtype):
    return f"{isa}_{dtype}"


def macros(isa, dtype):
    """C macros that make `core.pyx` this row."""
    f64 = int(dtype == "float64")
    return {
        "FASTBP_F64": f64,
        "FASTBP_VECTOR_BYTES": isa.vector_bytes,
        "FASTBP_MR": isa.tile[0],
        "FASTBP_NP": isa.tile[1],
        "FASTBP_MR_DW": isa.tile_dw[0],
        "FASTBP_NP_DW": isa.tile_dw[1],
        "FASTBP_KC": isa.kc // (8 if f64 else 4),
    }
