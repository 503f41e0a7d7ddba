"""What a service must be allowed because of its settings: devices, groups, and files that it could not see."""

from __future__ import annotations

import grp
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from lineside_agent.settings import SensorSettings, Settings
from lineside_contract.errors import InputError

# What ProtectHome= and PrivateTmp= hide.
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))


class Access(NamedTuple):
    """What a kind of sensor reads from: classes of devices as in /proc/devices, and the group that may.

    `scheme`: only if its setting `url` has this one. `writes_code`: its driver makes code while it runs.
    """

    group: str
    devices: tuple[str, ...]
    scheme: str = ""
    writes_code: bool = False


_SERIAL = Access("dialout", ("char-ttyUSB", "char-ttyACM", "char-ttyAMA", "char-ttyS"))
# Every other kind of sensor needs files, the network or nothing.
ACCESS = {
    "serial": _SERIAL,
    "modbus": _SERIAL._replace(scheme="rtu"),
    "i2c": Access("i2c", ("char-i2c",)),
    "audio": Access("audio", ("char-alsa",), writes_code=True),
}


class Needs(NamedTuple):
    """`visible`: what it reads and would not see, as under /home. `key_file`: only root can read it, and hands it on.

    `missing_groups` are those that this machine does not have: with them, the service would not start.
    """

    groups: tuple[str, ...] = ()
    missing_groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    writes_code: bool = False
    visible: tuple[Path, ...] = ()
    key_file: Path | None = None


def needs(settings: Settings, config: Path) -> Needs:
    """Return what an agent with these settings needs as a service of its own user.

    Raises InputError for a file that this user could not read.
    """
    access = [ACCESS[each.kind] for each in sensors(settings) if each.kind in ACCESS and _reads(each)]
    key_file = settings.broker.key_file
    files = [path for path in (config, *_paths(settings)) if path not in (settings.state, key_file)]
    for file in files:
        _check_readable(file)
    return Needs(
        groups=_unique(each.group for each in access if _is_group(each.group)),
        missing_groups=_unique(each.group for each in access if not _is_group(each.group)),
        devices=_unique(device for each in access for device in each.devices),
        writes_code=any(each.writes_code for each in access),
        visible=_unique(path for path in (*_lineside(), *files) if _hidden(path) and path.exists()),
        key_file=key_file,
    )


def sensors(settings: Settings) -> list[SensorSettings]:
    """Return every sensor of an agent, also those that are joined into one."""
    return [each for each in _structs(settings) if isinstance(each, SensorSettings)]


def _reads(sensor: SensorSettings) -> bool:
    scheme = ACCESS[sensor.kind].scheme
    return not scheme or urlsplit(sensor.options.url).scheme == scheme


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _lineside() -> list[Path]:
    """Return the folders of this Lineside and of its Python, which may be a link to one elsewhere."""
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]]
    python = Path(sys.executable)
    while python.is_symlink():
        python = python.parent / python.readlink()
        found.append(python.parents[1])
    return [each for each in found if not any(each.is_relative_to(other) for other in found if other != each)]


def _check_readable(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError:  # it is not there yet, or never will be: the agent says so
        return
    if not mode & stat.S_IROTH:
        raise InputError(
            f"The service's own user could not read {file}.",
            hint=f"Run: chmod o+r {file} (a password belongs into agent.env)",
        )


def _structs(value: Any) -> Iterator[Struct]:
    """Give every struct within settings, whatever it is nested in."""
    if isinstance(value, Struct):
        yield value
        value = [getattr(value, name) for name in value.__struct_fields__]
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _structs(each)


def _paths(settings: Settings) -> Iterator[Path]:
    """Give every file that settings name, a program of a sensor's command among them."""
    for struct in _structs(settings):
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Path):
                    yield each.absolute()
                elif isinstance(each, str) and each.startswith("/") and Path(each).is_file():
                    yield Path(each)


def _hidden(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def _unique(values: Iterator[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
