#!/usr/bin/env bash
# Passes the tests on a fresh Debian or Ubuntu: installs a software Vulkan driver where there is no driver at all, then
# runs `cargo test`. Arguments go to `cargo test`.
#
#   tests/run.sh                       on the adapters that are there
#   tests/run.sh --all-drivers         once on llvmpipe and once on SwiftShader, both installed if need be
#   tests/run.sh --test all training::
set -eu

cd "$(dirname "$0")/.."

LLVMPIPE_PACKAGE=mesa-vulkan-drivers
# SwiftShader has no package of its own; it comes with the browser.
SWIFTSHADER_PACKAGE=chromium

say() {
    printf 'tests/run.sh: %s\n' "$*"
}

# The first of these patterns' files that exists; nothing if none does.
first_file() {
    for file in "$@"; do
        if [ -f "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

llvmpipe() {
    first_file /usr/share/vulkan/icd.d/lvp_icd*.json /usr/local/share/vulkan/icd.d/lvp_icd*.json /etc/vulkan/icd.d/lvp_icd*.json
}

swiftshader() {
    first_file /usr/lib/chromium/vk_swiftshader_icd.json /usr/lib/chromium-browser/vk_swiftshader_icd.json \
        /opt/google/chrome/vk_swiftshader_icd.json
}

# Whether there is a Vulkan driver for this machine: one that was named, llvmpipe, or one of a GPU whose device is there
# (/dev/dxg is WSL's). A container may well have the driver of a GPU that it has not.
has_driver() {
    [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] || [ -n "$(llvmpipe)" ] || {
        [ -n "$(first_file /usr/share/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json)" ] &&
            { [ -e /dev/dri ] || [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; }
    }
}

# Runs a command as root: directly, or by sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root, and there is no sudo: $*"
        exit 1
    fi
}

install() {
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here; install what Debian calls $1, or set GRADUS_TEST_NO_GPU=1 to test the CPU alone"
        exit 1
    fi
    say "installing $1"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

# Mesa asks for this folder, and writes a line of complaint for each device without it.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

if [ "${1:-}" != --all-drivers ]; then
    if [ "$(uname)" = Linux ] && [ "${GRADUS_TEST_NO_GPU:-}" != 1 ] && ! has_driver; then
        say "no Vulkan driver here"
        install "$LLVMPIPE_PACKAGE"
    fi
    cargo test --all-features "$@"
    exit
fi
shift

[ -n "$(llvmpipe)" ] || install "$LLVMPIPE_PACKAGE"
[ -n "$(swiftshader)" ] || install "$SWIFTSHADER_PACKAGE"
for name in llvmpipe SwiftShader; do
    if [ "$name" = llvmpipe ]; then driver=$(llvmpipe); else driver=$(swiftshader); fi
    if [ -z "$driver" ]; then
        say "$name was installed, and its driver file is not where it is on Debian"
        exit 1
    fi
    say "the tests on $name, $driver"
    # What a second driver may do otherwise are the kernels and the calls that reach them; where no test is named, the
    # others are passed once.
    of='' some=''
    if [ "$name" = SwiftShader ] && { [ $# = 0 ] || [ "$1" = -- ]; }; then
        of='--test all' some='training:: rows:: frame:: custom:: devices:: errors:: exports::'
        # These and the walk over all kernels take minutes.
        if [ "${GRADUS_TEST_QUICK:-}" != 1 ]; then
            of="--lib $of" some="$some gpu:: population:: scores:: ensemble:: streams::"
        fi
        [ $# != 0 ] || set -- --
    fi
    # shellcheck disable=SC2086
    WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=$name VK_DRIVER_FILES=$driver cargo test --all-features $of "$@" $some
done
