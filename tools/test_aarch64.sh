#!/usr/bin/env bash
# Builds for aarch64 on x86-64 and runs the tests of the core there, NEON's row on a Cortex-A72 emulated by QEMU: with
# Debian's Python for arm64 and NumPy's own wheel, unpacked into a scratch folder. Nothing is installed.
# Needs: Debian or Ubuntu, git, gcc-aarch64-linux-gnu, qemu-user-static, debian-archive-keyring, the network; $PYTHON
# (python3) with pip, Cython and setuptools.
set -euo pipefail
. "$(dirname "$0")/platforms.sh"

suite=trixie version=3.13       # Debian 13 and its Python: a C library as new as that of the cross-compilers in use
sysroot=$SCRATCH/sysroot
packages=(
    libc6 libgcc-s1 libstdc++6 libgomp1 zlib1g libexpat1 libbz2-1.0 liblzma5 libffi8 libcrypt1 libuuid1 libssl3t64 libzstd1
    python$version-minimal libpython$version-minimal libpython$version-stdlib libpython$version-dev
)

# Debian packages of arm64, by lists of their own.
unpack_sysroot() {
    mkdir -p "$sysroot/usr/lib" "$SCRATCH"/apt/{lists,cache,debs}
    ln -s usr/lib "$sysroot/lib"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" \
        > "$SCRATCH/apt/sources.list"
    local options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)"
                   -o Dir::Etc::SourceList="$SCRATCH/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
                   -o Dir::State::Lists="$SCRATCH/apt/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$SCRATCH/apt/cache")
    (cd "$SCRATCH/apt/debs"
     apt-get "${options[@]}" update
     apt-get "${options[@]}" download "${packages[@]}"
     for package in *.deb; do dpkg -x "$package" "$sysroot"; done)
}

copy_tree
unpack_sysroot
"$PYTHON" -m pip install --quiet --target "$SCRATCH/packages" --only-binary :all: --implementation cp \
    --python-version $version --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_17_aarch64 numpy pytest
export CC=aarch64-linux-gnu-gcc LDSHARED='aarch64-linux-gnu-gcc -shared'
export CFLAGS="-I$sysroot/usr/include/python$version -I$sysroot/usr/include"
cross_build linux-aarch64 .cpython-${version/./}-aarch64-linux-gnu.so --inplace
# A Cortex-A72 has NEON and nothing newer; the pointer authentication of newer ones makes QEMU ten times slower.
emulated_python qemu-aarch64-static -cpu cortex-a72 -L "$sysroot" "$sysroot/usr/bin/python$version"
"$EMULATED" -c 'import fastbp; fastbp.show_config(); assert fastbp.config()["isa"] == "neon"'
run_emulated -k "not ($LONGEST)"
echo 'aarch64: passed'
