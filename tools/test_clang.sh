#!/usr/bin/env bash
# Builds with clang for this Linux and runs the tests of the core, on every row that this machine has: the compiler of macOS
# and, as clang-cl, of Windows. PyPI's ziglang is a clang without OpenMP.
# Needs: x86-64 or aarch64 Linux, git; $PYTHON (python3) with Cython, setuptools, NumPy, pytest and ziglang.
set -euo pipefail
. "$(dirname "$0")/platforms.sh"

copy_tree
clang="tools/zigcc.sh $(uname -m)-linux-gnu"
suffix=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
export FASTBP_OPENMP=0
CC=$clang LDSHARED="$clang -shared" cross_build "linux-$(uname -m)" "$suffix" --inplace
export PYTHONPATH=$SCRATCH/tree
"$PYTHON" -c 'import fastbp; fastbp.show_config()'
"$PYTHON" -m pytest -q -p no:cacheprovider "${EMULATED_TESTS[@]}"
