#!/bin/sh
# Makes the bundled presenter from scratch. Skips finished steps and resumes interrupted ones.
#   PYTHON=... PRESENTER_WORK=... scripts/presenter/make.sh
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
PRESENTER_WORK=${PRESENTER_WORK:-$PWD/work}
export PRESENTER_WORK
mkdir -p "$PRESENTER_WORK"

step() { # FILE COMMAND...: runs the command unless its marker file exists
    mark=$PRESENTER_WORK/.done-$1
    shift
    if [ ! -e "$mark" ]; then
        echo "== $*"
        "$@"
        : > "$mark"
    fi
}

step samples "$PYTHON" speak.py samples
step corpus "$PYTHON" speak.py corpus --minutes 120
step states "$PYTHON" speak.py states --count 3000
step sound "$PYTHON" train_sound.py --minutes 34
step backgrounds "$PYTHON" draw.py backgrounds
step pictures "$PYTHON" draw.py pictures --states "$PRESENTER_WORK/states.npy" --out "$PRESENTER_WORK/pictures"
step picture "$PYTHON" train_picture.py --minutes 50
step export "$PYTHON" export.py
if [ -x ../../target/release/lipsync ]; then
    step score "$PYTHON" score.py --binary ../../target/release/lipsync
    step notes "$PYTHON" export.py # the same networks; model.yaml now with the scores
else
    step score-python "$PYTHON" score.py
fi
