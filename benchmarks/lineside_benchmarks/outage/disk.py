"""A device's disk: a folder, or as root a file system of its own that can be full and lose power."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from lineside_benchmarks.programs import Failed

_BYTES = 96 * 1024 * 1024


class Disk:
    """A folder for a program's state. With `real`, ext4 on a loop device, so that its limits are a disk's.

    A power cut keeps what the file system had given to the device: what a program wrote and did not sync, and the
    kernel had not written back, is gone; ext4 replays its journal when it is mounted again. What a drive itself
    would lose from its cache is kept.
    """

    def __init__(self, folder: Path, *, real: bool) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self._ballast = self.path / "ballast"
        self._real = real
        self.path.mkdir(parents=True)
        if real:
            with self._image.open("wb") as file:
                file.truncate(_BYTES)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
            self._mount()

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1024 * 1024, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def sync(self) -> None:
        """Let what was written so far survive a power cut: what was installed has been there for long."""
        _run("sync", "--file-system", str(self.path))

    def freeze(self) -> None:
        """Remember what the device holds at this moment."""
        shutil.copyfile(self._image, self._image.with_suffix(".cut"))

    def cut(self) -> None:
        """Go back to that moment. No program may use the disk now."""
        _run("umount", str(self.path))
        self._image.with_suffix(".cut").replace(self._image)
        self._mount()

    def bytes_used(self) -> int:
        """Return what the files take, the ballast apart."""
        total = 0
        for path in self.path.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += 0 if path == self._ballast else path.stat().st_blocks * 512
        return total

    def bytes_written(self) -> int:
        """Return how many bytes the device was given to write, the file system's own among them (sysfs, stat)."""
        device = self.path.stat().st_dev
        fields = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
        return int(fields[6]) * 512

    def close(self) -> None:
        if self._real:
            subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))


def may_mount() -> bool:
    """Tell whether this process may mount file systems from loop devices."""
    return (
        os.geteuid() == 0
        and all(shutil.which(tool) for tool in ("mkfs.ext4", "mount", "umount", "losetup"))
        and subprocess.run(["losetup", "-f"], check=False, capture_output=True).returncode == 0
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")
