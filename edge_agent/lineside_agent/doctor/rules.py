"""What the facts mean for an agent, one sentence and a next step each. No I/O.

PyPI has onnxruntime for x86_64 and aarch64 with glibc; it has nothing for 32 bits, nothing for musl, and no sources.
Where onnxruntime runs all the same, because somebody built it, the missing wheel is only worth a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lineside_agent.doctor.child import Trial
from lineside_agent.doctor.facts import Facts

_WITH_WHEELS = ("x86_64", "aarch64")
_OLDEST_GLIBC = (2, 28)
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 14)
_OLDEST_RUNTIME = (1, 22)
# An agent with a small model was seen to take 65 MB, one with a forest to need more than 96 and less than 128.
_LEAST_MEMORY, _GOOD_MEMORY = 64_000_000, 128_000_000
_GOOD_DISK = 300_000_000  # the outbox's default limit of 256 MiB, and a bundle
_HOT_C = 80.0  # where a Raspberry Pi begins to slow down
_OLDEST_YEAR = 2025
_VOLATILE = "does not outlive a restart: what waits for delivery would be lost"
_FILE_SYSTEMS = {
    "tmpfs": _VOLATILE,
    "ramfs": _VOLATILE,
    "overlay": "often does not outlive a restart (a container, or a card protected against writing)",
    "nfs": "is on the network: the outbox would stop with it",
    "nfs4": "is on the network: the outbox would stop with it",
    "cifs": "is on the network: the outbox would stop with it",
    "vfat": "keeps no journal: a power cut can damage it",
    "exfat": "keeps no journal: a power cut can damage it",
}
_64_BIT = "Install a 64-bit system (Raspberry Pi OS 64-bit, for a Raspberry Pi 3, 4, 5 or Zero 2 W)."


class Finding(NamedTuple):
    """`detail` is one sentence's worth; `hint` is what to do, empty if all is well."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    hint: str = ""


def judge(facts: Facts) -> Iterator[Finding]:
    """Say what stands for and against an agent on this machine."""
    yield _system(facts)
    yield _architecture(facts)
    yield _c_library(facts)
    yield _python(facts)
    for name, trial in facts.packages.items():
        yield _runtime(trial) if name == "onnxruntime" else _package(name, trial)
    yield _model(facts)
    yield _memory(facts.memory_bytes)
    yield _state(facts)
    yield _disk(facts)
    yield _clock(facts)
    yield _temperature(facts)


def _system(facts: Facts) -> Finding:
    if facts.software.system != "Linux":
        detail = f"An agent runs on Linux; this is {facts.software.system}."
        return Finding("system", "failed", detail, "Use a Linux machine for it; `lineside export` runs here.")
    return Finding("system", "ok", "Linux")


def _architecture(facts: Facts) -> Finding:
    found = facts.software
    said = f"{found.machine}, {found.bits}-bit Python"
    if found.bits == 32 and found.machine in _WITH_WHEELS:
        return _no_wheel(
            facts, "architecture", f"{said}: the kernel has 64 bits, the system on it 32", _64_BIT
        )
    if found.bits == 32:
        return _no_wheel(
            facts, "architecture", f"{said}: there are no onnxruntime wheels for 32 bits", _64_BIT
        )
    if found.machine not in _WITH_WHEELS:
        hint = f"Use {' or '.join(_WITH_WHEELS)}, or build onnxruntime from its sources."
        return _no_wheel(facts, "architecture", f"there are no onnxruntime wheels for {found.machine}", hint)
    return Finding("architecture", "ok", said)


def _c_library(facts: Facts) -> Finding:
    glibc = facts.software.glibc
    if glibc is None:
        hint = "Use a system with glibc (Debian, Raspberry Pi OS, Ubuntu), not Alpine."
        return _no_wheel(facts, "C library", "it is not glibc, and onnxruntime has no wheels for musl", hint)
    said = f"glibc {glibc[0]}.{glibc[1]}"
    if glibc < _OLDEST_GLIBC:
        needed = ".".join(map(str, _OLDEST_GLIBC))
        hint = "Upgrade the system: Debian 10, Ubuntu 20.04 and later have it."
        return _no_wheel(
            facts, "C library", f"{said} is older than {needed}, which onnxruntime's wheels need", hint
        )
    return Finding("C library", "ok", said)


def _python(facts: Facts) -> Finding:
    python = facts.software.python
    said = f"Python {python[0]}.{python[1]}"
    if python < _OLDEST_PYTHON:
        return Finding("Python", "failed", f"{said} is too old.", "Install Python 3.11 or newer.")
    if python > _NEWEST_PYTHON:
        hint = "Make a virtual environment with Python 3.11 to 3.14 if it cannot be installed."
        return _no_wheel(facts, "Python", f"{said} is newer than the wheels that Lineside knows of", hint)
    return Finding("Python", "ok", said)


