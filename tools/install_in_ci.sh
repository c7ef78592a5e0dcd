#!/usr/bin/env bash
# Builds and installs fastbp with its test extra on a hosted runner of GitHub: Linux, macOS or Windows (Git's bash).
#   tools/install_in_ci.sh on|off NUMPY      OpenMP on or off; what pip is to install as NumPy
# On macOS it takes Homebrew's libomp, on Windows the one beside clang-cl in LLVM's own folder: good enough to test, not to ship.
set -euo pipefail
cd "$(dirname "$0")/.."
openmp=$1 numpy=$2
case $openmp in on) export FASTBP_OPENMP=1 ;; off) export FASTBP_OPENMP=0 ;; *) echo "OpenMP: on or off, not $openmp"; exit 2 ;; esac

case $RUNNER_OS-$openmp in
    macOS-on) brew install libomp; FASTBP_LIBOMP=$(brew --prefix libomp) ;;
    Windows-on) FASTBP_LIBOMP=$(cygpath --mixed "$(dirname "$(command -v clang-cl)")/..") ;;
esac
export FASTBP_LIBOMP=${FASTBP_LIBOMP-}
if [ "$RUNNER_OS" = macOS ]; then        # these Pythons are universal2, fastbp is for one machine
    export ARCHFLAGS="-arch $(uname -m)" _PYTHON_HOST_PLATFORM="macosx-11.0-$(uname -m)"
fi

wheels=build/wheels                       # relative: Windows' Python and Git's bash spell absolute paths each in its way
rm -rf "$wheels"
python -m pip wheel --no-deps --wheel-dir "$wheels" .
if [ "$RUNNER_OS-$openmp" = Windows-on ]; then
    python -m pip install delvewheel     # an extension finds its DLLs only inside of its wheel
    delvewheel repair --add-path "$FASTBP_LIBOMP/bin" --wheel-dir "$wheels" "$wheels"/*.whl
fi
python -m pip install "$(ls "$wheels"/*.whl)[test]" "$numpy"
