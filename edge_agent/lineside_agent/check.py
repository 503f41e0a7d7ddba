"""Try everything that an agent needs, step by step, before it runs unattended.

    settings -+-> bundle -+-> model
              |           +-> channels
              +-> sensor --'
              +-> state
              '-> broker

A step is skipped if one that it builds on has failed; the others still tell what they find.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent import settings as settings_module
from lineside_agent.admission import admit
from lineside_agent.broker import Will
from lineside_agent.clock import Signal, SystemClock
from lineside_agent.model import Model
from lineside_agent.mqtt import MqttBroker
from lineside_agent.sensors import Block, EndOfReadings, Sensor, open_sensor
from lineside_agent.sensors.sensor import Composed, Subscribed
from lineside_agent.sensors.texts import translate
from lineside_agent.settings import Settings
from lineside_agent.state_folder import attempt
from lineside_agent.windows import select_channels
from lineside_contract.bundle import Bundle
from lineside_contract.categories import UNKNOWN
from lineside_contract.errors import InputError, LinesideError, SensorError
from lineside_contract.topics import Kind, device_topic

_UNSIGNED = "signatures are not asked for (no trusted_keys)"

# From what on the pace of the first readings is taken for the sensor's, and how far it may be off.
_ENOUGH_READINGS = 10
_ENOUGH_SECONDS = 0.05
_PLAINLY = 0.1


class Result(NamedTuple):
    """What came of one step. `detail` is what was found, or what is wrong; `exit_code` 0 unless it failed."""

    step: str
    state: Literal["ok", "failed", "skipped"]
    detail: str
    hint: str = ""
    exit_code: int = 0


class Request(NamedTuple):
    """What to check. `wait_s`: for how long to wait for the sensor's first reading."""

    config: Path
    environment: Mapping[str, str]
    wait_s: float = 10.0
    offline: bool = False


class Found(NamedTuple):
    """What a step gives to the later ones, and tells the person."""

    value: Any
    detail: str


class _Step(NamedTuple):
    name: str
    run: Callable[..., Found]
    needs: tuple[str, ...]
    helped_by: tuple[str, ...] = ()  # what it uses if it is there


class _Reading(NamedTuple):
    channels: tuple[str, ...]
    block: Block


def check(request: Request) -> Iterator[Result]:
    """Do every step and tell each result as soon as it is there."""
    values: dict[str, Any] = {"request": request}
    for step in _STEPS:
        if step.name == "broker" and request.offline:
            yield Result(step.name, "skipped", "not asked, because of --offline")
        elif missing := [need for need in step.needs if need not in values]:
            yield Result(step.name, "skipped", f"needs {' and '.join(missing)}")
        else:
            try:
                found = step.run(*(values.get(each) for each in step.needs + step.helped_by))
            except LinesideError as error:
                yield Result(step.name, "failed", error.message, error.hint, error.exit_code)
            else:
                values[step.name] = found.value
                yield Result(step.name, "ok", found.detail)


def _settings(request: Request) -> Found:
    settings = settings_module.load(request.config, request.environment)
    return Found(settings, f"{request.config}: device {settings.device} at site {settings.site}")


def _bundle(settings: Settings) -> Found:
    admitted = admit(settings)
    manifest = admitted.bundle.manifest
    notes = [
        f"{manifest.name} {manifest.version}: {manifest.task}, {manifest.estimator}",
        f"signed by {', '.join(admitted.signed_by)}" if admitted.signed_by else _UNSIGNED,
    ]
    if admitted.newest:
        notes.append(f"newest that has run here: {admitted.newest}")
    return Found(admitted.bundle, "; ".join(notes))


def _model(settings: Settings, bundle: Bundle) -> Found:
    model = Model.open(bundle, threads=settings.input.threads)
    return Found(model, "gives its golden answers on this device")


