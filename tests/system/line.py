"""A whole production line for a test: a device that counts, a broker, a collector, and the accounts of all three."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from processes import LINESIDE, Process, Processes

SITE = "site-1"
DEVICE = "pump-1"  # one of the users of the TLS configurations


def write_recording(path: Path, readings: int, per_second: float) -> Path:
    """Write a recording that counts from 0, to be replayed in real time."""
    step_ms = 1000 / per_second
    rows = (f"{1_700_000_000_000 + round(n * step_ms)},{n}\n" for n in range(readings))
    path.write_text("timestamp,count\n" + "".join(rows))
    return path


class Line:
    """A device and a collector, as processes, in one folder."""

    def __init__(self, folder: Path, processes: Processes, bundle: Path) -> None:
        self.folder = folder
        self.store = folder / "collector.sqlite"
        self.state = folder / "state"
        self._processes = processes
        self._bundle = bundle

    def configure(self, url: str, recording: Path, *, speed: str = "1.0", **settings: Any) -> Path:
        """Write agent.toml; settings are `section__key=value`."""
        tables: dict[str, dict[str, Any]] = {
            "broker": {"url": url, "keepalive_s": 2, "reconnect_min_s": 0.1, "reconnect_max_s": 0.5},
            "delivery": {"resend_after_s": 5.0},
            "heartbeat": {"every_s": 0.5},
        }
        for name, value in settings.items():
            section, key = name.split("__")
            tables.setdefault(section, {})[key] = value
        lines = [f'site = "{SITE}"', f'device = "{DEVICE}"', f'bundle = "{self._bundle}"']
        lines.append(f'state = "{self.state}"')
        for section, table in tables.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        lines += ["[sensors.main]", 'kind = "replay"', f'file = "{recording}"', f"speed = {speed}"]
        path = self.folder / "agent.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def start_collector(self, url: str, *options: str, password: str = "", ready: bool = True) -> Process:
        """Start the collector and wait until it is `ready`: it may already have taken messages before."""
        command = ["collector", "run", "--broker", url, "--site", SITE, "--id", "c1"]
        process = self._processes.lineside(
            *command, "--store", str(self.store), *options, env={"LINESIDE_BROKER_PASSWORD": password}
        )
        if ready:
            process.wait_for("collector ready")
        return process

    def start_agent(self, command: str = "run", *, password: str | None = None) -> Process:
        """Start the agent with the settings written last."""
        secrets = {} if password is None else {"LINESIDE__BROKER__PASSWORD": password}
        return self._processes.lineside(
            "agent", command, "--config", str(self.folder / "agent.toml"), env=secrets
        )

    # What the collector holds.

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def stored(self) -> dict[int, list[tuple[int, int]]]:
        """Return (sequence number, reading) of every stored prediction, in order, by the boot's counter."""
        rows = self._query(
            "SELECT boots.counter, predictions.seq, predictions.value FROM predictions"
            " JOIN boots ON boots.id = predictions.boot_id ORDER BY boots.counter, predictions.seq"
        )
        found: dict[int, list[tuple[int, int]]] = {}
        for counter, seq, value in rows:
            found.setdefault(counter, []).append((seq, round(value)))
        return found

    def wait_for_rows(self, count: int, timeout: float = 30.0) -> None:
        """Wait until so many predictions are stored, which only looking can show."""
        deadline = time.monotonic() + timeout
        while (stored := self.count()) < count:
            assert time.monotonic() < deadline, f"{stored} of {count} predictions after {timeout} s"
            time.sleep(0.02)

    def count(self) -> int:
        return int(self._query("SELECT count(*) FROM predictions")[0][0])

    def device_state(self) -> str | None:
        """Return what the device said of itself last."""
        _, devices = self._ask("devices")
        return devices[0]["state"] if devices else None

    def gaps(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code of `lineside collector gaps` and what it found, boot by boot."""
        return self._ask("gaps")

    def _ask(self, command: str) -> tuple[int, list[dict[str, Any]]]:
        process = self._processes.start(*LINESIDE, "collector", command, "--store", str(self.store), "--json")
        code = process.wait()
        return code, [json.loads(line) for line in process.lines]


def assert_complete(stored: list[tuple[int, int]], readings: int | None = None) -> None:
    """Assert that a boot's predictions are one for each reading, from the first on, in order, none twice.

    Message 0 is the event that tells of the model, so reading n is message n + 1 while no other event is.
    """
    values = [value for _, value in stored]
    assert values == list(range(len(values))), "a reading is missing, repeated or out of order"
    if readings is not None:
        assert len(values) == readings
