#!/bin/sh
# Installs the few system packages that building, the window and its tests need, or names them.
# Usage: setup.sh run|test
set -eu

if ! command -v cargo >/dev/null 2>&1; then
    echo "Rust is missing: install it from https://rustup.rs and try again" >&2
    exit 1
fi

# On other systems graphics come with the system.
[ "$(uname -s)" = Linux ] || exit 0

missing=""
need() { # need PACKAGE, when the check that follows fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
library() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p 2>/dev/null | grep -q "$1"; }
driver() { find /usr/share/vulkan/icd.d /etc/vulkan/icd.d -name "*.json" 2>/dev/null | grep -q .; }

need build-essential command -v cc
need build-essential command -v c++
need pkg-config command -v pkg-config
need libvulkan1 library libvulkan.so.1
need libegl1 library libEGL.so.1
# A machine without a GPU driver draws in software.
need mesa-vulkan-drivers driver
need libx11-6 library libX11.so.6
need libx11-xcb1 library libX11-xcb.so.1
need libxcursor1 library libXcursor.so.1
need libxi6 library libXi.so.6
need libxkbcommon-x11-0 library libxkbcommon-x11.so.0

[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086
set -- $(printf '%s\n' $missing | sort -u)

if ! command -v apt-get >/dev/null 2>&1; then
    echo "These packages (by their Debian names) are missing; install them and try again: $*" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "These packages are missing; install them and try again: sudo apt-get install $*" >&2
        exit 1
    fi
fi
echo "Installing $*"
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
