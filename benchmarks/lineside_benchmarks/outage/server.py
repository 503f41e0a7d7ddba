"""The other end of an outage: the broker, and behind it the databases in which every reading should be."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from lineside_benchmarks.brokers import Broker
from lineside_benchmarks.outage.account import Arrival
from lineside_benchmarks.outage.systems import ROWS, SITE, SYSTEMS
from lineside_benchmarks.programs import LINESIDE, OTHERS, PEERS, Program

_LINESIDE_ROWS = (
    "SELECT value, received_ts FROM predictions JOIN boots ON boots.id = boot_id"
    " JOIN devices ON devices.id = device_id WHERE device = ?"
)
_PEERS_ROWS = "SELECT number, received_ms FROM arrivals WHERE program = ?"


class Server:
    """A broker, Lineside's collector, and `peers/store.py` for programs that have none."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.broker = Broker(broker, folder)
        self._lineside = folder / "lineside.sqlite"
        self._peers = folder / "peers.sqlite"
        self._collectors: list[Program] = []

    def start_collectors(self, *, wait: bool) -> None:
        """Start both; with `wait`, return when they are subscribed. Raises Failed."""
        url = f"mqtt://127.0.0.1:{self.broker.port}"
        lineside = [*LINESIDE, "collector", "run", "--broker", url, "--site", SITE, "--id", "c1"]
        peers = [sys.executable, str(PEERS / "store.py"), str(self.broker.port), str(self._peers)]
        for command, word in (
            ([*lineside, "--store", str(self._lineside)], "collector ready"),
            (peers, "store ready"),
        ):
            program = Program(command, OTHERS)
            self._collectors.append(program)
            if wait:
                program.wait_for(word)

    def stop_collectors(self) -> None:
        """Stop both as an operator does."""
        while self._collectors:
            self._collectors.pop().stop()

    def arrivals(self, name: str) -> list[Arrival]:
        """Return a program's rows, in no order."""
        path, sql = (self._lineside, _LINESIDE_ROWS) if SYSTEMS[name].lineside else (self._peers, _PEERS_ROWS)
        if not path.exists():
            return []
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            rows = database.execute(sql, (ROWS[name],)).fetchall()
        except sqlite3.OperationalError:
            return []  # its tables are being made
        finally:
            database.close()
        return [Arrival(round(number), float(at_ms)) for number, at_ms in rows]

    def close(self) -> None:
        """End everything."""
        self.stop_collectors()
        self.broker.stop()
