#!/bin/sh
# Installs what lipsync needs to be built and run, if it is missing. Anything already installed stays.
#
#   scripts/setup.sh [--gpu]   on its own; --gpu: with ONNX Runtime for CUDA 13 and NVIDIA's libraries (a 1.4 GB download)
#   . scripts/setup.sh         from demo.sh, test.sh and others, in the project's folder; sets CARGO and defines
#   need_tools NAME...         NAME is a group below: build runtime gpu test

ORT_VERSION=1.31.1
# Checksums of the wheels for CPython 3.11; the library inside does not depend on Python.
ORT_SHA256_x86_64=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
ORT_SHA256_aarch64=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
ORT_SHA256_gpu=e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6
# The libraries that ONNX Runtime's CUDA provider loads, for the CUDA major version that it was built for: package, platform, sha256.
NVIDIA_WHEELS="
nvidia-cuda-runtime==13.5.37 manylinux2014 df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d
nvidia-cublas==13.10.0.20 manylinux1 dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84
nvidia-curand==10.4.5.25 manylinux_2_27 22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529
nvidia-cuda-nvrtc==13.5.37 manylinux2010 86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc
nvidia-cudnn-cu13==9.28.0.42 manylinux_2_27 7358353c75bb121a58e5f7712fe6d588883dc1df8ba00f428237e44e97543c4d
"
# The same as rust-version in Cargo.toml.
RUST_MINOR=92

CARGO=cargo

fail() {
    echo "error: $1" >&2
    exit 4
}

# Prints the Debian packages that are missing for the groups in "$@".
missing_packages() {
    for group in "$@"; do
        case $group in
        build)
            command -v cc >/dev/null || echo build-essential
            command -v pkg-config >/dev/null || echo pkg-config
            for library in avcodec avformat avutil swscale; do
                pkg-config --exists "lib$library" 2>/dev/null || echo "lib$library-dev"
            done
            # Not needed to build: loaded for interlaced and HDR videos.
            find /usr/lib -name 'libavfilter.so.*' 2>/dev/null | grep -q . || echo libavfilter-dev
            # bindgen reads FFmpeg's headers with libclang, and clang's own headers come with the -dev package.
            has_libclang || echo libclang-dev
            cargo_is_new "$CARGO" || cargo_is_new /usr/bin/cargo || echo cargo-web
            ;;
        runtime | gpu)
            "has_$group" || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip ca-certificates
            ;;
        test)
            command -v ffprobe >/dev/null || echo ffmpeg
            command -v openssl >/dev/null || echo openssl
            command -v valgrind >/dev/null || echo valgrind
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

# The GPU's library runs networks on the CPU as well.
has_runtime() {
    has_gpu || [ "$(cat "$(runtime_folder)/VERSION" 2>/dev/null)" = "$ORT_VERSION" ]
}

has_gpu() {
    [ "$(cat "$(runtime_folder)/VERSION" 2>/dev/null)" = "$ORT_VERSION gpu" ]
}

install_packages() {
    packages=$(missing_packages "$@" | tr ' ' '\n' | sort -u | tr '\n' ' ')
    [ -n "${packages% }" ] || return 0
    command -v apt-get >/dev/null || fail "missing packages (Debian names): $packages"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "neither root nor sudo is available; ask an administrator to run: apt-get install $packages"
        as_root=sudo
    fi
    echo "setup: installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # one word per package
    $as_root apt-get install -y -qq --no-install-recommends $packages >/dev/null ||
        fail "apt-get could not install: $packages"
}

# Extracts the libraries from a Python package: $1 name==version, $2 platform, $3 sha256, $4 destination folder.
install_libraries() {
    wheels=$4/.wheel
    rm -rf "$wheels"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
        --python-version 3.11 --platform "$2" -d "$wheels" "$1" || fail "could not download $1"
    wheel=$(echo "$wheels"/*.whl)
    echo "$3  $wheel" | sha256sum --quiet -c - || fail "the checksum of the downloaded $1 is wrong"
    python3 - "$wheel" "$4" <<'PY' || fail "could not unpack $1"
import os, re, shutil, sys, zipfile

wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.namelist():
        name = os.path.basename(entry)
        if not re.match(r"lib.*\.so", name):
            continue
        if name.startswith("libonnxruntime.so."):
            name = "libonnxruntime.so"
        part = os.path.join(folder, name + ".part")
        with archive.open(entry) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        os.replace(part, os.path.join(folder, name))
PY
    rm -r "$wheels"
}

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
    install_libraries "onnxruntime==$ORT_VERSION" "manylinux_2_28_$machine" "$sha256" "$folder"
    echo "$ORT_VERSION" >"$folder/VERSION"
}

# lipsync loads the libraries in `cuda` beside the runtime by itself, without LD_LIBRARY_PATH.
install_gpu() {
    has_gpu && return
    [ "$(uname -m)" = x86_64 ] || fail "there is no ONNX Runtime package with CUDA for $(uname -m)"
    folder=$(runtime_folder)
    echo "setup: fetching ONNX Runtime $ORT_VERSION for CUDA and NVIDIA's libraries (1.4 GB) into $folder"
    mkdir -p "$folder/cuda"
    echo "$NVIDIA_WHEELS" | while read -r package platform sha256; do
        # Do not download again what an interrupted run already downloaded.
        if [ -z "$package" ] || [ -e "$folder/cuda/.$package" ]; then continue; fi
        install_libraries "$package" "${platform}_x86_64" "$sha256" "$folder/cuda"
        touch "$folder/cuda/.$package"
    done || exit
    install_libraries "onnxruntime-gpu==$ORT_VERSION" manylinux_2_28_x86_64 "$ORT_SHA256_gpu" "$folder"
    echo "$ORT_VERSION gpu" >"$folder/VERSION"
}

need_tools() {
    install_packages "$@"
    # Use Debian's cargo if this one is too old or has no fmt and clippy.
    if ! cargo_is_new "$CARGO"; then
        CARGO=/usr/bin/cargo
    fi
    case " $* " in *" test "*)
        $CARGO fmt --version >/dev/null 2>&1 && $CARGO clippy --version >/dev/null 2>&1 || CARGO=/usr/bin/cargo
        ;;
    esac
    cargo_is_new "$CARGO" || fail "cargo 1.$RUST_MINOR or newer is needed; $($CARGO --version 2>&1) was found"
    case " $* " in
    *" gpu "*) install_gpu ;;
    *) install_runtime ;;
    esac
}

# Only if this script is run on its own.
if [ "${0##*/}" = setup.sh ]; then
    set -eu
    cd "$(dirname "$0")/.."
    case $* in
    "") need_tools build runtime ;;
    --gpu) need_tools build gpu ;;
    *) fail "usage: scripts/setup.sh [--gpu]" ;;
    esac
fi
