"""The store's short numbers for devices, boots and models, which every row carries instead of their names."""

from __future__ import annotations

import sqlite3

import msgspec

from lineside_contract.ids import Boot
from lineside_contract.messages import Predictions


class Registry:
    """Finds or makes the rows of devices, boots and models. Part of the caller's transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._devices: dict[str, int] = {}
        self._boots: dict[tuple[int, str], int] = {}
        self._models: dict[tuple[int, str, str, str], int] = {}

    def forget(self) -> None:
        """Forget every number: the transaction that made some of them was rolled back."""
        self._devices.clear()
        self._boots.clear()
        self._models.clear()

    def device(self, name: str, now: int) -> int:
        """Return a device's id."""
        if name not in self._devices:
            self._devices[name] = self._find_or_make(
                "SELECT id FROM devices WHERE device = ?",
                (name,),
                "INSERT INTO devices (device, first_seen, last_seen) VALUES (?, ?, ?)",
                (name, now, now),
            )
        return self._devices[name]

    def boot(self, device_id: int, boot: Boot, text: str, now: int) -> int:
        """Return a boot's id. `text` is the boot as the device writes it."""
        key = (device_id, text)
        if key not in self._boots:
            self._boots[key] = self._find_or_make(
                "SELECT id FROM boots WHERE device_id = ? AND boot = ?",
                key,
                "INSERT INTO boots (device_id, boot, lineage, counter, generation, first_seen)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (*key, boot.lineage, boot.counter, self._generation(device_id, boot.lineage), now),
            )
        return self._boots[key]

    def model(self, device_id: int, message: Predictions) -> int:
        """Return the id of a device's model with the columns that this message has."""
        key = (device_id, message.model, message.model_version, columns(message))
        if key not in self._models:
            self._models[key] = self._find_or_make(
                "SELECT id FROM models WHERE device_id = ? AND model = ? AND model_version = ? AND columns = ?",
                key,
                "INSERT INTO models (device_id, model, model_version, columns) VALUES (?, ?, ?, ?)",
                key,
            )
        return self._models[key]

    def _generation(self, device_id: int, lineage: str) -> int:
        """Return the lineage's place among the device's lineages, in the order in which they were first seen."""
        known, newest = self._database.execute(
            "SELECT max(generation) FILTER (WHERE lineage = ?), max(generation) FROM boots WHERE device_id = ?",
            (lineage, device_id),
        ).fetchone()
        return int(known or (newest or 0) + 1)

    def _find_or_make(self, find: str, key: tuple[object, ...], make: str, row: tuple[object, ...]) -> int:
        found = self._database.execute(find, key).fetchone()
        if found is not None:
            return int(found[0])
        made = self._database.execute(make, row).lastrowid
        assert made is not None
        return made


def columns(message: Predictions) -> str:
    """Return the JSON that says which columns a message's answers have, and of which type its labels are."""
    kinds = {type(label) for label in message.label or () if label is not None}
    named = {
        "probabilities": list(message.probabilities or ()),
        "values": list(message.values or ()),
        "scores": list(message.scores or ()),
    }
    label = "+".join(sorted(kind.__name__ for kind in kinds))
    shape = {"label": label, **named} if label else named
    return msgspec.json.encode({name: value for name, value in shape.items() if value}).decode()
