#!/bin/sh
# Puts everything that lipsync needs into one folder. The folder works on machines with nothing but glibc (this machine's version or newer).
#
#   scripts/bundle.sh DIR      DIR is new or empty; the bundle takes 0.3 GB, more with ONNX Runtime for CUDA
set -eu
case ${1:-} in "" | -*) echo "usage: scripts/bundle.sh DIR" >&2 && exit 2 ;; esac
mkdir -p "$1"
bundle=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
. scripts/setup.sh
[ -z "$(ls -A "$bundle")" ] || fail "\`$bundle\` is not empty; name a new folder"
need_tools build runtime
# An RPATH also applies to libraries that FFmpeg's libraries load; a RUNPATH does not.
"$CARGO" rustc --release --locked --bin lipsync -- -C 'link-arg=-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib'
mkdir "$bundle/lib" "$bundle/licenses"
cp "${CARGO_TARGET_DIR:-target}/release/lipsync" "$bundle/"
cp -R "$(runtime_folder)/." "$bundle/lib/"
cp -R models backgrounds samples LICENSE "$bundle/"
# The font inside the program.
cp src/draw/font/OFL.txt "$bundle/licenses/inter-font"

# Names and paths of everything that the libraries in "$@" load, except for glibc's own.
loaded_by() {
    ldd "$@" | sed -n 's/^\t\([^/ ]*\) => \(\/[^ ]*\) .*/\1 \2/p' | sort -u |
        grep -Ev '^(ld-linux[^ ]*|lib(c|m|dl|pthread|rt|util|resolv|mvec|anl|BrokenLocale)\.so\.[0-9]+) '
}

# Copies the licence of the package that a library came in.
keep_licence() {
    for path in "$1" "${1#/usr}"; do
        package=$(dpkg -S "$path" 2>/dev/null | sed 's/:.*//;q')
        [ -z "$package" ] || break
    done
    [ ! -e "/usr/share/doc/$package/copyright" ] || cp -L "/usr/share/doc/$package/copyright" "$bundle/licenses/$package"
}

echo "bundle: gathering libraries"
for name in avutil swscale avcodec avformat; do
    folder=$(pkg-config --variable=libdir "lib$name")
    soname=$(basename "$(readlink -f "$folder/lib$name.so")" | sed 's/\(\.so\.[0-9]*\).*/\1/')
    cp -L "$folder/$soname" "$bundle/lib/"
    keep_licence "$(readlink -f "$folder/$soname")"
done
# Not linked: loaded for interlaced and HDR videos.
filters=$(find "$folder" -maxdepth 1 -name 'libavfilter.so.*' -type l | sed 1q)
if [ -n "$filters" ]; then
    cp -L "$filters" "$bundle/lib/"
    keep_licence "$(readlink -f "$filters")"
fi
loaded_by "$bundle/lipsync" "$bundle"/lib/*.so* | while read -r name path; do
    case $path in "$bundle"/*) continue ;; esac
    cp -L "$path" "$bundle/lib/$name"
    keep_licence "$(readlink -f "$path")"
done
cat >"$bundle/licenses/README" <<'EOT'
lipsync itself is under the MIT licence (../LICENSE). The libraries beside it are not: FFmpeg was built with x264 and x265,
which are under the GNU General Public License, version 2 or later, so anyone who passes this folder on must do so under that
licence, and provide or offer the sources of those libraries. The files here are the licences of the packages that the
libraries came in; ONNX Runtime is under the MIT licence, NVIDIA's libraries (if any) under NVIDIA's own.
EOT
env -i "$bundle/lipsync" doctor >/dev/null || fail "the bundle does not work here: $bundle/lipsync doctor"
echo "bundle: $(du -sh "$bundle" | cut -f1) in $bundle; \`lipsync doctor\` there finds everything it needs"
