#!/bin/sh
# Tests the farm scripts on this machine alone, on the loopback address: Ray, Slurm, and what Kubernetes would run.
# Takes 2 to 6 minutes, twice as long the first time: it downloads Ray (into a virtual environment in target/cluster) and, as
# root, Debian's slurm-wlm and munge. Prints a line for everything that cannot run here and is skipped.
#
#   scripts/cluster/test.sh [ray|slurm|kubernetes ..]      default: all; lipsync must be built
set -eu
cd "$(dirname "$0")/../.."
venv=target/cluster/venv
[ -x target/release/lipsync ] || {
    echo "error: target/release/lipsync is not there: run scripts/demo.sh" >&2
    exit 4
}
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
    fi
fi
if ! cmp -s scripts/cluster/test-requirements.txt "$venv/done"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r scripts/cluster/test-requirements.txt
    cp scripts/cluster/test-requirements.txt "$venv/done"
fi
exec timeout --kill-after=20 600 "$venv/bin/python" scripts/cluster/try_farm.py "$@"