def _sensor(request: Request, settings: Settings, bundle: Bundle | None) -> Found:
    name, sensor_settings = next(iter(settings.sensors.items()))
    stop = Signal()
    timer = threading.Timer(request.wait_s, stop.set)
    timer.daemon = True
    timer.start()
    try:
        sensor = open_sensor(sensor_settings.kind, sensor_settings.options, SystemClock(), stop)
        try:
            translate(sensor, bundle.manifest.channels if bundle else (), sensor_settings.channels)
            block = sensor.read()
            while not len(block.timestamps) and not stop.raised:
                block = sensor.read()  # of a sensor that has parts, one may have had news
            failed = _failed_parts(sensor)
        finally:
            sensor.close()
    except EndOfReadings as error:
        raise InputError(f"The sensor {name} has no readings.") from error
    finally:
        timer.cancel()
        timer.join()  # before the signal that it would raise is closed
        stop.close()
    if failed and not len(block.timestamps):
        raise SensorError(failed)
    if not len(block.timestamps):
        silent = sensor.silent() if isinstance(sensor, Subscribed) else ""
        raise SensorError(
            f"The sensor {name} gave no reading within {request.wait_s:g} s"
            + (f": {silent}." if silent else "."),
            hint="Is that spelled right? Else wait longer with --wait."
            if silent
            else "Wait longer with --wait.",
        )
    detail = f"{name} ({sensor_settings.kind}) gives {', '.join(sensor.channels)}"
    return Found(_Reading(sensor.channels, block), f"{detail}; note: {failed}" if failed else detail)


def _failed_parts(sensor: Sensor) -> str:
    """Say what is wrong with the parts that a sensor is made of, or nothing."""
    parts = sensor.counters.items() if isinstance(sensor, Composed) else ()
    return " ".join(f"{name}: {each.detail}" for name, each in parts if each.state == "failed")


def _channels(settings: Settings, bundle: Bundle, reading: _Reading) -> Found:
    channels = bundle.manifest.channels
    renames = next(iter(settings.sensors.values())).channels
    columns = select_channels(reading.channels, [channel.name for channel in channels], renames)
    values = reading.block.values[:, columns]
    if not np.isfinite(values).all(axis=1).any():
        raise SensorError(
            "Every reading holds a NaN or an infinity.",
            hint="Check the sensor's wiring or the recording; such readings are skipped by default.",
        )
    notes = []
    for channel, value in zip(channels, values[-1].tolist(), strict=True):
        low = channel.minimum is not None and value < channel.minimum
        high = channel.maximum is not None and value > channel.maximum
        if channel.categories and value == UNKNOWN:
            notes.append(f"{channel.name} is a text that the model does not know")
        elif low or high:
            notes.append(
                f"{channel.name} is {value:g}, trained on {channel.minimum:g} to {channel.maximum:g}"
            )
    if note := rate_note(bundle.manifest.sampling_rate_hz, reading.block.timestamps):
        notes.append(note)
    detail = f"the model's {len(channels)} are among them"
    return Found(None, detail + ("; note: " + "; ".join(notes) if notes else ""))


def rate_note(sampling_rate_hz: float | None, timestamps: NDArray[np.int64]) -> str:
    """Say by how much a block's readings plainly come faster or slower than the model's, or nothing.

    timestamps: int64 nanoseconds, shape (n,). A few readings, or a burst that had waited, tell nothing.
    """
    if sampling_rate_hz is None or len(timestamps) < _ENOUGH_READINGS:
        return ""
    seconds = float(timestamps[-1] - timestamps[0]) / 1e9
    if seconds < _ENOUGH_SECONDS:
        return ""
    found = (len(timestamps) - 1) / seconds
    if abs(found - sampling_rate_hz) <= _PLAINLY * sampling_rate_hz:
        return ""
    return f"{found:g} readings come in a second, trained on {sampling_rate_hz:g}"


def _state(settings: Settings) -> Found:
    found = attempt(settings.state)
    if found.problem:
        raise InputError(
            f"{found.there} cannot be written to: {found.problem}.",
            hint="Set state to a folder that this user may write to.",
        )
    return Found(None, f"{settings.state} can be written to")


def _broker(settings: Settings) -> Found:
    # Another client id than the agent's, or the broker would put a running agent out. An empty will to a topic
    # of which nothing is retained does no harm if the connection breaks just now.
    will = Will(device_topic(settings.site, settings.device, Kind.HEARTBEAT), b"")
    broker = MqttBroker(settings.broker, f"{settings.device}-check")
    try:
        broker.connect(will, [])
    except LinesideError as error:
        hint = error.hint or "Is it running, and is [broker] url right? `lineside broker` starts one."
        raise type(error)(error.message, hint=hint) from error
    broker.disconnect()
    return Found(None, f"{settings.broker.url} lets this device in")


_STEPS = (
    _Step("settings", _settings, ("request",)),
    _Step("bundle", _bundle, ("settings",)),
    _Step("model", _model, ("settings", "bundle")),
    _Step("sensor", _sensor, ("request", "settings"), helped_by=("bundle",)),
    _Step("channels", _channels, ("settings", "bundle", "sensor")),
    _Step("state", _state, ("settings",)),
    _Step("broker", _broker, ("settings",)),
)
