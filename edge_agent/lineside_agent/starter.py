"""The first `agent.toml`: complete, commented, and working as it stands."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any, NamedTuple

from lineside_agent.sensors.csv_file import NO_TIMESTAMP, CsvFile
from lineside_agent.sensors.examples import EXAMPLES
from lineside_agent.sensors.simulated import CHANNELS
from lineside_agent.settings import BrokerSettings
from lineside_agent.settings_text import change, table_of
from lineside_contract.bundle import SUFFIX, Bundle
from lineside_contract.errors import InputError, nearest
from lineside_contract.files import write_whole
from lineside_contract.topics import check_name

_TIMES = ("timestamp", "datetime", "time", "ts")  # how a column of times is usually called
PLACEHOLDER = f"model-1.0.0{SUFFIX}"

SENSORS = {
    "simulated": """\
kind = "simulated"         # a simulated motor with bearings; `lineside sensor list` shows the other kinds
output = "indicators"      # one reading every interval_s; "waveform" gives every sample
interval_s = 1.0
speed = 1.0                # 1.0 is real time, "fast" does not wait
# faults = [{ kind = "bearing_outer", severity = 0.5, from_s = 60 }]
# control_file = "fault.toml"      # write fault = "imbalance" into it, and the machine has one
""",
    "replay": """\
kind = "replay"            # a CSV file (.csv, .csv.gz); `lineside sensor list` shows the other kinds
file = {file}
timestamp = {timestamp}    # its column of times; "none" if it has none
{interval}speed = 1.0                # 1.0 is as it was recorded, "fast" does not wait
loop = false
restamp = false            # true: give readings the present time
""",
    "stdin": """\
kind = "stdin"             # lines of CSV or JSON: your-program | lineside agent run
format = "auto"            # or "csv", "json"
timestamp = "timestamp"    # readings without it get the present time
""",
    **EXAMPLES,
}

_TEMPLATE = """\
# What this device runs. docs/guides/agent.md explains every setting. A setting behind "# " is off or a default.
# An environment variable wins over a setting: LINESIDE__BROKER__PASSWORD, LINESIDE__DEVICE, ...
# Paths are relative to this file.

site = {site}
device = {device}    # also the MQTT client id: give each device its own
bundle = {bundle}
state = "state"    # where predictions wait for delivery; keep it on a disk that survives a restart
# trusted_keys = []        # ["ops.pub"]: run only bundles that one of these keys signed
# allow_downgrade = false  # true: also a version older than the newest that has run here

[broker]
url = {url}    # mqtts:// for TLS
# username = ""            # the password is safest in LINESIDE__BROKER__PASSWORD
# ca_file = ""             # who signed the broker's certificate; by default whoever the system trusts

[delivery]
# promise = "collector"    # keep each message until a collector has committed it; "broker": until the broker took it
# messages = "single"      # "columns": many predictions in one message, for high rates
# durability = "100ms"     # how long after a reading its prediction is on disk at the latest; "reading", "1s"
# outbox_bytes = "256MiB"  # what may wait on disk; past it the oldest go first

[heartbeat]
# every_s = 10

[input]
# non_finite = "skip"      # readings with NaN or infinity; "pass" gives them to the model

{sensor}"""


class Source(NamedTuple):
    """Where readings come from. `kind` None: whatever can feed the model. `file` is a recording's."""

    kind: str | None = None
    file: Path | None = None


class Answers(NamedTuple):
    """What the person who sets a device up says of it; None is what they do not say.

    Without a `bundle` it is the only one beside the file.
    """

    bundle: Path | None
    sensor: Source
    device: str | None
    site: str | None = None
    broker: str | None = None


class Written(NamedTuple):
    """The file's bundle, and the kind of sensor if nobody chose it. `old` is where the file before it was saved.

    `kept`: what the person did not say is as it was there. `written` is False if nothing was to be changed.
    """

    bundle: str
    chosen: str | None = None
    old: Path | None = None
    kept: bool = False
    written: bool = True


def write(path: Path, answers: Answers, *, force: bool = False) -> Written:
    """Write the file whole. Raises InputError, and then writes nothing."""
    if path.exists() and not force:
        raise InputError(
            f"{path} is already there.",
            hint="Change it with --force and what is to change, or choose another -o.",
        )
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder.", hint="Make it first, or choose another -o.")
    if not path.exists():
        text, written = _new(path, answers)
        _save(path, text)
        return written
    before = _read(path)
    table = table_of(before)
    text, written = _new(path, answers) if table is None else _changed(path, answers, before, table)
    if text == before:
        return written._replace(written=False)
    old = path.with_name(f"{path.name}.bak")
    mode = stat.S_IMODE(path.stat().st_mode)  # it may hold a password
    _save(old, before, mode)
    _save(path, text, mode)
    return written._replace(old=old)


