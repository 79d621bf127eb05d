#!/bin/sh
# Builds the tap filter: build.sh OUTPUT. The same sources and the same compiler give the same bytes, in any folder.
#
# The compiler is Debian's (rustc-web, cargo-web, rust-web-src and the newest lld-N), because it brings the standard
# library's source, and so needs no target from elsewhere. As root missing packages are installed; otherwise the script
# says which are missing. RUSTC, CARGO and WASM_LD name other programs: rustc then needs its rust-src beside it.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
output=${1:?usage: build.sh OUTPUT}
rustc=${RUSTC:-/usr/bin/rustc}
cargo=${CARGO:-/usr/bin/cargo}
target=wasm32-unknown-unknown

fail() {
    printf 'wasm-config/build.sh: %s\n' "$*" >&2
    exit 1
}

newest_linker() {
    if [ -n "${WASM_LD:-}" ]; then
        echo "$WASM_LD"
    else
        ls /usr/bin/wasm-ld-* 2>/dev/null | sort -V | tail -n 1
    fi
}

has_toolchain() {
    [ -x "$rustc" ] && [ -x "$cargo" ] && [ -n "$(newest_linker)" ] &&
        [ -f "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ]
}

install_toolchain() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "no Rust toolchain for $target, and no apt-get to install one. Set RUSTC, CARGO and WASM_LD (rustc with rust-src), or build on Debian."
    [ "$(id -u)" = 0 ] ||
        fail "no Rust toolchain for $target. Install it: apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld-N (the newest N that apt-cache search '^lld-' shows)."
    apt-get update -qq || fail "apt-get update failed"
    linker=$(apt-cache search --names-only '^lld-[0-9]+$' | cut -d' ' -f1 | sort -V | tail -n 1)
    [ -n "$linker" ] || fail "this distribution has no package lld-N"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        rustc-web cargo-web rust-web-src "$linker" >/dev/null ||
        fail "could not install rustc-web cargo-web rust-web-src $linker"
}

has_toolchain || install_toolchain
has_toolchain || fail "the toolchain is still not complete: $rustc, $cargo, rust-src, wasm-ld-N"
linker=$(newest_linker)

if [ "$output" = --toolchain ]; then
    "$rustc" --version
    "$linker" --version
    exit 0
fi

# Debian's cargo and rustc go together, whatever toolchain a rustup in PATH would choose.
export RUSTC="$rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
unset RUSTUP_TOOLCHAIN CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS || true
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/target}"

cd "$here"
"$cargo" fetch --quiet --locked || fail "cargo could not fetch the dependencies that Cargo.lock names"

# Panic messages hold source paths. Every folder gets a fixed name, so that no machine's paths are in the binary.
RUSTFLAGS="--remap-path-prefix=$here=/src --remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=/rust"
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$registry=/cargo"
done
export RUSTFLAGS

"$cargo" build --quiet --locked --release --target "$target" -Zbuild-std=std,panic_abort -p tap-filter
cp "$CARGO_TARGET_DIR/$target/release/tap_filter.wasm" "$output"
