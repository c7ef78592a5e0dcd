#!/usr/bin/env bash
# The tests of the core on x86-64 processors that this machine is not, emulated by QEMU: Nehalem must take the baseline row
# and Haswell x86_64_v3, both must refuse x86_64_v4, and an instruction that the processor lacks ends the run (SIGILL).
# QEMU has no AVX-512: x86_64_v4 can only be tested on a machine that has it.
# Needs: x86-64 Linux, git, GCC 12, qemu-user-static; $PYTHON (python3) with Cython, setuptools, NumPy and pytest.
set -euo pipefail
. "$(dirname "$0")/platforms.sh"

# tier CPU ROW ACCEPTED PYTEST_EXPRESSION
tier() {
    local cpu=${1%%,*} chosen refusal
    emulated_python qemu-x86_64-static -cpu "$1" "$executable"
    chosen=$("$EMULATED" -c 'import fastbp; print(fastbp.config()["isa"])')
    echo "$cpu takes $chosen"
    [ "$chosen" = "$2" ]
    refusal=$(FASTBP_ISA=x86_64_v4 "$EMULATED" -c 'import fastbp' 2>&1 | tail -n 1) || true
    echo "$cpu: $refusal"
    [ "$refusal" = "ImportError: FASTBP_ISA='x86_64_v4' is not supported by this machine; accepted here: $3" ]
    run_emulated -k "not ($LONGEST or $4)"
}

copy_tree
"$PYTHON" setup.py --quiet build_ext --inplace > "$SCRATCH/build.log" 2>&1 || { cat "$SCRATCH/build.log"; exit 1; }
executable=$("$PYTHON" -c 'import sys; print(sys.executable)')

# /proc/cpuinfo is that of this machine.
tier Nehalem x86_64 'x86_64' 'kernel_sees'
# The baseline's tests have been run; what is left are v3's, and those that are not of a row.
# Without what QEMU would say that it does not emulate.
tier Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid x86_64_v3 'x86_64_v3, x86_64' 'kernel_sees or x86_64- or x86_64]'
echo 'x86 tiers: passed'
