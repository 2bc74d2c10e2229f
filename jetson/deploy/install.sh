#!/usr/bin/env bash
# Installs the unpacked archive on a Jetson: package, Python packages, bundle, and a service that plays.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: sudo ./install.sh [--onnxruntime WHEEL] [--dry-run] [--root DIR]

  --onnxruntime WHEEL  the onnxruntime-gpu wheel of this JetPack; without it the GPU's build that is there
                       stays, or else the processor's build is taken
  --dry-run            print what would be done, and change nothing
  --root DIR           install below DIR: no packages of the system, no user, no service
TEXT
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WHEEL="" DRY="" ROOT=""
PREFIX=/opt/dobble STATE=/var/lib/dobble ACCOUNT=dobble

main() {
    arguments "$@"
    detect
    say "JetPack $JETPACK (L4T $L4T), $($PYTHON --version 2>&1)"
    require
    system_packages
    environment
    package
    account
    bundle
    service
    if [ -n "$DRY" ]; then
        say "nothing was changed"
    elif [ -n "$ROOT" ]; then
        say "done, below $ROOT"
    else
        say "done; the page: http://127.0.0.1:8000/ once 'systemctl status dobble' says active"
    fi
}

arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --onnxruntime) WHEEL=${2:-}; [ -n "$WHEEL" ] || fail "--onnxruntime needs a file"; shift 2 ;;
            --root) ROOT=${2:-}; [ -n "$ROOT" ] || fail "--root needs a folder"; ROOT=${ROOT%/}; shift 2 ;;
            --dry-run) DRY=yes; shift ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; fail "unknown argument $1" ;;
        esac
    done
}

# What the board runs decides the Python and the newest packages for it.
detect() {
    local release=$ROOT/etc/nv_tegra_release
    [ -r "$release" ] || fail "this is no Jetson: there is no $release"
    L4T=$(sed -n 's/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\).*/\1.\2/p' "$release" | head -n 1)
    case ${L4T%%.*} in
        32) JETPACK=4 PYTHON=python3.6 PIP='pip==21.3.1' NUMPY='numpy==1.19.5' ORT='onnxruntime==1.10.0'
            JTOP='jetson-stats==4.3.2' ;;
        35) JETPACK=5 PYTHON=python3.8 PIP='pip<26' NUMPY='numpy>=1.20,<1.24' ORT='onnxruntime<2'
            JTOP='jetson-stats>=4.3,<8' ;;
        36) JETPACK=6 PYTHON=python3.10 PIP='pip<27' NUMPY='numpy>=1.21,<2' ORT='onnxruntime<2'
            JTOP='jetson-stats>=4.3,<8' ;;
        38 | 39) JETPACK=7 PYTHON=python3.12 PIP='pip<27' NUMPY='numpy>=1.26,<3' ORT='onnxruntime<2'
            JTOP='jetson-stats>=7,<8' ;;
        *) fail "L4T ${L4T:-of unknown release} is not known here: JetPack 4.6 to 7 are (R32, R35, R36, R38, R39)" ;;
    esac
}

require() {
    [ -d "$HERE/jetson" ] && [ -r "$HERE/bundle/manifest.json" ] || fail "run it in the unpacked archive"
    [ -z "$WHEEL" ] || [ -r "$WHEEL" ] || fail "$WHEEL: no such file"
    [ -n "$DRY$ROOT" ] || [ "$(id -u)" = 0 ] || fail "needs root: sudo $0"
    [ -n "$DRY" ] || command -v "$PYTHON" >/dev/null || fail "$PYTHON is not here, JetPack $JETPACK has it"
}

# OpenCV and TensorRT come with JetPack; pip's OpenCV has no GStreamer and so no ribbon camera.
system_packages() {
    [ -z "$ROOT" ] || return 0
    local opencv=libopencv-python missing=() module
    [ "$JETPACK" -le 5 ] || opencv=python3-opencv
    for module in "ensurepip python3-venv" "pip python3-pip" "cv2 $opencv" "tensorrt python3-libnvinfer"; do
        has "${module% *}" || missing+=("${module#* }")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        run apt-get update
        run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    fi
    # jtop's service and its client must be of one version, so it goes where both find it.
    has jtop || run env PIP_BREAK_SYSTEM_PACKAGES=1 "$PYTHON" -m pip install "$JTOP"
}

