"""The two first-class brokers, as a user starts them, from the files in broker-config/."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lineside_benchmarks.programs import OTHERS, Failed, Program
from lineside_cli.broker import answers, find_config, nats_server

_START_S = 20.0


class Launch(NamedTuple):
    """How to start a broker: a command, and what to add to its environment."""

    command: list[str]
    env: dict[str, str]


class Broker:
    """A broker whose port and files outlive its process."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / kind
        self.folder.mkdir(parents=True)
        self._launch = _LAUNCHES[kind](self.folder, self.port)
        self._program: Program | None = None

    def start(self) -> None:
        """Start it, with what it had kept, and wait until it answers. Raises Failed."""
        program = Program(self._launch.command, OTHERS, env=self._launch.env, folder=self.folder)
        self._program = program
        deadline = time.monotonic() + _START_S
        while not answers("127.0.0.1", self.port):
            if not program.running or time.monotonic() > deadline:
                raise Failed(f"{self._launch.command[0]} did not start:\n{program.output()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def kill(self) -> None:
        """Stop it as a crash does."""
        if self._program is not None:
            self._program.kill()
            self.stop()


def free_port() -> int:
    """Return a port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _nats(_folder: Path, port: int) -> Launch:
    # NATS reads a value from the environment as it would from its file: quoted, it is text.
    env = {"LINESIDE_MQTT_HOST": '"127.0.0.1"', "LINESIDE_MQTT_PORT": str(port)}
    return Launch([str(nats_server()), "-c", str(find_config())], env)


def _mosquitto(folder: Path, port: int) -> Launch:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Failed(
            "The benchmarks need Mosquitto.", hint="Install it (Debian: sudo apt-get install mosquitto)."
        )
    text = (find_config().parents[1] / "mosquitto" / "plain.conf").read_text()
    text = text.replace("listener 1883 ", f"listener {port} ")
    # Started by root it would become a user who may not enter this folder.
    text += f"\nuser {pwd.getpwuid(os.geteuid()).pw_name}\n"
    (folder / "mosquitto.conf").write_text(text)
    return Launch([program, "-c", str(folder / "mosquitto.conf")], {})


_LAUNCHES: dict[str, Callable[[Path, int], Launch]] = {"nats-server": _nats, "mosquitto": _mosquitto}


@contextlib.contextmanager
def _running(kind: str, folder: Path) -> Iterator[int]:
    broker = Broker(kind, folder)
    try:
        broker.start()
        yield broker.port
    finally:
        broker.stop()


# Each runs a broker with its files in a folder, and gives its port.
BROKERS: dict[str, Callable[[Path], AbstractContextManager[int]]] = {
    kind: partial(_running, kind) for kind in _LAUNCHES
}
