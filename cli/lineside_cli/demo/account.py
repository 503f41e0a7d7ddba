"""The demo's last word: what the devices say they sent against what the collector holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lineside_collector.queries import open_store


class Account(NamedTuple):
    """One device. `sent` is how many messages it numbered, as its clean stop said."""

    device: str
    sent: int
    stored: int
    ids: int
    late: int
    ignored: int

    @property
    def lost(self) -> int:
        """How many were sent and are not stored."""
        return self.sent - self.ids

    @property
    def repeated(self) -> int:
        """How many are stored more than once."""
        return self.stored - self.ids


_QUERY = """
WITH messages AS (
  SELECT boot_id, seq, replayed FROM predictions UNION ALL SELECT boot_id, seq, replayed FROM events
)
SELECT
  devices.device,
  (SELECT sum(numbered) FROM boots WHERE boots.device_id = devices.id),
  count(*),
  count(DISTINCT messages.boot_id || ':' || messages.seq),
  sum(messages.replayed),
  devices.repeated
FROM messages JOIN boots ON boots.id = messages.boot_id JOIN devices ON devices.id = boots.device_id
GROUP BY devices.id ORDER BY devices.device
"""


_ABOUT_REPEATS = "Ignored repeats were sent again to be safe; known by their numbers, they are stored once."


def accounts(store: Path) -> list[Account]:
    """Return each device's account. Raises InputError if there is no store."""
    database = open_store(store)
    try:
        return [Account(*row) for row in database.execute(_QUERY)]
    finally:
        database.close()


def settled(store: Path, devices: tuple[str, ...]) -> bool:
    """Tell whether every device has stopped and nothing that it sent is still on its way."""
    database: sqlite3.Connection = open_store(store)
    try:
        states = dict(
            database.execute(
                "SELECT device, state FROM devices JOIN statuses ON statuses.device_id = devices.id"
            ).fetchall()
        )
    finally:
        database.close()
    stopped = all(states.get(device) == "stopped" for device in devices)
    return stopped and all(account.lost == 0 for account in accounts(store))


def show(console: Console, found: list[Account]) -> None:
    """Print the table of accounts."""
    table = Table(title="Sent by the devices, stored by the collector", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("device")
    for column in ("sent", "stored", "lost", "repeated", "sent late", "ignored repeats"):
        table.add_column(column, justify="right")
    for account in found:
        table.add_row(
            account.device,
            str(account.sent),
            str(account.stored),
            _should_be_0(account.lost),
            _should_be_0(account.repeated),
            str(account.late),
            str(account.ignored),
        )
    console.print(table)
    if any(account.ignored for account in found):
        console.print(_ABOUT_REPEATS, style="dim")


def _should_be_0(count: int) -> str:
    return f"[green]{count}[/]" if count == 0 else f"[bold red]{count}[/]"
