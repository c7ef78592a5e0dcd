#!/usr/bin/env bash
# The estimators of fastbp.sklearn under several versions of scikit-learn: an environment for each, with pandas and polars; our
# tests of them (tests/test_sklearn*.py, in which are the checks of check_estimator), and scikit-learn's own of its MLP.
#
#     tools/check_sklearn_versions.sh [VERSION ...]        default: 1.6 1.8 1.9
#
# Needs network for pip, and the requirements of the build (CONTRIBUTING.md): fastbp's wheel is built once, unless $WHEEL is one.
# $PYTHON is the interpreter, default python; $DIRECTORY keeps the environments, default a temporary one.
set -euo pipefail

python=${PYTHON:-python}
directory=${DIRECTORY:-$(mktemp -d)}
[ $# -gt 0 ] || set -- 1.6 1.8 1.9
cd "$(dirname "$0")/.."

if [ -z "${WHEEL:-}" ]; then
    rm -rf "$directory/wheel"
    "$python" -m pip wheel -q --no-deps --no-build-isolation -w "$directory/wheel" .
    WHEEL=$(echo "$directory"/wheel/*.whl)
fi

failed=""
for version in "$@"; do
    environment=$directory/$version
    [ -d "$environment" ] || "$python" -m venv "$environment"
    case $version in
        1.[678]) polars="polars<1.40" ;;        # the newest whose columns they know by name
        *) polars=polars ;;
    esac
    "$environment/bin/python" -m pip install -q "scikit-learn==$version.*" pandas "$polars" pyarrow rich "pytest>=8"
    "$environment/bin/python" -m pip install -q --force-reinstall --no-deps "$WHEEL"
    echo "== scikit-learn $("$environment/bin/python" -c 'import sklearn; print(sklearn.__version__)')"
    "$environment/bin/pytest" -q -p no:cacheprovider -rs tests/test_sklearn*.py || failed="$failed $version"
    "$environment/bin/python" tools/run_sklearn_mlp_tests.py || failed="$failed $version(its own)"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