def _no_wheel(facts: Facts, name: str, detail: str, hint: str) -> Finding:
    if facts.model.problem:
        return Finding(name, "failed", f"{detail}.", hint)
    return Finding(name, "warning", f"{detail}; yet onnxruntime runs here.", "Keep the wheel that you built.")


def _package(name: str, trial: Trial) -> Finding:
    if trial.problem:
        return Finding(name, "failed", _about_import(name, trial), trial.hint)
    return Finding(name, "ok", f"imported{f', {trial.said}' if trial.said else ''}")


def _runtime(trial: Trial) -> Finding:
    numbers = re.match(r"(\d+)\.(\d+)", trial.said)
    if not trial.problem and numbers and (int(numbers[1]), int(numbers[2])) < _OLDEST_RUNTIME:
        why = "1.21 dies on a Raspberry Pi 4, and older ones cannot run compact trees."
        return Finding(
            "onnxruntime",
            "failed",
            f"{trial.said} is too old: {why}",
            "Run: pip install --upgrade onnxruntime",
        )
    return _package("onnxruntime", trial)


def _about_import(name: str, trial: Trial) -> str:
    if trial.missing:
        return f"{name} is not installed."
    return f"Importing {f'{name} {trial.said}'.rstrip()} {trial.problem}."


def _model(facts: Facts) -> Finding:
    trial = facts.model
    if trial.problem:
        return Finding(
            "model", "failed", f"Running a small model {trial.problem}.", trial.hint or "See above."
        )
    return Finding("model", "ok", "a small one gives the right answers, in float32 and in int8")


def _memory(free: int | None) -> Finding:
    if free is None:
        return Finding("memory", "ok", "this machine does not tell")
    said = f"{free / 1e6:,.0f} MB free"
    if free < _LEAST_MEMORY:
        return Finding("memory", "failed", f"{said}; an agent takes 65 MB.", "Stop something, or add memory.")
    if free < _GOOD_MEMORY:
        hint = "Stop something, or measure your bundle with `lineside bench`."
        return Finding("memory", "warning", f"{said}; a forest takes more than an agent's least 65 MB.", hint)
    return Finding("memory", "ok", said)


def _state(facts: Facts) -> Finding:
    folder = facts.folder
    if folder.problem:
        hint = "Choose another folder with --state, or run as the user that the agent has."
        what = f"{folder.made} cannot be made: {folder.path}" if folder.made else f"{folder.path}"
        return Finding("state", "failed", f"{what} cannot be written to ({folder.problem}).", hint)
    if reason := _FILE_SYSTEMS.get(folder.kind):
        hint = "Set the agent's state to a folder on a disk (ext4)."
        return Finding("state", "warning", f"{folder.path} is on {folder.kind}, which {reason}.", hint)
    where = f"{folder.path} is on {folder.kind or 'a file system of an unknown type'}"
    return Finding("state", "ok", f"{folder.made} can be made: {where}" if folder.made else where)


def _disk(facts: Facts) -> Finding:
    free = facts.folder.free_bytes
    said = f"{free / 1e9:,.1f} GB free"
    if free < _GOOD_DISK:
        hint = "Make room, or set a smaller outbox_bytes in [delivery]."
        return Finding("disk", "warning", f"{said}; the outbox may take 0.27 GB.", hint)
    return Finding("disk", "ok", said)


def _clock(facts: Facts) -> Finding:
    hint = "Start one that sets it: timedatectl set-ntp true (in a container the host sets it)."
    if facts.year < _OLDEST_YEAR:
        return Finding("clock", "warning", f"It says {facts.year}: predictions would carry that date.", hint)
    if facts.synchronised is False:
        return Finding(
            "clock", "warning", "Nothing keeps it right: the times of predictions may be off.", hint
        )
    return Finding("clock", "ok", "synchronised" if facts.synchronised else "the kernel does not tell")


def _temperature(facts: Facts) -> Finding:
    now, past = facts.throttling or ([], [])
    degrees = facts.temperature_c
    said = "not told here" if degrees is None else f"{degrees:.0f} degrees"
    if now or past:
        when = f"now by {', '.join(now)}" if now else f"since its start by {', '.join(past)}"
        hint = "Use the power supply made for it, and cool it."
        return Finding("temperature", "warning", f"{said}; the board was slowed down {when}.", hint)
    if degrees is not None and degrees >= _HOT_C:
        return Finding("temperature", "warning", f"{said}: it slows itself down about here.", "Cool it.")
    return Finding("temperature", "ok", said)
