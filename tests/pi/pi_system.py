"""A whole arm64 system: Debian's kernel and systemd, booted by QEMU, which runs one script and powers off."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pi_board import BOARDS
from pi_userland import Userland

# A Raspberry Pi Zero 2 W has as much.
MEMORY_MB = 512
HOST = "10.0.2.2"  # this machine, as QEMU's own network shows it
_DISK_BYTES = 4 * 2**30
_NETWORK = "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
_RUN = """\
[Unit]
After=multi-user.target systemd-networkd.service
[Service]
Type=oneshot
ExecStart=/bin/bash /scenario.sh
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
"""


def boot(userland: Userland, folder: Path, script: str, *, board: str, timeout: float) -> str:
    """Boot the userland as a system, run a script as root, power off, and return what the console showed."""
    files = {
        "scenario.sh": script,
        "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
        "etc/systemd/network/test.network": _NETWORK,
        "etc/systemd/system/scenario.service": _RUN,
    }
    for name, text in files.items():
        path = userland.upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    units = Path("/etc/systemd/system")
    userland.run("systemctl", "enable", "systemd-networkd")
    userland.run(
        "systemctl", "mask", "systemd-networkd-wait-online.service", "apt-daily.timer", "man-db.timer"
    )
    # Not wanted by the target that it comes after: that would be a circle.
    userland.run("sh", "-c", f"mkdir -p {units}/default.target.wants")
    userland.run("ln", "-sf", f"{units}/scenario.service", f"{units}/default.target.wants/scenario.service")
    disk = folder / "disk.img"
    userland.make_disk(disk, _DISK_BYTES)
    try:
        return _run(userland, disk, BOARDS[board].core, timeout)
    finally:
        disk.unlink()


def _run(userland: Userland, disk: Path, core: str, timeout: float) -> str:
    command = [
        *("qemu-system-aarch64", "-M", "virt", "-cpu", core, "-smp", "2", "-m", str(MEMORY_MB)),
        *("-accel", "tcg,thread=multi", "-display", "none", "-serial", "stdio", "-monitor", "none"),
        *(
            "-no-reboot",
            "-kernel",
            str(userland.base / "vmlinuz"),
            "-initrd",
            str(userland.base / "initrd.img"),
        ),
        *("-append", "root=/dev/vda rw console=ttyAMA0 quiet systemd.show_status=false"),
        *("-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
    ]
    console = disk.with_name("console.log")
    with console.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"The system runs on after {timeout} s:\n{_text(console)}") from None
    finally:
        process.kill()
        process.wait()
    return _text(console)


def _text(console: Path) -> str:
    return console.read_text(errors="replace").replace("\r", "")
