#!/usr/bin/env bash
# clang of PyPI's ziglang as a C compiler for another system: tools/zigcc.sh TARGET ARGUMENT...; $PYTHON (python3) has ziglang.
# Zig spells an architecture in its own way: -mcpu=x86_64_v3 for -march=x86-64-v3.
set -euo pipefail
arguments=("${@:2}")
for i in "${!arguments[@]}"; do
    if [[ ${arguments[i]} == -march=* ]]; then
        architecture=${arguments[i]#-march=}
        arguments[i]=-mcpu=${architecture//-/_}
    fi
done
exec "${PYTHON:-python3}" -m ziglang cc -target "$1" "${arguments[@]}"
