#!/bin/sh
# Fetches what the guest is made of into the folder given: a Debian root, a stock kernel, and Python packages.
# Usage: fetch.sh FOLDER PYTHON CONSTRAINTS
set -eu
folder=$1 python=$2 constraints=$3
suite=bookworm
packages=busybox-static,udev,kmod,python3,usbutils,usbip,libstdc++6
mkdir -p "$folder"
# What was fetched by another recipe is fetched again.
if ! cat "$0" "$constraints" | cmp -s - "$folder/recipe"; then
    rm -rf "$folder/root.tar" "$folder/site" "$folder/site.part"
    cat "$0" "$constraints" >"$folder/recipe"
fi

if [ ! -s "$folder/root.tar" ]; then
    # The kernel is only downloaded: installed it would want a boot loader and an initramfs of its own.
    mmdebstrap --variant=essential --include="$packages" \
        --customize-hook='cd "$1/var/cache" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get download \
            $(APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-cache depends linux-image-amd64 | sed -n "s/ *Depends: //p")' \
        "$suite" "$folder/root.part.tar"
    mv "$folder/root.part.tar" "$folder/root.tar"
fi

if [ ! -e "$folder/site" ]; then
    # The guest's Python is Debian's 3.11, whatever this machine has.
    set --
    for platform in manylinux_2_34 manylinux_2_28 manylinux_2_17 manylinux_2_12 manylinux_2_5; do
        set -- "$@" --platform "${platform}_x86_64"
    done
    "$python" -m pip install --quiet --disable-pip-version-check --target "$folder/site.part" --only-binary :all: \
        --implementation cp --python-version 3.11 "$@" -c "$constraints" \
        cryptography libusb-package numpy platformdirs pydantic pyserial pyusb
    mv "$folder/site.part" "$folder/site"
fi
