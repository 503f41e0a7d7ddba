"""What it was measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from lineside_agent import board
from lineside_cli.broker import nats_server

_PACKAGES = ("lineside", "numpy", "onnxruntime", "paho-mqtt", "msgspec", "scikit-learn", "skl2onnx")


def describe(folder: Path) -> dict[str, str]:
    """Return the machine, its software, and how busy it was; `folder` is where the benchmarks write."""
    return {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores, {platform.machine()}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": board.governor() or "none",
        "file system": _file_system(folder),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "nats-server": _said(str(nats_server()), "-v"),
        "mosquitto": _said(shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin"), "-h"),
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text()
    for name in ("model name", "Model"):  # x86, Raspberry Pi
        if found := re.search(rf"^{name}\s*: (.+)$", text, re.MULTILINE):
            return found[1]
    return platform.processor() or "unknown CPU"


def _file_system(folder: Path) -> str:
    """Return the type of the file system with the longest mount point above `folder`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def _said(program: str | None, option: str) -> str:
    """Return the version number in what a program says of itself."""
    if program is None:
        return "none"
    said = subprocess.run([program, option], check=False, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+[\w.]*", said.stdout + said.stderr)
    return found[0] if found else "unknown"
