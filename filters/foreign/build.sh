#!/bin/sh
#: Builds the foreign modules into a directory: build.sh DIR [c] [assemblyscript] [rust]
#:
#: c               header.c with clang and lld (any version ≥ 14)
#: assemblyscript  header.ts with the compiler and the SDK of package.json, fetched by npm
#: rust            the five examples of the proxy-wasm crate 0.2.0, the last release that has them, fetched by cargo
#:
#: Refuses to change this folder: what is fetched and built is in DIR.
set -eu

out=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
[ $# -gt 0 ] || set -- c assemblyscript rust

for part in "$@"; do
    case $part in
    c)
        clang --target=wasm32 -O2 -Wall -Wextra -nostdlib -ffreestanding -Wl,--no-entry -Wl,--strip-all \
            -o "$out/c_header.wasm" "$here/c/header.c"
        ;;
    assemblyscript)
        mkdir -p "$out/assemblyscript"
        cp "$here/assemblyscript/package.json" "$here/assemblyscript/header.ts" "$out/assemblyscript/"
        (cd "$out/assemblyscript" && npm install --no-audit --no-fund --silent &&
            npx asc header.ts --config node_modules/@assemblyscript/wasi-shim/asconfig.json --use abort=abort_proc_exit -O3 --noAssert -o "$out/as_header.wasm")
        ;;
    rust)
        # A crate of its own that depends on proxy-wasm 0.2.0 makes cargo fetch it; then its examples are built.
        mkdir -p "$out/rust/src"
        : >"$out/rust/src/lib.rs"
        cat >"$out/rust/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
proxy-wasm = "=0.2.0"
[workspace]
TOML
        crate=$(cd "$out/rust" && cargo metadata --format-version 1 --quiet |
            python3 -c 'import json,sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "proxy-wasm"))')
        rm -rf "$out/proxy-wasm"
        cp -R "$(dirname "$crate")" "$out/proxy-wasm"
        # DIR may be inside of somebody's workspace, of which this is no part.
        printf '\n[workspace]\n' >>"$out/proxy-wasm/Cargo.toml"
        (cd "$out/proxy-wasm" && CARGO_TARGET_DIR="$out/target" \
            cargo build --release --quiet --target wasm32-wasip1 --examples)
        for example in hello_world http_auth_random http_body http_config http_headers; do
            cp "$out/target/wasm32-wasip1/release/examples/$example.wasm" "$out/"
        done
        ;;
    *)
        echo "build.sh: what is $part?" >&2
        exit 2
        ;;
    esac
done
