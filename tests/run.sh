#!/usr/bin/env bash
# Runs the tests on a fresh Debian or Ubuntu. Installs a software Vulkan driver if there is none, then runs `cargo test`.
# Other arguments go to `cargo test`.
#
#   tests/run.sh                       the short selection, on the adapters of this machine
#   tests/run.sh --full                every kernel in every combination that has a test
#   tests/run.sh --all-drivers         once on llvmpipe and once on SwiftShader, both installed if needed
#   tests/run.sh --full --all-drivers  both
#   tests/run.sh --test all training::
set -eu

cd "$(dirname "$0")/.."

LLVMPIPE_PACKAGE=mesa-vulkan-drivers
# SwiftShader has no package of its own; it comes with the browser.
SWIFTSHADER_PACKAGE=chromium
# SwiftShader is known to crash now and then when many threads use it.
SWIFTSHADER_THREADS=2

all_drivers=no
full=no
while [ $# != 0 ]; do
    case $1 in
    --all-drivers) all_drivers=yes ;;
    --full) full=yes ;;
    *) break ;;
    esac
    shift
done
if [ "$full" = yes ]; then
    export GRADUS_TEST_FULL=1
fi
case ${WGPU_ADAPTER_NAME:-}${VK_DRIVER_FILES:-} in
*[Ss]wift[Ss]hader*) export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$SWIFTSHADER_THREADS} ;;
esac
# llvmpipe compiles kernels that mostly run for a moment. Without optimization this takes two thirds of the time.
export GALLIVM_PERF=${GALLIVM_PERF:-nopt}

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

if [ "$all_drivers" = no ]; then
    if [ "$(uname)" = Linux ] && [ "${GRADUS_TEST_NO_GPU:-}" != 1 ] && ! has_driver; then
        say "no Vulkan driver here"
        install "$LLVMPIPE_PACKAGE"
    fi
    cargo test --all-features "$@"
    exit
fi

[ -n "$(llvmpipe)" ] || install "$LLVMPIPE_PACKAGE"
[ -n "$(swiftshader)" ] || install "$SWIFTSHADER_PACKAGE"

# Runs the tests on one driver: its name, the file of its driver, and arguments of `cargo test`.
test_on() {
    name=$1
    driver=$2
    shift 2
    if [ -z "$driver" ]; then
        say "$name was installed, but its driver file is not where Debian has it"
        exit 1
    fi
    say "the tests on $name, $driver"
    WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=$name VK_DRIVER_FILES=$driver cargo test --all-features "$@"
}

test_on llvmpipe "$(llvmpipe)" "$@"

export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$SWIFTSHADER_THREADS}
if [ $# != 0 ] && [ "$1" != -- ]; then
    test_on SwiftShader "$(swiftshader)" "$@"
    exit
fi
# Only kernels and the calls that reach them can behave differently on a second driver, so that the other tests run once.
[ $# = 0 ] || shift
if [ "$full" = yes ]; then
    # The walk over all kernels takes minutes.
    test_on SwiftShader "$(swiftshader)" --lib --test all -- "$@" training:: rows:: frame:: custom:: devices:: errors:: \
        exports:: gpu:: population:: scores:: ensemble:: streams::
else
    test_on SwiftShader "$(swiftshader)" --test all -- "$@" training:: rows:: frame:: custom:: devices:: errors:: exports::
fi
