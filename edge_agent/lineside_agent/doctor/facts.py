"""Gather what the rules judge: from /proc, /sys and the C library, and from processes that try the packages."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lineside_agent import board
from lineside_agent.doctor.child import Trial, try_import, try_model
from lineside_agent.state_folder import attempt

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_TIMEX_BYTES = 512  # more than any struct timex
_TIME_ERROR = 5


class Software(NamedTuple):
    """`bits` are the interpreter's, which may be 32 on a 64-bit kernel; `glibc` is None with another C library."""

    system: str
    machine: str
    bits: int
    glibc: tuple[int, int] | None
    python: tuple[int, int]


class Folder(NamedTuple):
    """The state folder, or the nearest one above it that is there already: it lies in `kind` of file system.

    `made` is the state folder if it is still to be made. `problem` is why nothing can be written there.
    """

    path: Path
    kind: str
    free_bytes: int
    made: Path | None = None
    problem: str = ""


class Facts(NamedTuple):
    """Everything the rules need. None is what this machine does not tell."""

    software: Software
    packages: dict[str, Trial]
    model: Trial
    memory_bytes: int | None
    folder: Folder
    year: int
    synchronised: bool | None
    temperature_c: float | None
    throttling: tuple[list[str], list[str]] | None


PACKAGES = {"numpy": "numpy", "onnxruntime": "onnxruntime", "paho-mqtt": "paho.mqtt"}


def gather(state: Path, report: Callable[[str], None] = lambda _: None) -> Facts:
    """Look at this machine; `report` is told what is tried. `state` is where an agent's outbox is to lie."""
    packages = {}
    for name, module in PACKAGES.items():
        report(f"importing {name}")
        trial = try_import(module)
        installed = board.versions((name,)).get(name, "")
        packages[name] = trial._replace(said=trial.said or installed)
    report("running a small model")
    runtime = packages["numpy"], packages["onnxruntime"]
    model = Trial(problem="was not tried") if any(trial.problem for trial in runtime) else try_model()
    return Facts(
        software=software(),
        packages=packages,
        model=model,
        memory_bytes=memory_bytes(),
        folder=folder(state),
        year=time.gmtime().tm_year,
        synchronised=synchronised(),
        temperature_c=board.temperature_c(),
        throttling=board.throttling(),
    )


def software() -> Software:
    """Say what the packages must have been built for."""
    return Software(
        platform.system(),
        platform.machine(),
        8 * struct.calcsize("P"),
        _glibc(),
        (sys.version_info.major, sys.version_info.minor),
    )


def memory_bytes() -> int | None:
    """Return the memory that is free for one more process, at most what its control group may have."""
    for line in board.read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            limits = [board.read(path).strip() for path in _MEMORY_LIMITS]
            return min([int(line.split()[1]) * 1024, *(int(text) for text in limits if text.isdigit())])
    return None


def folder(state: Path) -> Folder:
    """Look at where the state folder is, or will be made, and try to write there."""
    tried = attempt(state)
    path = tried.there.resolve()
    found = os.statvfs(path)
    return Folder(
        path,
        file_system(path, board.read(Path("/proc/mounts"))),
        found.f_bavail * found.f_frsize,
        None if tried.there == state.absolute() else state.absolute(),
        tried.problem,
    )


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds an absolute path, from the text of /proc/mounts."""
    # A later line covers an earlier one at the same place.
    found = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    above = [
        (len(point), at, kind) for at, (point, kind) in enumerate(found) if path.is_relative_to(_plain(point))
    ]
    return max(above, default=(0, 0, ""))[2]


def synchronised() -> bool | None:
    """Return whether the kernel holds the clock for synchronised, by whatever does it; see adjtimex(2)."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _glibc() -> tuple[int, int] | None:
    try:
        name, _, number = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = number.split(".")[:2]
    except (ValueError, OSError):  # musl does not know the name
        return None
    return (int(major), int(minor)) if name == "glibc" else None


def _plain(point: str) -> str:
    """Undo the kernel's octal escapes for spaces and the like."""
    for escape in ("\\040", "\\011", "\\012", "\\134"):
        point = point.replace(escape, chr(int(escape[1:], 8)))
    return point
