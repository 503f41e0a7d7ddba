"""What flows, live in the terminal: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lineside_contract.errors import InputError
from lineside_contract.messages import Event, Heartbeat, Prediction, Status, decode
from lineside_contract.topics import ROOT, Kind, parse_device_topic

_TYPES: dict[Kind, Any] = {
    Kind.STATUS: Status,
    Kind.HEARTBEAT: Heartbeat,
    Kind.PREDICTION: Prediction,
    Kind.EVENT: Event,
}
_COLOURS = {"healthy": "green", "online": "green", "stopped": "yellow", "offline": "red"}


class Seen:
    """What one device said last."""

    def __init__(self) -> None:
        self.state = "?"
        self.prediction: Prediction | None = None
        self.heartbeat: Heartbeat | None = None
        self.live = 0

    @property
    def caught_up(self) -> bool:
        """Whether it has sent something again, and nothing waits any more."""
        beat = self.heartbeat
        return beat is not None and beat.replayed > 0 and beat.outbox_messages == 0


class View:
    """Listens to every message of the demo, as any MQTT client could, and shows it."""

    def __init__(self, port: int, devices: tuple[str, ...]) -> None:
        self.console = Console(stderr=False)
        self.devices = {device: Seen() for device in devices}
        self._news: deque[Text] = deque(maxlen=9)
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._headline = ""
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{ROOT}/+/+/+", 0)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show what comes, until the block ends."""
        self._client.loop_start()
        try:
            if self.console.is_terminal:
                with Live(get_renderable=self._render, console=self.console, refresh_per_second=8):
                    yield
            else:
                yield
        finally:
            self._client.loop_stop()

    def say(self, text: str, style: str = "bold") -> None:
        """Tell what the demo does now."""
        self._headline = text
        self._tell(Text(text, style=style))

    def label(self, device: str) -> str | None:
        """Return what the device predicted last."""
        prediction = self.devices[device].prediction
        return None if prediction is None else str(prediction.label)

    def _tell(self, text: Text) -> None:
        line = Text(f"{time.monotonic() - self._began:5.1f} s  ", style="dim").append_text(text)
        with self._lock:
            self._news.append(line)
        if not self.console.is_terminal:
            self.console.print(line, soft_wrap=True)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = parse_device_topic(message.topic)
            said: Any = decode(bytes(message.payload), _TYPES[topic.kind])
        except (ValueError, KeyError, InputError):
            return  # a collector's own words
        seen = self.devices.get(topic.device)
        if seen is None:
            return
        match said:
            case Prediction():
                self._on_prediction(topic.device, seen, said)
            case Heartbeat():
                seen.heartbeat = said
                if not self.console.is_terminal and said.seq % 4 == 0:
                    self._tell(_pulse(topic.device, said))
            case Status() if said.state != seen.state:
                seen.state = said.state
                self._tell(Text(f"{topic.device} is {said.state}", style=_COLOURS[said.state]))
            case Event() if said.event != "model_activated":
                self._tell(Text(f"{topic.device}: {said.event} {said.detail}", style="magenta"))

    def _on_prediction(self, device: str, seen: Seen, said: Prediction) -> None:
        if said.replayed:
            return
        before = None if seen.prediction is None else seen.prediction.label
        seen.live += 1
        seen.prediction = said
        if before != said.label:
            label = str(said.label)
            style = _COLOURS.get(label, "bold red")
            self._tell(Text(f"{device} predicts {label} ({said.probability or 0:.0%})", style=style))

    def _render(self) -> RenderableType:
        table = Table(
            title="Lineside demo: two machines, live over MQTT", title_justify="left", box=SIMPLE_HEAD
        )
        for column in ("device", "state", "predicts"):
            table.add_column(column, no_wrap=True)
        for column in ("prob.", "live", "again", "waiting", "memory", "us"):
            table.add_column(column, justify="right", no_wrap=True)
        for device, seen in self.devices.items():
            table.add_row(device, *_cells(seen))
        with self._lock:
            news = list(self._news)
        return Group(table, *news)


def _cells(seen: Seen) -> list[RenderableType]:
    said, beat = seen.prediction, seen.heartbeat
    label = "" if said is None else str(said.label)
    return [
        Text(seen.state, style=_COLOURS.get(seen.state, "dim")),
        Text(label, style=_COLOURS.get(label, "bold red")),
        "" if said is None or said.probability is None else f"{said.probability:.0%}",
        str(seen.live),
        "" if beat is None else str(beat.replayed),
        "" if beat is None else str(beat.outbox_messages),
        "" if beat is None or beat.memory_bytes is None else f"{beat.memory_bytes / 1e6:.0f} MB",
        "" if beat is None or beat.inference_us is None else f"{beat.inference_us:.0f}",
    ]


def _pulse(device: str, beat: Heartbeat) -> Text:
    memory = 0 if beat.memory_bytes is None else beat.memory_bytes / 1e6
    return Text(
        f"{device} heartbeat {beat.seq}: {beat.predictions} predictions, {beat.outbox_messages} waiting,"
        f" {memory:.0f} MB",
        style="dim",
    )
