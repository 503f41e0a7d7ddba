"""Install and remove the service: every step may be done again, and only what changes is written."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lineside_agent import starter
from lineside_agent.install.needs import Needs, needs, sensors
from lineside_agent.install.places import NAME, Places
from lineside_agent.install.unit import MEMORY_MAX, WATCHDOG_S, Unit, render
from lineside_agent.settings import Settings, load
from lineside_contract.errors import InputError, LinesideError
from lineside_contract.files import write_whole

_BOOTED = Path("/run/systemd/system")  # there if systemd runs this machine: man sd_booted
_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
_SECRETS = """\
# Settings that nobody else may read, one a line, for systemd to hand to the agent.
# LINESIDE__BROKER__PASSWORD=
"""


class Asked(NamedTuple):
    """What the person asks for. `answers` fill in a first configuration; `start`: now, and at every boot."""

    places: Places
    answers: starter.Answers
    watchdog_s: int = WATCHDOG_S
    memory_max: str = MEMORY_MAX
    start: bool = False


class File(NamedTuple):
    """A file of the installation. `keep`: whatever stands there is the person's."""

    path: Path
    text: str
    mode: int = 0o644
    keep: bool = False

    @property
    def settled(self) -> bool:
        """Whether there is nothing to write."""
        return self.path.exists() and (self.keep or _read(self.path) == self.text)


def plan(asked: Asked) -> list[File]:
    """Return the files of the installation. Raises InputError for settings with which no service can run."""
    places = asked.places
    config = _config(asked)
    settings = _settings(config)
    wanted = asked.answers.bundle
    if wanted is not None and wanted.resolve() != settings.bundle.resolve():
        raise InputError(
            f"{places.config} names another bundle, {settings.bundle}.",
            hint="Change bundle there, and install without --bundle.",
        )
    if asked.start:
        _check_startable(settings)
    unit = Unit(_command(), places, _needs(asked, settings), asked.watchdog_s, asked.memory_max)
    return [
        config,
        File(places.secrets, _SECRETS, 0o600, keep=True),
        File(places.unit, render(unit)),
    ]


def install(asked: Asked) -> Iterator[str]:
    """Install the service, and tell what is done. Raises InputError before anything is written."""
    _check_systemd()
    files = plan(asked)
    for file in files:
        yield _write(file)
    _systemctl(asked.places, "daemon-reload")
    if asked.start:
        _systemctl(asked.places, "enable", NAME)
        _systemctl(asked.places, "restart", NAME)
        yield f"Started {NAME}, now and at every boot."


def uninstall(places: Places) -> Iterator[str]:
    """Stop and remove the service; its configuration and what waits for delivery stay."""
    _check_systemd()
    if not places.unit.exists():
        raise InputError(f"There is no {places.unit}.", hint="Was it installed with --user, or without?")
    _systemctl(places, "disable", "--now", NAME)
    _attempt(places.unit, Path.unlink)
    _systemctl(places, "daemon-reload")
    yield f"Removed {places.unit}."
    yield f"{places.config.parent} and the state folder, with what waits for delivery, are left."


def notes(asked: Asked) -> Iterator[str]:
    """Tell what this machine will not do although the unit asks for it."""
    for group in _needs(asked, _settings(_config(asked))).missing_groups:
        yield f"There is no group {group} here, so its devices are closed to the agent."
    if _CONTROLLERS.exists() and "memory" not in _read(_CONTROLLERS).split():
        yield (
            "This kernel limits no memory (Raspberry Pi OS switches that off), so MemoryMax= has no effect. "
            "To have it, add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt and reboot."
        )


def _config(asked: Asked) -> File:
    path, bundle = asked.places.config, asked.answers.bundle
    if path.exists():
        return File(path, _read(path), keep=True)
    if bundle is None:
        return File(path, starter.render(asked.answers, starter.PLACEHOLDER, []), keep=True)
    text = starter.render(asked.answers, str(bundle.absolute()), starter.channels(bundle))
    return File(path, text, keep=True)


def _settings(config: File) -> Settings:
    if config.path.exists():
        return load(config.path, {})
    with tempfile.TemporaryDirectory() as folder:
        unwritten = Path(folder) / config.path.name
        unwritten.write_text(config.text)
        return load(unwritten, {})


def _needs(asked: Asked, settings: Settings) -> Needs:
    return Needs() if asked.places.user else needs(settings, asked.places.config)


def _check_startable(settings: Settings) -> None:
    if not settings.bundle.exists():
        raise InputError(
            f"There is no bundle {settings.bundle}.", hint="Copy it there first, or install without --now."
        )
    if any(sensor.kind == "stdin" for sensor in sensors(settings)):
        raise InputError(
            "A service has no standard input, so a sensor of kind stdin cannot work.",
            hint='Name the sensor in the settings, such as kind = "exec" for a program that prints readings.',
        )


def _command() -> tuple[str, ...]:
    """Return what starts the Lineside that runs now, wherever it is installed."""
    script = Path(sys.prefix) / "bin/lineside"
    return (str(script),) if script.exists() else (sys.executable, "-m", "lineside_cli.main")


def _write(file: File) -> str:
    if file.settled:
        return f"{file.path} stays as it is."
    _attempt(file.path, lambda path: path.parent.mkdir(parents=True, exist_ok=True))
    _attempt(file.path, lambda path: write_whole(path, file.text.encode(), mode=file.mode))
    return f"Wrote {file.path}."


def _attempt(path: Path, act: Callable[[Path], object]) -> None:
    try:
        act(path)
    except PermissionError as error:
        hint = "Use sudo, or --user for a service of your own."
        raise InputError(f"{path} cannot be changed by this user.", hint=hint) from error
    except OSError as error:
        raise InputError(f"{path} cannot be changed: {error.strerror}.") from error


def _check_systemd() -> None:
    if not _BOOTED.is_dir():
        raise InputError(
            "This machine is not run by systemd.",
            hint="Let whatever starts programs here run `lineside agent run`; --print shows the unit.",
        )


def _systemctl(places: Places, *arguments: str) -> None:
    command = [*places.systemctl, *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise InputError("There is no systemctl here.", hint="Install systemd.") from error
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
        raise LinesideError(
            f"`{' '.join(command)}` failed: {said.rstrip('.')}.",
            hint=f"Look at what it says: {places.journal.removesuffix(' -f')} -n 20",
        )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
