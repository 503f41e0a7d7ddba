"""The agent's settings: `agent.toml`, with environment variables on top, as frozen values."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from lineside_agent import sensors
from lineside_agent.sensors.resample import Gap, Method
from lineside_agent.tables import Bytes, Seconds, Source, decode, override, read_toml, text_of, toml_of
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import InputError
from lineside_contract.messages import Promise
from lineside_contract.topics import check_name

Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
NonFinite: TypeAlias = Literal["skip", "pass"]

_DURABILITY_S = {"reading": 0.0, "100ms": 0.1, "1s": 1.0}


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """How to reach the broker. Raises ValueError for a URL that is none, or a certificate without its key."""

    url: str = "mqtt://localhost:1883"
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=1, le=65535)] = 15
    connect_timeout_s: Seconds = 5.0
    reconnect_min_s: Seconds = 0.5
    reconnect_max_s: Seconds = 30.0

    def __post_init__(self) -> None:
        try:
            BrokerAddress.parse(self.url)
        except InputError as error:
            # msgspec adds the setting's place to a ValueError.
            raise ValueError(str(error).rstrip(".")) from error
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        if self.password and not self.username:
            raise ValueError("password needs username")
        if self.reconnect_max_s < self.reconnect_min_s:
            raise ValueError("reconnect_max_s is less than reconnect_min_s")

    def __repr__(self) -> str:
        """Show the address and nothing secret."""
        return f"BrokerSettings(url={self.url!r}, username={self.username!r})"

    @property
    def address(self) -> BrokerAddress:
        """Where the broker is, and whether the connection is encrypted."""
        return BrokerAddress.parse(self.url)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what an encrypted connection needs, or None for a plain one.

        Raises InputError if a certificate or key cannot be read.
        """
        if not self.address.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(file) for file in (self.ca_file, self.cert_file, self.key_file) if file)
            raise InputError(
                f"TLS cannot be set up with {files}: {error}.",
                hint="The files must be readable by the agent's user, in PEM format, the key without a passphrase.",
            ) from error
        return context


class DeliverySettings(Struct, frozen=True, kw_only=True):
    """Who must have acknowledged a message before it leaves the outbox, and the bounds of waiting for it."""

    promise: Promise = "collector"
    messages: Literal["single", "columns"] = "single"
    durability: Literal["reading", "100ms", "1s"] = "100ms"
    outbox_bytes: Bytes = 256 * 1024 * 1024
    memory_bytes: Bytes = 8_000_000
    in_flight: Annotated[int, Meta(ge=1, le=65000)] = 128
    replay_per_s: Count = 2000
    resend_after_s: Seconds = 60.0

    @property
    def durability_s(self) -> float:
        """How long after a reading its prediction is on disk at the latest; 0 before it is published."""
        return _DURABILITY_S[self.durability]


class HeartbeatSettings(Struct, frozen=True, kw_only=True):
    """How often the device tells its health."""

    every_s: Seconds = 10.0


class InputSettings(Struct, frozen=True, kw_only=True):
    """What happens to readings before the model; `threads` are onnxruntime's."""

    non_finite: NonFinite = "skip"
    threads: Annotated[int, Meta(ge=1, le=256)] = 1


class SensorSettings(Struct, frozen=True, kw_only=True):
    """One sensor: `options` is its kind's own struct, `channels` renames its columns to the model's.

    `method` is how its values are found at the times of a [join].
    """

    kind: str
    channels: dict[str, str] = {}
    method: Method = "previous"
    options: Any = None


class JoinSettings(Struct, frozen=True, kw_only=True):
    """How several sensors become one: rows `rate_hz` times a second, of whole periods since the epoch.

    A sensor counts for `max_gap_s` after a reading (linear: two readings at most so far apart). After that `gap`
    says what becomes of the rows: "drop" gives none, "hold" the last value, "missing" NaN. A row waits for a sensor
    that is late for `wait_s`, for a linear one `max_gap_s`.
    """

    rate_hz: Annotated[float, Meta(gt=0, le=10_000)]
    max_gap_s: Seconds
    gap: Gap = "drop"
    wait_s: Annotated[float, Meta(ge=0, le=86400)] = 0.2


