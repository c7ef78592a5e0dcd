# What the scripts for other platforms share; they source it. They work on a copy of the tree, in a folder that is removed
# at the end. $PYTHON (python3) needs Cython and setuptools.
PYTHON=$(command -v "${PYTHON:-python3}")
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
export PYTHON

# What git knows of the tree, and what is new in it.
copy_tree() {
    mkdir "$SCRATCH/tree"
    (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -c) | tar -x -C "$SCRATCH/tree"
    cd "$SCRATCH/tree"
}

# cross_build PLATFORM SUFFIX OPTION...: builds for another platform, by $CC and $LDSHARED; $CFLAGS has its Python's headers.
cross_build() {
    echo "building for $1"
    _PYTHON_HOST_PLATFORM=$1 SETUPTOOLS_EXT_SUFFIX=$2 "$PYTHON" setup.py --quiet build_ext --force "${@:3}" \
        > "$SCRATCH/build.log" 2>&1 || { cat "$SCRATCH/build.log"; return 1; }
}

# QEMU emulates one process, and what that starts would run outside of it. So Python is told that its executable is this
# script, which keeps the PYTHONPATH of who starts it.
# emulated_python COMMAND...: writes $EMULATED, which runs COMMAND, an emulator with its Python.
emulated_python() {
    local folder
    folder=$(mktemp -d -p "$SCRATCH")
    EMULATED=$folder/python
    echo "import sys; sys.executable = '$EMULATED'" > "$folder/sitecustomize.py"
    { echo '#!/bin/sh'
      echo "export PYTHONPATH='$folder:$SCRATCH/tree:$SCRATCH/packages'\"\${PYTHONPATH:+:\$PYTHONPATH}\" PYTHONDONTWRITEBYTECODE=1"
      printf 'exec'; printf " '%s'" "$@"; echo ' "$@"'; } > "$EMULATED"
    chmod +x "$EMULATED"
}

# Every kernel against the twin in every team of threads, the choice of a row, Network. Left out: what has no kernel in it
# (files, streams, callbacks, the command line, the facade of scikit-learn), what measures time or memory (the emulator's),
# and of test_layers_core.py and test_determinism.py the longest, of which the shorter are samples.
EMULATED_TESTS=(
    tests/test_gemm.py tests/test_layers_core.py tests/test_rules_core.py tests/test_elementary.py tests/test_losses_core.py
    tests/test_determinism.py tests/test_health_core.py tests/test_custom_loss.py tests/test_weights_core.py
    tests/test_input_gradient.py tests/test_network.py tests/test_isa.py tests/test_subnormals.py
)
LONGEST='norms_of_every_width or at_any_shape or layers_of_every_kind or training_twice'

# run_emulated PYTEST_OPTION...: a process for each file, as many at a time as there are CPUs.
run_emulated() {
    printf '%s\n' "${EMULATED_TESTS[@]}" | xargs -P "$(nproc)" -I FILE sh -c '
        output=$("$0" -m pytest -q -p no:cacheprovider "$@" FILE 2>&1) && output=$(echo "$output" | tail -n 1) || failed=1
        echo "FILE: $output"
        exit ${failed:-0}' "$EMULATED" "$@"
}
