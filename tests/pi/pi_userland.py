"""The arm64 userland of a Raspberry Pi: built once, kept in a cache, run by QEMU's user-mode emulation."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pi_board import BOARDS, write_board

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("LINESIDE_PI_CACHE", "~/.cache/lineside-pi")).expanduser()
SUITE = os.environ.get("LINESIDE_PI_SUITE", "bookworm")
PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}

_PROGRAMS = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-system-aarch64": "qemu-system-arm",
    "mke2fs": "e2fsprogs",
}
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
# Where pipx puts it for the user of a Raspberry Pi: under /home, which a service does not see by itself.
VENV = "/home/pi/.local/share/pipx/venvs/lineside"
_PATH = f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def check_machine() -> None:
    """End the tests with one sentence if this machine cannot run them."""
    if SUITE not in PYTHON_OF:
        _refuse(f"LINESIDE_PI_SUITE is {SUITE!r}; it may be {' or '.join(PYTHON_OF)}.")
    if os.geteuid():
        _refuse("The Raspberry Pi tests need root: they mount file systems and enter an arm64 userland.")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [package for program, package in _PROGRAMS.items() if not shutil.which(program, path=path)]:
        _refuse(f"The Raspberry Pi tests need more of Debian: apt-get install {' '.join(missing)}")
    if not _runs_arm():
        _refuse("This kernel cannot be told to run arm64 programs by QEMU: binfmt_misc cannot be set up.")


def _refuse(sentence: str) -> None:
    pytest.exit(sentence, returncode=2)


def _runs_arm() -> bool:
    """Let the kernel give arm64 programs to QEMU, for this machine and until its restart."""
    if os.uname().machine == "aarch64":
        return True
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=False)
    rule = _BINFMT / "qemu-aarch64"
    if not rule.exists():
        try:
            (_BINFMT / "register").write_text(_RULE.read_text())
        except OSError:
            return False
    return rule.read_text().startswith("enabled")


class Userland:
    """A userland with a layer of its own: what is changed in it does not change the cache."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        for board in BOARDS:
            write_board(board, folder / board)

    @classmethod
    def open(cls, folder: Path) -> Userland:
        """Build the userland if it, made by the present recipe, is not in the cache."""
        recipe = HERE / "userland.sh"
        base = CACHE / f"{SUITE}-{hashlib.sha256(recipe.read_bytes()).hexdigest()[:8]}"
        if not base.exists():
            subprocess.run(["nice", "-n", "10", recipe, base, SUITE], check=True)
        return cls(base, folder)

    @property
    def upper(self) -> Path:
        """Where a file can be put while nothing runs: it is in the userland the next time."""
        return self.folder / "layer/upper"

    def run(
        self,
        *command: str,
        board: str = "pi4",
        binds: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it and return what came of it; fail with its output if it fails."""
        done = subprocess.run(
            self.command(command, board=board, binds=binds or {}, env=env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def command(
        self, command: Sequence[str], *, board: str, binds: Mapping[Path, str], env: Mapping[str, str]
    ) -> list[str]:
        """Return what starts a command in it."""
        variables = {
            "PATH": _PATH,
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "QEMU_CPU": BOARDS[board].core,
            **env,
        }
        return [
            *map(str, (HERE / "enter.sh", self.base, self.folder / "layer", self.folder / board)),
            *(f"{folder}:{inside}" for folder, inside in binds.items()),
            "--",
            *(f"{name}={value}" for name, value in variables.items()),
            *command,
        ]

    def make_disk(self, image: Path, bytes_: int) -> None:
        """Write the userland, as it is now, into a disk image with one ext4 file system."""
        with image.open("wb") as file:
            file.truncate(bytes_)
        subprocess.run(
            [
                *map(str, (HERE / "enter.sh", self.base, self.folder / "layer", "none", "--")),
                *("/bin/sh", "-c", 'exec mke2fs -q -t ext4 -E lazy_itable_init=1 -d "$1" "$0"', str(image)),
            ],
            check=True,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