class JoinedSensors(Struct, frozen=True, kw_only=True):
    """What a sensor of several is made of: the options of the one sensor that they are to the agent."""

    rules: JoinSettings
    parts: dict[str, SensorSettings]


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that an agent is told. Paths are absolute, or relative to the working folder.

    With `trusted_keys` (public keys), only a bundle that one of them signed may run. `allow_downgrade`: also a
    version of a model that is older than the newest one that has run.
    """

    site: str = "site-1"
    device: str
    bundle: Path
    state: Path = Path("state")
    trusted_keys: tuple[Path, ...] = ()
    allow_downgrade: bool = False
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    delivery: DeliverySettings = DeliverySettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    input: InputSettings = InputSettings()
    sensors: dict[str, SensorSettings] = {}


def load(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read settings from a file and LINESIDE__SECTION__KEY variables, which win. Raises InputError.

    Relative paths are taken from the file's folder.
    """
    table = read_toml(path)
    source = Source(path, override(table, environment))
    sensor_tables, join_table = table.pop("sensors", {}), table.pop("join", None)
    settings = decode(Settings, table, source)
    check_name(settings.site, f"{source.place('site')}: the site")
    check_name(settings.device, f"{source.place('device')}: the device")
    found = replace(settings, sensors=_sensors(sensor_tables, join_table, source))
    resolved: Settings = _resolved(found, path.absolute().parent)
    return resolved


def _sensors(tables: Any, join: Any, source: Source) -> dict[str, SensorSettings]:
    if not isinstance(tables, dict) or not tables:
        raise InputError(
            f"{source.file} has 0 sensors.",
            hint='Write a section [sensors.main] with a line such as kind = "simulated".',
        )
    if len(tables) > 1 and join is None:
        raise InputError(
            f"{source.file} has {len(tables)} sensors; an agent has exactly one, unless it joins several.",
            hint="Write a section [join] that says how they become one, such as rate_hz = 10, max_gap_s = 1.",
        )
    found = {name: _sensor(table, source, f"sensors.{name}") for name, table in tables.items()}
    if join is None:
        if "method" in next(iter(tables.values())):
            raise InputError(f"{source.place(f'sensors.{next(iter(found))}.method')} needs a section [join].")
        return found
    joined = JoinedSensors(rules=decode(JoinSettings, join, source, "join"), parts=found)
    return {sensors.JOIN: SensorSettings(kind=sensors.JOIN, options=joined)}


def _sensor(table: Any, source: Source, path: str) -> SensorSettings:
    if not isinstance(table, dict):
        raise InputError(f"{source.place(path)} must be a section, not {type(toml_of(table)).__name__}.")
    if "kind" not in table:
        raise InputError(f"{source.file} lacks kind in [{path}].", hint=f"Known: {', '.join(sensors.KINDS)}.")
    own = dict(table)
    kind = text_of(own.pop("kind"))
    head = {"kind": kind, "channels": toml_of(own.pop("channels", {}))}
    if "method" in own:
        head["method"] = own.pop("method")
    settings = decode(SensorSettings, head, source, path)
    return replace(settings, options=decode(sensors.settings_type(kind), own, source, path))


def _resolved(settings: Any, folder: Path) -> Any:
    """Return a struct with every relative path in it, and in the structs within, taken from `folder`."""
    changes = {name: _absolute(getattr(settings, name), folder) for name in settings.__struct_fields__}
    return replace(settings, **changes)


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, Struct):
        return _resolved(value, folder)
    if isinstance(value, dict):
        return {key: _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_absolute(item, folder) for item in value)
    return value
