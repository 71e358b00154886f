#!/bin/sh
# Runs tests with checks that a release build leaves out. They find errors that do not change what a test compares.
#
#   scripts/sanitize.sh checked     overflow checks and debug assertions
#   scripts/sanitize.sh valgrind    Valgrind's memcheck; scripts/test.sh runs this and `checked`
#   scripts/sanitize.sh address     AddressSanitizer; compiles all dependencies again, so run it by hand
#
# checked proves that, in the unit tests and in the renders that are compared with the reference renderer, no integer of
# this program overflows and no debug assertion fails. Among these are std's own: that pointers are aligned and not null,
# and that unsafe slices and indices are in range. Dependencies are those of the release build and are not checked, so
# that they need not be compiled again.
#
# valgrind proves that the kernels, audio decoding, video reading and encoding do not read or write memory that is not
# theirs or not initialized. Valgrind watches all machine code, FFmpeg's included. It has no AVX-512, so the kernels
# run with AVX2 and as portable code. The program as a whole does not run: rustix looks for the program's ELF header at
# the address that Linux reports, where Valgrind has put something else. Networks are left out as well: 20 to 50 times
# slower, they take too long.
#
# address proves that no code compiled from Rust, the AVX-512 kernels included, uses memory beyond a buffer or after it
# was freed, in all unit tests and in whole renders. FFmpeg and ONNX Runtime are not instrumented: only what they do
# through C functions like memcpy is watched. Leaks are not reported, as both keep memory until the process ends. It needs
# the sanitizer's runtime library, which rustup's compilers have and Debian's do not.
#
# No job runs code on a GPU.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

# Kernels, and all that calls FFmpeg: for these, memory errors are possible at all.
MEMORY_TESTS="kernel:: audio:: background::video encode:: ffmpeg:: image::"
# Renders of whole clips, and of every kind of audio.
RENDER_TESTS="golden:: sounds::"

checked() {
    echo "sanitize: tests with overflow checks and debug assertions"
    need_tools build runtime test
    profile=profile.release.package.lipsync
    set -- --release --locked --config "$profile.overflow-checks=true" \
        --config "$profile.debug-assertions=true" --config "$profile.opt-level=1"
    "$CARGO" test "$@" --lib
    # shellcheck disable=SC2086 # one word per test
    "$CARGO" test "$@" --test it -- $RENDER_TESTS
}

valgrind_tests() {
    echo "sanitize: tests under Valgrind"
    need_tools build runtime test
    if ! command -v valgrind >/dev/null; then
        echo "sanitize_valgrind: skipped: valgrind is not installed"
        return
    fi
    # Cargo names the file; the tests are those of the release build.
    tests=$("$CARGO" test --release --locked --lib --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
    # shellcheck disable=SC2086 # one word per test
    valgrind -q --error-exitcode=9 --leak-check=no "$tests" $MEMORY_TESTS --test-threads=1
}

address() {
    echo "sanitize: tests under AddressSanitizer"
    need_tools build runtime test
    target=x86_64-unknown-linux-gnu
    if ! ls "$(rustc --print sysroot)/lib/rustlib/$target/lib/"librustc*_rt.asan.a >/dev/null 2>&1; then
        echo "sanitize_address: skipped: this compiler has no runtime library for AddressSanitizer"
        return
    fi
    # RUSTC_BOOTSTRAP: the option is not stable yet. Naming the target keeps build scripts and macros uninstrumented; a
    # folder of its own keeps the release build from being compiled again, as build scripts look at RUSTC_BOOTSTRAP.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0
    set -- --release --locked --target "$target" --target-dir "${CARGO_TARGET_DIR:-target}/address"
    "$CARGO" test "$@" --lib
    # shellcheck disable=SC2086 # one word per test
    "$CARGO" test "$@" --test it -- $RENDER_TESTS
}

case $* in
checked) checked ;;
valgrind) valgrind_tests ;;
address) address ;;
*) fail "usage: scripts/sanitize.sh checked|valgrind|address" ;;
esac
