#!/bin/sh
# Runs the checks that need a CUDA machine and prints the results as a table. Without a GPU, it says so and stops.
#
#   scripts/gpu_check.sh [MODEL]   MODEL: folder with the networks to measure; default: the bundled presenter's
set -eu
model=${1:+$(cd "$1" && pwd)}
cd "$(dirname "$0")/.."
if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
    echo "gpu_check: skipped: nvidia-smi lists no GPU"
    exit 0
fi
. scripts/setup.sh
need_tools build gpu
[ -z "$model" ] || export LIPSYNC_CHECK_MODEL="$model"
"$CARGO" test --release --locked --test gpu
