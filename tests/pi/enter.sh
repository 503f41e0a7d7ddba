#!/bin/bash
# enter.sh USERLAND LAYER BOARD [FOLDER:/INSIDE]... -- COMMAND...: run a command in an arm64 userland.
#
# What it writes goes into LAYER; the userland stays as it was built. BOARD (cpuinfo, sys) stands for the processor.
# Mounts are this process's own and end with it; the network is the host's. With BOARD "none", the command runs
# outside, with the whole tree's folder as its last argument.
set -euo pipefail
userland=$1 layer=$2 board=$3
shift 3
mkdir -p "$layer/upper" "$layer/work" "$layer/root"
binds=()
while [ "$1" != -- ]; do binds+=("$1"); shift; done
shift
export userland layer board
export mounts="${binds[*]-}"
exec unshare --mount --propagation private -- /bin/bash -euc '
    root=$layer/root
    mount -t overlay overlay -o "lowerdir=$userland,upperdir=$layer/upper,workdir=$layer/work" "$root"
    [ "$board" != none ] || exec "$@" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$board/cpuinfo" "$root/proc/cpuinfo"
    mount --rbind /dev "$root/dev"
    mount --bind "$board/sys" "$root/sys"
    for each in $mounts; do
        mkdir -p "$root${each#*:}"
        mount --bind "${each%%:*}" "$root${each#*:}"
    done
    exec chroot "$root" /usr/bin/env -i "$@"' enter "$@"
