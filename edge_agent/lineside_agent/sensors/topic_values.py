"""From MQTT messages to readings: which topics feed which channel, and where the number stands. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from lineside_agent.clock import Clock
from lineside_contract.numbers import as_number

_KEY = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Value(Struct, frozen=True, kw_only=True):
    """A channel: the topics that bring it, with the wildcards + and #, and where in a JSON payload it is.

    `path` is keys and indexes, such as "data.temperatures[0]"; without it the payload is the number. Raises
    ValueError for a topic or path that is none.
    """

    topic: str
    path: str = ""

    def __post_init__(self) -> None:
        levels = self.topic.split("/")
        wrong = any(("+" in each or "#" in each) and len(each) > 1 for each in levels) or "#" in levels[:-1]
        if not self.topic or wrong or "\0" in self.topic:
            raise ValueError(
                f"{self.topic!r} is no topic: + and # stand alone between slashes, # only at the end"
            )
        keys(self.path)


class _Wanted(NamedTuple):
    column: int
    keys: tuple[str | int, ...]


class Gather:
    """Makes readings of messages."""

    def __init__(self, values: Mapping[str, Value], each: bool, max_age_s: float, clock: Clock) -> None:
        """`each`: every message makes a reading, the other values kept for `max_age_s`; else one needs all anew."""
        self._plain: dict[str, list[_Wanted]] = {}
        self._wild: list[tuple[re.Pattern[str], _Wanted]] = []
        for column, value in enumerate(values.values()):
            wanted = _Wanted(column, keys(value.path))
            if _is_wild(value.topic):
                self._wild.append((pattern(value.topic), wanted))
            else:
                self._plain.setdefault(value.topic, []).append(wanted)
        self._each = each
        self._max_age_s = max_age_s
        self._clock = clock
        self._values = [math.nan] * len(values)
        self._at = [-math.inf] * len(values)  # monotonic seconds of each value
        self._fresh: set[int] = set()
        self._topics = [value.topic for value in values.values()]
        self._silent = set(range(len(values)))  # columns for which no message has come, readable or not

    @property
    def silent(self) -> list[str]:
        """The topics from which no message has come."""
        return [self._topics[column] for column in sorted(self._silent)]

    def take(self, topic: str, payload: bytes) -> list[float] | None:
        """Take a message; return a reading if it completes one, a value a channel. Raises ValueError."""
        wild = (wanted for wide, wanted in self._wild if wide.match(topic))
        meant = (*self._plain.get(topic, ()), *wild)
        if not meant:
            return None
        if self._silent:
            self._silent.difference_update(wanted.column for wanted in meant)
        found = {wanted.column: _number(payload, wanted.keys) for wanted in meant}
        now = self._clock.monotonic()
        for column, value in found.items():
            self._values[column], self._at[column] = value, now
        if self._each:
            ages = (now - at for at in self._at)
            return [
                value if age <= self._max_age_s else math.nan
                for value, age in zip(self._values, ages, strict=True)
            ]
        self._fresh.update(found)
        if len(self._fresh) < len(self._values):
            return None
        self._fresh.clear()
        return list(self._values)


def keys(path: str) -> tuple[str | int, ...]:
    """Return a path's keys and indexes. Raises ValueError if it is none."""
    found: list[str | int] = []
    rest = path.removeprefix("$")
    while rest:
        match = _KEY.match(rest)
        if match is None:
            raise ValueError(f"{path!r} is no path; write it like data.temperatures[0]")
        found.append(match[1] if match[1] is not None else int(match[2]))
        rest = rest[match.end() :]
    return tuple(found)


def subscriptions(topics: Iterable[str]) -> list[str]:
    """Return the topics without those that another one covers: a broker may send a message once for each."""
    wanted = set(topics)
    wide = {topic: pattern(topic) for topic in wanted if _is_wild(topic)}

    def covered(narrow: str) -> bool:
        return any(
            found.match(narrow) and (topic.endswith("#") or not narrow.endswith("#"))
            for topic, found in wide.items()
            if topic != narrow
        )

    return sorted(topic for topic in wanted if not covered(topic))


def _is_wild(topic: str) -> bool:
    return "+" in topic or "#" in topic


def pattern(topic: str) -> re.Pattern[str]:
    """Return what the topics look like that a subscription brings (MQTT 3.1.1, section 4.7)."""
    levels = topic.split("/")
    if topic == "#":
        return re.compile("", re.DOTALL)
    rest = levels[-1] == "#"
    named = levels[:-1] if rest else levels
    within = "/".join("[^/]*" if level == "+" else re.escape(level) for level in named)
    if rest:
        within += "(/.*)?"
    return re.compile(rf"{within}\Z", re.DOTALL)


def _number(payload: bytes, path: tuple[str | int, ...]) -> float:
    try:
        found: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if path:
            raise ValueError(f"{_shown(payload)} is no JSON") from None
        found = payload.decode(errors="replace")
    for key in path:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise ValueError(f"{_shown(payload)} has no {key!r}") from None
    if found is None:
        return math.nan
    try:
        # Text too: many devices put their numbers in quotes.
        return as_number(found) if isinstance(found, str) else float(found)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{_shown(repr(found).encode())} is no number") from None


def _shown(payload: bytes) -> str:
    text = payload.decode(errors="replace")
    return text if len(text) <= 60 else f"{text[:56]} ..."
