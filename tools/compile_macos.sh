#!/usr/bin/env bash
# Compiles and links every module for macOS, arm64 and x86-64, with Zig's clang, its libSystem and OpenMP off. Nothing is run.
# The headers are those of this Linux's Python: of what CPython's code for macOS differs in, no extension sees anything.
# Needs: Linux, git, file; $PYTHON (python3) with Cython, setuptools and ziglang.
set -euo pipefail
. "$(dirname "$0")/platforms.sh"

copy_tree
export FASTBP_OPENMP=0
for machine in aarch64 x86_64; do
    export CC="tools/zigcc.sh $machine-macos" LDSHARED="tools/zigcc.sh $machine-macos -dynamiclib -undefined dynamic_lookup"
    cross_build "macosx-11.0-${machine/aarch64/arm64}" .cpython-darwin.so --build-lib "$SCRATCH/$machine" \
        --build-temp "$SCRATCH/o"
    find "$SCRATCH/$machine" -name '*.so' -exec file --brief {} + | sort | uniq -c
done
