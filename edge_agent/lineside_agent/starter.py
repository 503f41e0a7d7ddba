"""The first `agent.toml`: complete, commented, and working as it stands."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple

from lineside_agent.sensors.csv_file import NO_TIMESTAMP, CsvFile
from lineside_agent.sensors.examples import EXAMPLES
from lineside_agent.sensors.simulated import CHANNELS
from lineside_agent.settings import BrokerSettings
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

[sensors.main]
{sensor}{channels}"""


class Source(NamedTuple):
    """Where readings come from. `kind` None: whatever can feed the model. `file` is a recording's."""

    kind: str | None = None
    file: Path | None = None


class Answers(NamedTuple):
    """What the person who sets a device up says of it. `bundle` None: the only one beside the file."""

    bundle: Path | None
    sensor: Source
    device: str | None
    site: str
    broker: str


def write(path: Path, answers: Answers, *, force: bool = False) -> str:
    """Write the file whole and return the name of its bundle. Raises InputError, and then writes nothing."""
    if path.exists() and not force:
        raise InputError(f"{path} is already there.", hint="Replace it with --force, or choose another -o.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder.", hint="Make it first, or choose another -o.")
    found = answers.bundle or _only_bundle(path.parent)
    name = PLACEHOLDER if found is None else os.path.relpath(found, path.parent)
    text = render(answers, name, [] if found is None else channels(found))
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error
    return name


def render(answers: Answers, bundle: str, needed: list[str]) -> str:
    """Return the file's text. Raises InputError for a name or URL that cannot be one."""
    kind = answers.sensor.kind or _kind_for(needed)
    if kind not in SENSORS:
        hint = nearest(kind, SENSORS) or f"Known: {', '.join(SENSORS)}."
        raise InputError(f"There is no sensor of kind {kind!r}.", hint=hint)
    try:
        BrokerSettings(url=answers.broker)
    except ValueError as error:
        raise InputError(f"The broker {answers.broker!r} cannot be used: {error}.") from error
    device = answers.device if answers.device is not None else _host()
    return _TEMPLATE.format(
        site=json.dumps(check_name(answers.site, "The site")),
        device=json.dumps(check_name(device, "The device")),
        bundle=json.dumps(bundle, ensure_ascii=False),
        url=json.dumps(answers.broker, ensure_ascii=False),
        sensor=_recording(answers.sensor.file) if kind == "replay" else SENSORS[kind],
        channels=_channels_text(needed),
    )


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
