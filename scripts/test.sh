#!/bin/sh
# Installs what is missing, then checks everything: format, lints, documentation, tests. The last line says how many tests
# passed, failed and were skipped; what was skipped is listed before it, with the reason.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
echo "test: set up, then check format, lints, documentation and all tests"
need_tools build runtime test
log=$(mktemp)
trap 'rm -f "$log" "$log.failed"' EXIT

# Runs tests and keeps what they print, for `summary`.
run_tests() {
    { "$@" 2>&1 || touch "$log.failed"; } | tee -a "$log"
    if [ -e "$log.failed" ]; then
        summary
        exit 1
    fi
}

# Ignored tests count as skipped, unless a later command ran them.
summary() {
    awk '
        /^test result: / { passed += $4; failed += $6 }
        /^test .* \.\.\. ok$/ { ran[$2] = 1 }
        /^test .* \.\.\. ignored/ { reason[$2] = $0; sub(/.* ignored(, )?/, "", reason[$2]) }
        /^[a-z_]*: skipped: / { name = $1; reason[substr(name, 1, length(name) - 1)] = substr($0, length(name) + 11) }
        END {
            for (name in reason) {
                if (name in ran) continue
                skipped++
                print "skipped: " name ": " reason[name]
            }
            printf "test: %d passed, %d failed, %d skipped\n", passed, failed, skipped
        }' "$log"
}

"$CARGO" fmt --check
"$CARGO" clippy --release --locked --all-targets -- -D warnings
"$CARGO" clippy --release --locked --all-targets --features credentials -- -D warnings
RUSTDOCFLAGS="-D warnings" "$CARGO" doc --release --locked --no-deps --document-private-items
run_tests scripts/sanitize.sh checked
run_tests "$CARGO" test --release --locked
run_tests scripts/sanitize.sh valgrind
# Tests that need what not every machine has are ignored by default, with the need as the reason. Run those that can run.
optional=
for program in bash zsh fish groff; do
    if command -v "$program" >/dev/null; then optional="$optional completions::${program}_"; fi
done
if unshare -m mount -t tmpfs none /mnt 2>/dev/null; then optional="$optional faults::a_small_disk"; fi
# shellcheck disable=SC2086 # one word per test
[ -z "$optional" ] || run_tests "$CARGO" test --release --locked --test it -- --ignored $optional
# Run the fuzz targets again, for a minute each.
run_tests env LIPSYNC_FUZZ_SECONDS=60 "$CARGO" test --release --locked --test fuzz
run_tests "$CARGO" test --release --locked --features credentials --test it credentials
run_tests scripts/gpu_check.sh
summary
