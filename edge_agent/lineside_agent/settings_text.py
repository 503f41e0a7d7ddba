"""Changes in the text of an `agent.toml` that leave everything else in it as it was written, comments included."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from lineside_contract.errors import InputError

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?\Z")
_STRING = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""


def table_of(text: str) -> dict[str, Any] | None:
    """Return the settings of a file that is an agent's, whatever may be wrong with some; None if it is none."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    sensors = table.get("sensors")
    return table if isinstance(sensors, dict) and sensors else None


def change(text: str, strings: Mapping[str, str], sensor: str) -> str:
    """Return the text with these settings and this section of a sensor; an empty one leaves the sensors.

    `strings` are TOML strings by path, such as `broker.url`. A new sensor takes the place of all; a section [join]
    goes if there were several. Raises InputError for a text whose layout cannot be followed.
    """
    wanted = tomllib.loads(text)
    changed = text
    for path, string in strings.items():
        section, _, key = path.rpartition(".")
        inner = wanted.setdefault(section, {}) if section else wanted
        if isinstance(inner, dict):
            inner[key] = tomllib.loads(f"x = {string}")["x"]
        changed = _with_string(changed, section, key, string)
    if sensor:
        gone = {"sensors", "join"} if len(wanted["sensors"]) > 1 else {"sensors"}
        changed = _without(changed, gone).rstrip() + f"\n\n{sensor}"
        wanted = {name: value for name, value in wanted.items() if name not in gone} | tomllib.loads(sensor)
    try:
        found = tomllib.loads(changed)
    except ValueError:
        found = {}
    if found != wanted:  # settings can be laid out in ways that a look at single lines does not see
        raise InputError(
            "The settings are laid out in a way that only a person can change.",
            hint="Edit the file, or remove it and run this again.",
        )
    return changed


def _with_string(text: str, section: str, key: str, string: str) -> str:
    setting = re.compile(rf"(\s*{key}\s*=\s*){_STRING}(\s*(?:#.*)?)\Z")
    lines = text.splitlines()
    places = [number for number, (where, _) in enumerate(_by_section(text)) if where == section]
    for number in places:
        if found := setting.match(lines[number]):
            lines[number] = f"{found[1]}{string}{found[2]}"
            return "\n".join(lines) + "\n"
    if section and not places:
        return f"{text.rstrip()}\n\n[{section}]\n{key} = {string}\n"
    header = next((number for number in places if section and _HEADER.match(lines[number])), -1)
    lines.insert(header + 1, f"{key} = {string}")
    return "\n".join(lines) + "\n"


def _without(text: str, gone: set[str]) -> str:
    kept = [line for where, line in _by_section(text) if where.partition(".")[0].strip(" \"'") not in gone]
    return "\n".join(kept)


def _by_section(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line with its section: from its header on, or from the comments that stand over that."""
    lines = text.splitlines()
    begins = {0: ""}
    for number, line in enumerate(lines):
        if header := _HEADER.match(line):
            first = number
            while first and lines[first - 1].lstrip().startswith("#"):
                first -= 1
            over = first == 0 or not lines[first - 1].strip()  # else the comments end what stands before
            begins[first if over else number] = header[1].strip()
    section = ""
    for number, line in enumerate(lines):
        section = begins.get(number, section)
        yield section, line
