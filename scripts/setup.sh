#!/bin/sh
# Installs what lipsync needs to be built and run, where it is missing. Sourced by demo.sh and test.sh from the
# project's folder; sets CARGO. Nothing is installed that is there already.
#
#   need_tools NAME...   names of groups below: build runtime test

ORT_VERSION=1.31.1
# Of the wheels for CPython 3.11; the library inside does not depend on Python.
ORT_SHA256_x86_64=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
ORT_SHA256_aarch64=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
# What Cargo.toml's rust-version says.
RUST_MINOR=92

CARGO=cargo

fail() {
    echo "error: $1" >&2
    exit 4
}

# The Debian packages that are missing for the groups in "$@".
missing_packages() {
    for group in "$@"; do
        case $group in
        build)
            command -v cc >/dev/null || echo build-essential
            command -v pkg-config >/dev/null || echo pkg-config
            for library in avcodec avformat avutil swscale; do
                pkg-config --exists "lib$library" 2>/dev/null || echo "lib$library-dev"
            done
            # bindgen reads FFmpeg's headers with libclang, and clang's own headers come with the -dev package.
            has_libclang || echo libclang-dev
            cargo_is_new "$CARGO" || cargo_is_new /usr/bin/cargo || echo cargo-web
            ;;
        runtime)
            has_runtime || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip ca-certificates
            ;;
        test)
            command -v ffprobe >/dev/null || echo ffmpeg
            command -v openssl >/dev/null || echo openssl
            $CARGO fmt --version >/dev/null 2>&1 || echo rustfmt-web cargo-web
            $CARGO clippy --version >/dev/null 2>&1 || echo rust-web-clippy cargo-web
            ;;
        esac
    done
}

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || ls /usr/lib/llvm-*/lib/clang/*/include/limits.h >/dev/null 2>&1
}

cargo_is_new() {
    minor=$("$1" --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge "$RUST_MINOR" ]
}

runtime_folder() {
    echo "${CARGO_TARGET_DIR:-target}/onnxruntime"
}

has_runtime() {
    [ "$(cat "$(runtime_folder)/VERSION" 2>/dev/null)" = "$ORT_VERSION" ]
}

install_packages() {
    packages=$(missing_packages "$@" | tr ' ' '\n' | sort -u | tr '\n' ' ')
    [ -n "${packages% }" ] || return 0
    command -v apt-get >/dev/null || fail "these are missing (named as Debian's packages): $packages"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "not root and no sudo; have these installed: apt-get install $packages"
        as_root=sudo
    fi
    echo "setup: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null ||
        fail "apt-get could not install: $packages"
}

# Takes ONNX Runtime's shared library out of its Python package.
install_runtime() {
    has_runtime && return
    machine=$(uname -m)
    case $machine in
    x86_64) sha256=$ORT_SHA256_x86_64 ;;
    aarch64) sha256=$ORT_SHA256_aarch64 ;;
    *) fail "there is no ONNX Runtime package for $machine; build one and set ORT_DYLIB_PATH" ;;
    esac
    folder=$(runtime_folder)
    echo "setup: fetching ONNX Runtime $ORT_VERSION into $folder"
    mkdir -p "$folder"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
        --python-version 3.11 --platform "manylinux_2_28_$machine" -d "$folder" "onnxruntime==$ORT_VERSION" ||
        fail "could not download ONNX Runtime $ORT_VERSION"
    wheel=$(ls "$folder"/onnxruntime-"$ORT_VERSION"-*.whl)
    echo "$sha256  $wheel" | sha256sum --quiet -c - || fail "$wheel is not the file that was expected; remove it"
    python3 - "$wheel" "$folder/libonnxruntime.so" <<'PY'
import os, shutil, sys, zipfile

wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if os.path.basename(n).startswith("libonnxruntime.so."))
    with archive.open(name) as source, open(target + ".part", "wb") as part:
        shutil.copyfileobj(source, part)
os.replace(target + ".part", target)
PY
    rm "$wheel"
    echo "$ORT_VERSION" >"$folder/VERSION"
}

need_tools() {
    install_packages "$@"
    # A cargo that is too old, or lacks fmt and clippy, gives way to Debian's.
    if ! cargo_is_new "$CARGO"; then
        CARGO=/usr/bin/cargo
    fi
    case " $* " in *" test "*)
        $CARGO fmt --version >/dev/null 2>&1 && $CARGO clippy --version >/dev/null 2>&1 || CARGO=/usr/bin/cargo
        ;;
    esac
    cargo_is_new "$CARGO" || fail "cargo 1.$RUST_MINOR or newer is needed; $($CARGO --version 2>&1) was found"
    install_runtime
}
