#!/bin/sh
# Installs what is missing, then checks everything: format, lints, documentation, tests.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
echo "test: set up, then check format, lints, documentation and all tests"
need_tools build runtime test
"$CARGO" fmt --check
"$CARGO" clippy --release --locked --all-targets -- -D warnings
"$CARGO" clippy --release --locked --all-targets --features credentials -- -D warnings
RUSTDOCFLAGS="-D warnings" "$CARGO" doc --release --locked --no-deps --document-private-items
"$CARGO" test --release --locked
# Run the fuzz targets again, for a minute each.
LIPSYNC_FUZZ_SECONDS=60 "$CARGO" test --release --locked --test fuzz
"$CARGO" test --release --locked --features credentials --test it credentials
scripts/gpu_check.sh
