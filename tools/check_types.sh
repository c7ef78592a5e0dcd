#!/usr/bin/env bash
# Holds the type hints against the code: mypy over the package and a strict program that uses all that is public, then
# stubtest, which compares stubs with what modules have. Needs fastbp as it is installed (a wheel, or editable) and ".[dev]".
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python -m mypy
cd "$(mktemp -d)"               # away from the tree: the installed package is meant
python -m mypy.stubtest fastbp --mypy-config-file "$root/pyproject.toml" --allowlist "$root/tests/typed/stubtest.allowlist" "$@"
