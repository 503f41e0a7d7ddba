"""The demo's processes: a broker, a collector and two agents, each as a user would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from lineside_cli.broker import check_free, die_with_parent
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import LinesideError

SITE = "demo"
DEVICES = ("machine-1", "machine-2")
_START_S = 30.0
_STOP_S = 15.0


class Service(NamedTuple):
    """A running process, and its log from where it began."""

    process: subprocess.Popen[bytes]
    log: Path
    begin: int


class Plant:
    """Starts and stops the processes, in one folder and on one port."""

    def __init__(self, folder: Path, port: int | None) -> None:
        """Choose a port: MQTT's own or a free one unless it is given. Raises InputError if that is in use."""
        self.folder = folder
        self.port = port if port is not None else _port()
        check_free(BrokerAddress("127.0.0.1", self.port, tls=False))
        self.store = folder / "collector.sqlite"
        self._services: dict[str, Service] = {}

    @property
    def url(self) -> str:
        """Where the broker listens."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start_broker(self) -> None:
        """Start the embedded broker and wait until it answers. Raises LinesideError if it does not."""
        self._start("broker", "broker", "--port", str(self.port), "--state", str(self.folder / "broker"))
        # Its own word, and not whoever else may answer at that port: another demo's agents would listen to us.
        self._await("broker", "broker ready")

    def kill_broker(self) -> None:
        """Kill the broker as a power cut would."""
        service = self._services.pop("broker")
        service.process.kill()
        service.process.wait()

    def start_collector(self) -> None:
        """Start the collector and wait until it listens. Raises LinesideError if it does not."""
        self._start(
            "collector", "collector", "run", "--broker", self.url, "--site", SITE, "--store", str(self.store)
        )
        self._await("collector", "collector ready")

    def start_agent(self, device: str, bundle: Path, seed: int) -> None:
        """Start an agent on a simulated machine."""
        path = self.folder / f"{device}.toml"
        path.write_text(
            f'site = "{SITE}"\ndevice = "{device}"\nbundle = "{bundle}"\nstate = "{device}-state"\n\n'
            f'[broker]\nurl = "{self.url}"\nreconnect_max_s = 2\n\n'
            f"[heartbeat]\nevery_s = 2\n\n"
            f'[sensors.vibration]\nkind = "simulated"\ninterval_s = 0.2\nseed = {seed}\n'
            f'control_file = "{device}-fault.toml"\n'
        )
        self._start(device, "agent", "run", "--config", str(path))

    def set_fault(self, device: str, fault: str | None) -> None:
        """Give a machine a fault, or mend it."""
        path = self.folder / f"{device}-fault.toml"
        if fault is None:
            path.unlink(missing_ok=True)
        else:
            part = path.with_suffix(".part")
            part.write_text(f'fault = "{fault}"\nseverity = 0.9\n')
            part.replace(path)

    def failed(self) -> str | None:
        """Return the last words of a process that has ended by itself, or None."""
        for name, service in self._services.items():
            if service.process.poll() is not None:
                return f"{name} ended: {_last_line(service.log)}"
        return None

    def stop(self, name: str) -> None:
        """Stop a process cleanly."""
        service = self._services.pop(name)
        service.process.send_signal(signal.SIGTERM)
        try:
            service.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            service.process.kill()
            service.process.wait()

    def close(self) -> None:
        """Stop whatever runs: the agents first, the broker last."""
        for name in reversed(list(self._services)):
            self.stop(name)

    def _start(self, name: str, *arguments: str) -> None:
        log = self.folder / f"{name}.log"
        begin = len(log.read_text(errors="replace")) if log.exists() else 0
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lineside_cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C is for the demo, which then stops them in order.
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only calls prctl
            )
        self._services[name] = Service(process, log, begin)

    def _await(self, name: str, word: str) -> None:
        service = self._services[name]
        deadline = time.monotonic() + _START_S
        while word not in service.log.read_text(errors="replace")[service.begin :]:
            if service.process.poll() is not None or time.monotonic() > deadline:
                raise LinesideError(f"The {name} did not start: {_last_line(service.log)}")
            time.sleep(0.05)


def _port() -> int:
    """Return MQTT's own port if nobody has it, or a free one."""
    for port in (1883, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LinesideError("There is no free port.")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("lineside: ") if lines else "it said nothing."
