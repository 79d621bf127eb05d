#!/bin/sh
# Formatting, lints (warnings are errors) and native tests. Any Rust from 1.85 on with rustfmt and clippy will do; as root
# on Debian missing ones are installed.
set -eu

cd "$(dirname "$0")"

has_cargo() {
    "$1" fmt --version >/dev/null 2>&1 && "$1" clippy --version >/dev/null 2>&1
}

cargo=cargo
if ! has_cargo cargo; then
    cargo=/usr/bin/cargo
    if ! has_cargo "$cargo"; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
            echo "wasm-config/check.sh: needs cargo with rustfmt and clippy (Debian: rustc-web cargo-web rustfmt-web rust-web-clippy)" >&2
            exit 1
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            rustc-web cargo-web rustfmt-web rust-web-clippy gcc libc6-dev >/dev/null
    fi
    export RUSTC=/usr/bin/rustc
fi

"$cargo" fmt --all --check
"$cargo" clippy --quiet --locked --workspace --all-targets -- -D warnings
"$cargo" test --quiet --locked -p tap-core
