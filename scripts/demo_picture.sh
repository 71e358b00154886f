#!/bin/sh
# Makes the README's picture, docs/demo.jpg: twelve frames of hello.mp4 (rendered by demo.sh). Needs the ffmpeg program.
set -eu
cd "$(dirname "$0")/.."
frames=$(ffprobe -v error -select_streams v -show_entries stream=nb_frames -of csv=p=0 hello.mp4)
mkdir -p docs
ffmpeg -v error -y -i hello.mp4 -frames:v 1 -q:v 3 \
    -vf "select='not(mod(n-4,$((frames / 12))))',crop=600:600:340:60,scale=300:300,tile=4x3:padding=4:color=white" docs/demo.jpg
