#!/bin/bash
# userland.sh FOLDER bookworm|trixie: build the arm64 userland that 64-bit Raspberry Pi OS stands on, with Python,
# systemd and a kernel, in FOLDER. It appears whole or not at all. Root, Debian's debootstrap and qemu-user-static.
#
# LINESIDE_PI_MIRROR names a Debian mirror (default: the one that this machine's apt uses).
set -euo pipefail
folder=$1 suite=$2
part=$folder.part log=$folder.log
mirror=${LINESIDE_PI_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)|$(SUITE)|$(COMPONENT)' |
    awk -F'|' '$1 ~ /debian\/?$/ && $3 == "main" {print $1; exit}')}
began=$(date +%s)

step() { echo "[$(($(date +%s) - began)) s] $*" >&2; }

inside() {
    unshare --mount --propagation private -- /bin/bash -euc '
        mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"
        exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive "$@"' "$part" "$@" >> "$log" 2>&1
}

trap '[ $? = 0 ] || { echo "Building $folder failed; the end of $log:" >&2; tail -5 "$log" >&2; }' EXIT
[ -n "$mirror" ] || { echo "No Debian mirror in apt's settings: set LINESIDE_PI_MIRROR." > "$log"; exit 1; }
mkdir -p "$(dirname "$folder")"
rm -rf --one-file-system "$part"

step "debootstrap $suite arm64, unpacking"
debootstrap --arch=arm64 --foreign --variant=minbase "$suite" "$part" "$mirror" > "$log" 2>&1
cp /etc/resolv.conf "$part/etc/resolv.conf"
cat > "$part/etc/apt/apt.conf.d/99test" << 'END'
Acquire::Languages "none";
APT::Install-Recommends "false";
END
step "debootstrap, configuring (emulated)"
inside /debootstrap/debootstrap --second-stage
printf '#!/bin/sh\nexit 101\n' > "$part/usr/sbin/policy-rc.d" # start no services
chmod +x "$part/usr/sbin/policy-rc.d"
# Not with debootstrap's --include: an emulated perl then reads the package list for more than ten minutes.
step "apt-get install python3, systemd and a kernel (emulated)"
inside apt-get -q update
inside apt-get -q -y install python3-venv ca-certificates systemd-sysv libpam-systemd udev dbus kmod initramfs-tools linux-image-cloud-arm64
rm -f "$part/usr/sbin/policy-rc.d" "$part"/var/cache/apt/archives/*.deb
echo pi > "$part/etc/hostname"
printf '127.0.0.1 localhost pi\n' > "$part/etc/hosts"
: > "$part/etc/machine-id"
mv "$part" "$folder"
step "done: $(du -shx "$folder" | cut -f1)"
