#!/bin/sh
# Checks on a CUDA machine what only such a machine can tell, and prints it as a table; without a GPU it says so.
#
#   scripts/gpu_check.sh [MODEL]   MODEL: folder with the networks to measure; the bundled presenter's if none
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
