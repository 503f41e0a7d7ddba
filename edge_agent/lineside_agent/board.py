"""The machine underneath, as Linux tells it in /proc and /sys: read without a package, and without raising."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Two megahertz of difference or twenty degrees explain a latency as well as the model does.
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")  # millidegrees; the CPU on a Raspberry Pi
# The firmware's word on a Raspberry Pi, in hexadecimal:
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_THROTTLING = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the soft temperature limit"}
_PAST = 16  # the same four bits again, for what has been since the start
_NAMES = (Path("/proc/device-tree/model"), Path("/proc/cpuinfo"))
_CPU = re.compile(r"^(?:Model|model name)\s*: (.+)$", re.MULTILINE)


def name() -> str:
    """Return what the machine is called: `Raspberry Pi 4 Model B Rev 1.4`, or its processor's name."""
    tree, cpu = (read(path) for path in _NAMES)
    found = _CPU.search(cpu)
    return tree.strip("\0 \n") or (found[1] if found else platform.machine())


def governor() -> str:
    """Return what decides on the processor's frequency (`ondemand`, `performance`), or nothing."""
    return read(_GOVERNOR).strip()


def temperature_c() -> float | None:
    """Return the processor's temperature, if the machine tells it."""
    text = read(_TEMPERATURE).strip()
    return int(text) / 1000 if text.lstrip("-").isdigit() else None


def throttling() -> tuple[list[str], list[str]] | None:
    """Return what slows a Raspberry Pi down now, and what has since its start; None on any other machine."""
    try:
        bits = int(read(_THROTTLED), 16)
    except ValueError:
        return None
    now, past = ([word for bit, word in _THROTTLING.items() if bits >> bit + by & 1] for by in (0, _PAST))
    return now, past


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed, without importing them."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def read(path: Path) -> str:
    """Return a file's text, or nothing if there is no such file here."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
