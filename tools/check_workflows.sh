#!/usr/bin/env bash
# Checks .github and the wheels that cibuildwheel would build, in a virtual environment of its own. Needs Python with venv and
# PyPI; nothing runs on a runner, and zizmor asks GitHub nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
python3 -m venv "$environment"
. "$environment/bin/activate"
cibuildwheel=$(grep -o 'cibuildwheel==[0-9.]*' .github/workflows/wheels.yml)
pip install --quiet check-jsonschema zizmor "$cibuildwheel"

echo "== schemas of GitHub"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
echo "== zizmor"
zizmor --offline --quiet .github
echo "== wheels"
expect() {                  # platform, architecture, kinds of tags: exactly these builds, in this order
    local platform=$1 arch=$2 kind
    shift 2
    diff --unified --label wanted --label found \
        <(for kind in "$@"; do printf "%s-${kind}_$arch\n" cp311 cp312 cp313 cp314 cp314t cp315 cp315t; done) \
        <(cibuildwheel --print-build-identifiers --platform "$platform" --archs "$arch")
    echo "ok -- $platform, $arch: 7 Pythons, $*"
}
expect linux x86_64 manylinux musllinux
expect linux aarch64 manylinux musllinux
expect macos arm64 macosx
expect macos x86_64 macosx
expect windows amd64 win
