"""MQTT topics: `lineside/v1/{site}/{device}/{kind}`, and what the collectors say of themselves."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from lineside_contract.errors import InputError

ROOT = "lineside/v1"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}\Z")
# These stand where a device's name stands in a topic.
_RESERVED = {"collectors", "models"}


class Kind(StrEnum):
    """The last level of a device's topic."""

    STATUS = "status"
    HEARTBEAT = "heartbeat"
    PREDICTION = "prediction"
    PREDICTIONS = "predictions"
    EVENT = "event"
    ACK = "ack"


class DeviceTopic(NamedTuple):
    """A device's topic, taken apart."""

    site: str
    device: str
    kind: Kind


def check_name(name: str, what: str) -> str:
    """Return `name` if it can be a level of a topic on every broker.

    Raises InputError otherwise: MQTT wildcards and separators would change the topic's meaning, and a
    dot is NATS's own separator.
    """
    if not _NAME.match(name) or name in _RESERVED:
        raise InputError(
            f"{what} {name!r} cannot be part of a topic.",
            hint="Use 1 to 64 letters, digits, dashes and underscores, beginning with a letter or a digit"
            + (f"; {name!r} is reserved." if name in _RESERVED else "."),
        )
    return name


def device_topic(site: str, device: str, kind: Kind) -> str:
    """Return the topic of one kind of message of one device; `+` may stand for site or device."""
    return f"{ROOT}/{site}/{device}/{kind}"


def parse_device_topic(topic: str) -> DeviceTopic:
    """Take a device's topic apart. Raises ValueError for any other topic."""
    levels = topic.split("/")
    if len(levels) != 5 or "/".join(levels[:2]) != ROOT:
        raise ValueError(f"{topic!r} is not a device's topic")
    return DeviceTopic(levels[2], levels[3], Kind(levels[4]))


def collector_status_topic(site: str, collector: str) -> str:
    """Return the topic of a collector's retained status; `+` may stand for the collector."""
    return f"{ROOT}/{site}/collectors/{collector}/status"
