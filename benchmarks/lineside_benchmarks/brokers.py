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
from pathlib import Path

from lineside_benchmarks.programs import LINESIDE, OTHERS, Failed, running
from lineside_cli.broker import answers, find_config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[int]:
    """Run `lineside broker` and give its port."""
    port = _free_port()
    command = [*LINESIDE, "broker", "--port", str(port), "--state", str(folder / "nats")]
    with running(command, OTHERS) as broker:
        broker.wait_for("broker ready")
        yield port


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Run Mosquitto with broker-config/mosquitto/plain.conf and give its port."""
    port = _free_port()
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Failed(
            "The benchmarks need the Mosquitto broker.",
            hint="Install it (Debian: sudo apt-get install mosquitto).",
        )
    files = folder / "mosquitto"
    files.mkdir(parents=True)
    text = (find_config().parents[1] / "mosquitto" / "plain.conf").read_text()
    text = text.replace("listener 1883 ", f"listener {port} ")
    text = text.replace("persistence_location ./\n", f"persistence_location {files}/\n")
    # Started by root it would become a user who may not enter this folder.
    text += f"\nuser {pwd.getpwuid(os.geteuid()).pw_name}\n"
    (files / "mosquitto.conf").write_text(text)
    with running([program, "-c", str(files / "mosquitto.conf")], OTHERS) as broker:
        deadline = time.monotonic() + 20
        while not answers("127.0.0.1", port):
            if not broker.running or time.monotonic() > deadline:
                raise Failed(f"mosquitto did not start:\n{broker.output()}")
            time.sleep(0.02)
        yield port


BROKERS: dict[str, Callable[[Path], AbstractContextManager[int]]] = {
    "nats-server": nats,
    "mosquitto": mosquitto,
}