has() { "$PYTHON" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)" 2>/dev/null; }

environment() {
    local python=$ROOT$PREFIX/venv/bin/python
    [ -x "$python" ] || run "$PYTHON" -m venv --system-site-packages "$ROOT$PREFIX/venv"
    # Ubuntu 18.04's pip 9 knows no wheels for this processor.
    run "$python" -m pip install --quiet --disable-pip-version-check "$PIP"
    local packages=("$NUMPY")
    if [ -n "$WHEEL" ]; then
        # Both builds are the same module: of two, files of both would lie there.
        ! installed "$python" onnxruntime || run "$python" -m pip uninstall --quiet --yes onnxruntime
        packages+=("$WHEEL")
    elif has_gpu_build "$python"; then
        say "onnxruntime-gpu is here and stays"
    else
        packages+=("$ORT")
    fi
    run "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "${packages[@]}"
}

installed() { [ -x "$1" ] && "$1" -m pip show --quiet --disable-pip-version-check "$2" >/dev/null 2>&1; }

has_gpu_build() {
    installed "$1" onnxruntime-gpu || { [ -x "$1" ] && OPENBLAS_CORETYPE=ARMV8 "$1" -c \
        'import sys, onnxruntime as o; sys.exit("CUDAExecutionProvider" not in o.get_available_providers())' \
        2>/dev/null; }
}

# The new package is whole before it takes the old one's place.
package() {
    local target=$ROOT$PREFIX/jetson
    run mkdir -p "$ROOT$PREFIX" "$ROOT/usr/local/bin"
    run rm -rf "$target.new" "$target.old"
    run cp -R "$HERE/jetson" "$target.new"
    [ ! -d "$target" ] || run mv "$target" "$target.old"
    run mv "$target.new" "$target"
    run rm -rf "$target.old"
    # The service's account may not write here, and would compile at every start.
    run "$ROOT$PREFIX/venv/bin/python" -m compileall -q "$target"
    run install -m 755 "$HERE/dobble-device" "$ROOT/usr/local/bin/dobble-device"
}

account() {
    [ -z "$ROOT" ] || return 0
    id "$ACCOUNT" >/dev/null 2>&1 ||
        run useradd --system --home-dir "$STATE" --shell /usr/sbin/nologin --groups video "$ACCOUNT"
    local group
    for group in video render jtop i2c; do
        ! getent group "$group" >/dev/null || run usermod --append --groups "$group" "$ACCOUNT"
    done
}

bundle() {
    run mkdir -p "$ROOT$STATE"
    run env DOBBLE_DEVICE_HOME="$ROOT$STATE" PYTHONPATH="$ROOT$PREFIX" OPENBLAS_CORETYPE=ARMV8 \
        "$ROOT$PREFIX/venv/bin/python" -m jetson fetch "$HERE/bundle"
    [ -n "$ROOT" ] || run chown -R "$ACCOUNT:$ACCOUNT" "$STATE"
}

service() {
    run mkdir -p "$ROOT/etc/systemd/system" "$ROOT/etc/default"
    run install -m 644 "$HERE/dobble.service" "$ROOT/etc/systemd/system/dobble.service"
    # Its owner's settings and token: never overwritten, readable by root alone.
    [ -e "$ROOT/etc/default/dobble" ] || run install -m 600 "$HERE/dobble.env" "$ROOT/etc/default/dobble"
    [ -z "$ROOT" ] || return 0
    run systemctl daemon-reload
    run systemctl enable dobble.service
    run systemctl --no-block restart dobble.service
}

run() {
    printf '+ %s\n' "$*"
    [ -n "$DRY" ] || "$@"
}

say() { printf '%s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

main "$@"
