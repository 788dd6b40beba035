#!/usr/bin/env bash
# Runs the tests. On Debian or Ubuntu it first installs a software Vulkan driver if there is no driver.
#
#   tests/run.sh                       the short selection, on the adapters of this machine
#   tests/run.sh --full                all tests: every kernel in every tested combination
#   tests/run.sh --all-drivers         once on llvmpipe and once on SwiftShader; installs them if needed
#   tests/run.sh --full --all-drivers  both
#   tests/run.sh --test all trainer::  other arguments go to `cargo test`
set -eu

cd "$(dirname "$0")/.."

LLVMPIPE_PACKAGE=mesa-vulkan-drivers
# SwiftShader has no separate package; it comes with the browser.
SWIFTSHADER_PACKAGE=chromium
# SwiftShader sometimes crashes when many threads use it.
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
# llvmpipe does not optimize kernels: most kernels run only for a moment, and the tests take two thirds of the time.
export GALLIVM_PERF=${GALLIVM_PERF:-nopt}

say() {
    printf 'tests/run.sh: %s\n' "$*"
}

# Prints the first argument that is a file, or nothing.
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

# Succeeds if there is a Vulkan driver: one that a variable names, llvmpipe, or the driver of a GPU with a device file
# (/dev/dxg is that of WSL). A container may have a GPU driver without the GPU, so the driver alone is not sufficient.
has_driver() {
    [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] || [ -n "$(llvmpipe)" ] || {
        [ -n "$(first_file /usr/share/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json)" ] &&
            { [ -e /dev/dri ] || [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; }
    }
}

# Runs a command as root, with sudo if necessary.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "root is needed, and sudo is not installed: $*"
        exit 1
    fi
}

install() {
    if ! command -v apt-get >/dev/null; then
        say "apt-get not found; install the equivalent of Debian's $1, or set GRADUS_TEST_NO_GPU=1 to test only the CPU"
        exit 1
    fi
    say "installing $1"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

# Without this folder Mesa prints an error for each device.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

if [ "$all_drivers" = no ]; then
    if [ "$(uname)" = Linux ] && [ "${GRADUS_TEST_NO_GPU:-}" != 1 ] && ! has_driver; then
        say "no Vulkan driver found"
        install "$LLVMPIPE_PACKAGE"
    fi
    cargo test --all-features "$@"
    exit
fi

[ -n "$(llvmpipe)" ] || install "$LLVMPIPE_PACKAGE"
[ -n "$(swiftshader)" ] || install "$SWIFTSHADER_PACKAGE"

# Runs the tests on one driver. Arguments: its name, its driver file, arguments for `cargo test`.
test_on() {
    name=$1
    driver=$2
    shift 2
    if [ -z "$driver" ]; then
        say "$name: driver file not found in the folders that Debian uses"
        exit 1
    fi
    say "testing on $name, $driver"
    WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=$name VK_DRIVER_FILES=$driver cargo test --all-features "$@"
}

test_on llvmpipe "$(llvmpipe)" "$@"

export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$SWIFTSHADER_THREADS}
if [ $# != 0 ] && [ "$1" != -- ]; then
    test_on SwiftShader "$(swiftshader)" "$@"
    exit
fi
# Only kernels and their callers can behave differently on a second driver, so the other tests run only once.
[ $# = 0 ] || shift
if [ "$full" = yes ]; then
    # The tests of all kernels (gpu::) take minutes.
    test_on SwiftShader "$(swiftshader)" --lib --test all -- "$@" trainer:: sample_weights_and_noise:: recording:: \
        custom_functions:: nn::custom:: devices:: errors:: exports:: gpu:: population:: population_metrics:: ensemble:: \
        streaming::
else
    test_on SwiftShader "$(swiftshader)" --test all -- "$@" trainer:: sample_weights_and_noise:: recording:: \
        custom_functions:: devices:: errors:: exports::
fi