def render(answers: Answers, bundle: str, needed: list[str]) -> str:
    """Return the file's text. Raises InputError for a name or URL that cannot be one."""
    named = answers._replace(
        device=_host() if answers.device is None else answers.device,
        site="site-1" if answers.site is None else answers.site,
        broker=BrokerSettings().url if answers.broker is None else answers.broker,
    )
    strings = _strings(named)
    return _TEMPLATE.format(
        site=strings["site"],
        device=strings["device"],
        bundle=json.dumps(bundle, ensure_ascii=False),
        url=strings["broker.url"],
        sensor=_section(answers.sensor, needed),
    )


def _new(path: Path, answers: Answers) -> tuple[str, Written]:
    found = answers.bundle or _only_bundle(path.parent)
    name = PLACEHOLDER if found is None else os.path.relpath(found, path.parent)
    needed = [] if found is None else channels(found)
    chosen = None if answers.sensor.kind else _kind_for(needed)
    return render(answers, name, needed), Written(name, chosen)


def _changed(path: Path, answers: Answers, before: str, table: dict[str, Any]) -> tuple[str, Written]:
    """Return the text that is there with what the person says."""
    strings = _strings(answers)
    name = table.get("bundle")
    if answers.bundle is not None or not isinstance(name, str):
        found = answers.bundle or _only_bundle(path.parent)
        name = PLACEHOLDER if found is None else os.path.relpath(found, path.parent)
        strings["bundle"] = json.dumps(name, ensure_ascii=False)
    bundle = path.parent / Path(name).expanduser()
    needed = channels(bundle) if bundle.exists() or answers.bundle else []
    section = _section(answers.sensor, needed) if answers.sensor.kind else ""
    return change(before, strings, section), Written(name, kept=True)


def _strings(answers: Answers) -> dict[str, str]:
    """Return what is said of device, site and broker, as TOML by its path. Raises InputError."""
    strings = {}
    if answers.site is not None:
        strings["site"] = json.dumps(check_name(answers.site, "The site"))
    if answers.device is not None:
        strings["device"] = json.dumps(check_name(answers.device, "The device"))
    if answers.broker is not None:
        try:
            BrokerSettings(url=answers.broker)
        except ValueError as error:
            raise InputError(f"The broker {answers.broker!r} cannot be used: {error}.") from error
        strings["broker.url"] = json.dumps(answers.broker, ensure_ascii=False)
    return strings


def _section(source: Source, needed: list[str]) -> str:
    """Return the section of a sensor. Raises InputError for a kind that there is not."""
    kind = source.kind or _kind_for(needed)
    if kind not in SENSORS:
        hint = nearest(kind, SENSORS) or f"Known: {', '.join(SENSORS)}."
        raise InputError(f"There is no sensor of kind {kind!r}.", hint=hint)
    options = _recording(source.file) if kind == "replay" else SENSORS[kind]
    return f"[sensors.main]\n{options}{_channels_text(needed)}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _save(path: Path, text: str, mode: int = 0o644) -> None:
    try:
        write_whole(path, text.encode(errors="surrogateescape"), mode=mode)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def _kind_for(channels: list[str]) -> str:
    """Return the kind of sensor that can feed a model without more being said."""
    simulated = {channel for names in CHANNELS.values() for channel in names}
    return "simulated" if simulated.issuperset(channels) else "stdin"


def _recording(file: Path | None) -> str:
    """Return the section of a replayed file. Raises InputError if the file cannot be read."""
    if file is None:
        name, time = "readings.csv", _TIMES[0]
    else:
        header = CsvFile(file, "auto", NO_TIMESTAMP, []).header
        name, time = str(file.absolute()), next((name for name in _TIMES if name in header), NO_TIMESTAMP)
    interval = "interval_s = 1.0           # the time from one row to the next\n"
    return SENSORS["replay"].format(
        file=json.dumps(name, ensure_ascii=False),
        timestamp=json.dumps(time),
        interval=interval if time == NO_TIMESTAMP else "",
    )


def _only_bundle(folder: Path) -> Path | None:
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) > 1:
        raise InputError(
            f"{folder} holds {len(found)} bundles: {', '.join(path.name for path in found)}.",
            hint="Choose one with --bundle.",
        )
    return found[0] if found else None


def channels(bundle: Path) -> list[str]:
    """Return the names of the channels that a bundle's model needs. Raises BundleError."""
    return [channel.name for channel in Bundle.open(bundle).manifest.channels]


def _channels_text(channels: list[str]) -> str:
    needed = f"# The model needs: {', '.join(channels)}\n" if channels else ""
    example = json.dumps(channels[0] if channels else "model channel", ensure_ascii=False)
    return f'{needed}# channels = {{ "sensor column" = {example} }}   # where the names differ\n'


def _host() -> str:
    """Return this machine's name as far as it can be part of a topic."""
    name = socket.gethostname().partition(".")[0]
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-")[
        :64
    ]
