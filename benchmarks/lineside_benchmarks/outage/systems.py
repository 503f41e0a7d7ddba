"""What is put through an outage: Lineside, and what a user would write or install instead."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.peers import nodered, thingsboard
from lineside_benchmarks.peers.install import installed
from lineside_benchmarks.programs import LINESIDE, PEERS

SITE = "outage"


class Place(NamedTuple):
    """Where a program runs: its configuration, its disk, its sensor's pipe, the model, the broker as it sees it."""

    folder: Path
    disk: Path
    pipe: Path
    models: Path
    host: str
    port: int


class Launch(NamedTuple):
    """How to start it, and what to add to its environment."""

    command: list[str]
    env: Mapping[str, str] = {}


class System(NamedTuple):
    """A program to be put through it. `peer`: the name of what must be installed for it, if anything."""

    about: str
    launch: Callable[[Place], Launch]
    lineside: bool = False
    peer: str = ""

    def missing(self) -> str:
        """Return why it cannot run here, or nothing."""
        if not self.peer or installed(self.peer):
            return ""
        return f"{self.peer} is not installed: `lineside bench peers install`"


def _agent(device: str, promise: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        config = place.folder / "agent.toml"
        config.write_text(
            f'site = "{SITE}"\ndevice = "{device}"\nstate = {json.dumps(str(place.disk / "state"))}\n'
            f"bundle = {json.dumps(str(place.models / 'counter.bundle.zip'))}\n"
            f'[broker]\nurl = "mqtt://{place.host}:{place.port}"\n'
            f'[delivery]\npromise = "{promise}"\n'
            '[sensors.main]\nkind = "stdin"\nformat = "json"\n'
        )
        return Launch([*LINESIDE, "agent", "run", "--config", str(config)])

    return launch


def _script(name: str, topic: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        arguments = [
            str(place.models / "counter.onnx"),
            place.host,
            str(place.port),
            f"{SITE}/{topic}/reading",
        ]
        return Launch([sys.executable, str(PEERS / f"{name}.py"), *arguments])

    return launch


def _nodered(place: Place) -> Launch:
    topic = f"{SITE}/node-red/reading"
    return Launch(nodered.prepare(place.disk / "node-red", place.pipe, (place.host, place.port), topic))


def _thingsboard(place: Place) -> Launch:
    return Launch(*thingsboard.prepare(place.disk / "thingsboard", (place.host, place.port)))


SYSTEMS = {
    "lineside, collector": System(
        '`promise = "collector"`, as `lineside agent init` writes it',
        _agent("pump-1", "collector"),
        lineside=True,
    ),
    "lineside, broker": System('`promise = "broker"`', _agent("pump-2", "broker"), lineside=True),
    "hand-written": System(
        "a hand-written loop (`peers/in_memory.py`): publishes and goes on, paho-mqtt keeps in memory what is not"
        " acknowledged",
        _script("in_memory", "hand-written"),
    ),
    "tutorial script": System(
        "what tutorials teach (`peers/naive.py`): publish, wait until it is published, next",
        _script("naive", "tutorial"),
    ),
    "ThingsBoard Gateway": System(
        "ThingsBoard IoT Gateway with SQLite storage and no rate limits (readings: there is no model in it)",
        _thingsboard,
        peer="thingsboard-gateway",
    ),
    "Node-RED": System(
        "Node-RED with a persistent `queue-gate` before its MQTT node, opened and closed by that node's status"
        " (readings: there is no model in it)",
        _nodered,
        peer="node-red",
    ),
}
# The name under which each one's rows are found in the database behind the broker.
ROWS = {
    "lineside, collector": "pump-1",
    "lineside, broker": "pump-2",
    "hand-written": "hand-written",
    "tutorial script": "tutorial",
    "ThingsBoard Gateway": thingsboard.DEVICE,
    "Node-RED": "node-red",
}
