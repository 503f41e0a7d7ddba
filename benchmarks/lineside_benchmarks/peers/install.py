"""Programs of others to measure beside Lineside, each in an environment of its own, on demand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lineside_contract.errors import InputError, LinesideError


class Peer(NamedTuple):
    """What is installed: packages from PyPI or npm, and the file in the environment that shows that it worked."""

    about: str
    packages: tuple[str, ...]
    made_by: str
    program: str


PEERS = {
    "mqtt-clients": Peer(
        "gmqtt and aiomqtt, for throughput", ("gmqtt", "aiomqtt", "uvloop"), "pip", "bin/python"
    ),
    "thingsboard-gateway": Peer(
        "ThingsBoard IoT Gateway, for outage", ("thingsboard-gateway",), "pip", "bin/thingsboard-gateway"
    ),
    "onnx-models": Peer(
        "networks of rapidocr-onnxruntime and silero-vad, for export",
        ("rapidocr-onnxruntime==1.4.4", "silero-vad==6.2.3"),
        "files",
        "silero_vad/data/silero_vad.onnx",
    ),
    "node-red": Peer(
        "Node-RED with a queue, for outage",
        ("node-red", "node-red-contrib-queue-gate"),
        "npm",
        "node_modules/.bin/node-red",
    ),
}


def folder() -> Path:
    """Return where the environments are: the XDG base directory specification's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return root / "lineside" / "peers"


def installed(name: str) -> Path | None:
    """Return the program of a peer, or None if it is not there."""
    program = folder() / name / PEERS[name].program
    return program if program.exists() else None


def install(name: str) -> Path:
    """Install a peer, whole or not at all, and return its program. Raises InputError and LinesideError."""
    peer = PEERS[name]
    target = folder() / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        for command in _WAYS[peer.made_by](target, peer.packages):
            done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=target)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise LinesideError(
                    f"{name} could not be installed: {' '.join(last)}.", hint="The benchmarks run without it."
                )
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    found = installed(name)
    if found is None:
        raise LinesideError(f"{name} was installed without its program {peer.program}.")
    return found


def _pip(target: Path, packages: tuple[str, ...]) -> list[list[str]]:
    # Not resolved through the link to this environment's Python: a new one stands on its own.
    return [
        [sys.executable, "-m", "venv", str(target)],
        [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages],
    ]


def _files(target: Path, packages: tuple[str, ...]) -> list[list[str]]:
    """Unpack packages without what they need to run: only files in them are read."""
    flags = ("--quiet", "--no-deps", "--no-compile", "--target", str(target))
    return [[sys.executable, "-m", "pip", "install", *flags, *packages]]


def _npm(_target: Path, packages: tuple[str, ...]) -> list[list[str]]:
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            "npm is not installed.", hint="Install Node.js (Debian: sudo apt-get install nodejs npm)."
        )
    return [[npm, "install", "--silent", "--no-fund", "--no-audit", *packages]]


_WAYS: dict[str, Callable[[Path, tuple[str, ...]], list[list[str]]]] = {
    "pip": _pip,
    "files": _files,
    "npm": _npm,
}
