#!/bin/sh
# Rebuilds the filter and compares it with the committed one. With the compiler that made the committed one every byte
# must be equal; with another one the difference is told, and target/tap.wasm is there for the tests
# (MESHSCRIBE_TAP_WASM=wasm-config/target/tap.wasm).
set -eu

cd "$(dirname "$0")"
sha256sum --check --quiet tap.wasm.sha256 || {
    echo "wasm-config: tap.wasm is not the file that tap.wasm.sha256 names. Run: make -C wasm-config wasm" >&2
    exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
CARGO_TARGET_DIR="$scratch/target" ./build.sh "$scratch/tap.wasm"
./build.sh --toolchain > "$scratch/toolchain"

if cmp -s "$scratch/tap.wasm" tap.wasm; then
    echo "wasm-config: tap.wasm is what its sources give ($(head -n 1 "$scratch/toolchain"))"
elif cmp -s "$scratch/toolchain" tap.wasm.toolchain; then
    echo "wasm-config: the same compiler gives another tap.wasm. Run: make -C wasm-config wasm, and commit it" >&2
    exit 1
else
    mkdir -p target
    cp "$scratch/tap.wasm" target/tap.wasm
    echo "wasm-config: another compiler, so tap.wasm cannot be compared byte for byte."
    echo "  committed: $(tr '\n' ';' < tap.wasm.toolchain)"
    echo "  here:      $(tr '\n' ';' < "$scratch/toolchain")"
    echo "  Test the rebuilt one: MESHSCRIBE_TAP_WASM=$PWD/target/tap.wasm"
fi
