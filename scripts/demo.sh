#!/bin/sh
# Installs what is missing, builds lipsync, and renders samples/hello.wav with the bundled presenter to hello.mp4.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
echo "demo: set up, build, and render samples/hello.wav to hello.mp4"
need_tools build runtime
"$CARGO" build --release --locked
"${CARGO_TARGET_DIR:-target}/release/lipsync" render samples/hello.wav -o hello.mp4 --force
