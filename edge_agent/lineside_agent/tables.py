"""TOML tables into frozen structs: environment variables on top, and one clear sentence for each mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from lineside_contract.errors import InputError, nearest
from lineside_contract.sizes import as_bytes

PREFIX = "LINESIDE__"
# A number of bytes; a file may also say it as "256MB". The least is what one message may need.
Bytes: TypeAlias = Annotated[int, Meta(ge=4096)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400)]

_PATH = re.compile(r"\A(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?\Z", re.DOTALL)
_Table: TypeAlias = dict[str, Any]
S = TypeVar("S", bound=Struct)


class Variable(NamedTuple):
    """What an environment variable says of a setting; how to read it depends on the setting's type."""

    name: str
    text: str


class Source(NamedTuple):
    """Where settings come from, so that a mistake can be told with its place.

    `variables` names the environment variable of each overridden setting by its path, such as `broker.url`.
    `missing` is what to do about a setting that is not there.
    """

    file: Path
    variables: dict[str, str]
    missing: str = ""

    def place(self, path: str) -> str:
        """Return how a person finds the setting: the variable, or the file, section and key."""
        plain, bracket, inside = path.partition("[")  # of a list's item, the section is that of the list
        if plain in self.variables:
            return self.variables[plain] + bracket + inside
        section, _, key = plain.rpartition(".")
        key += bracket + inside
        return f"{self.file}: " + (f"[{section}] {key}" if section else key)


def read_toml(path: Path) -> _Table:
    """Read a TOML file. Raises InputError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", hint="`lineside agent init` writes one."
        ) from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        raise InputError(f"{path} is not TOML: {error}.") from error


def override(table: _Table, environment: Mapping[str, str]) -> dict[str, str]:
    """Put the variables LINESIDE__SECTION__KEY into a table, and return their names by path.

    The names of sections and keys are compared without regard to case. Raises InputError for a variable that
    would put a setting inside another one.
    """
    variables = {}
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        *sections, key = name[len(PREFIX) :].split("__")
        inner, path = table, []
        for section in sections:
            path.append(_spelling(inner, section))
            inner = inner.setdefault(path[-1], {})
            if not isinstance(inner, dict):
                raise InputError(f"{name} overrides nothing: {'.'.join(path)} is no section.")
        path.append(_spelling(inner, key))
        inner[path[-1]] = Variable(name, environment[name])
        variables[".".join(path)] = name
    return variables


def decode(kind: type[S], table: Any, source: Source, path: str = "") -> S:
    """Make a struct of a table. Raises InputError for what is unknown, missing, mistyped or impossible."""
    prepared = _prepared(kind, table, source, path)
    try:
        return msgspec.convert(prepared, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InputError(_explain(str(error), kind, source, path)) from error


def text_of(value: Any) -> Any:
    """Return a setting that is text, whether a file or a variable says it."""
    return value.text if isinstance(value, Variable) else value


def toml_of(value: Any) -> Any:
    """Return a setting that is not text: a variable is read as TOML if it can be, or else as text."""
    if not isinstance(value, Variable):
        return value
    try:
        return tomllib.loads(f"value = {value.text}")["value"]
    except (ValueError, RecursionError):
        return value.text


def _spelling(table: _Table, name: str) -> str:
    return next((key for key in table if key.lower() == name.lower()), name.lower())


def _prepared(kind: type[Struct], table: Any, source: Source, path: str) -> _Table:
    """Check a table's keys, section by section, and bring its values into the form that msgspec converts."""
    if not isinstance(table, dict):
        raise InputError(f"{source.place(path)} must be a section, not {type(toml_of(table)).__name__}.")
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    prepared = {}
    for key, value in table.items():
        at = f"{path}.{key}" if path else key
        if key not in types:
            raise InputError(
                f"{source.place(at)} is unknown.", hint=nearest(key, types) or f"Known: {', '.join(types)}."
            )
        read = _value(types[key], value, source, at)
        if read != "" or types[key] != Path | None:  # an empty path stands for none
            prepared[key] = read
    return prepared


def _value(kind: Any, value: Any, source: Source, path: str) -> Any:
    value = text_of(value) if kind in (str, Path, Path | None) else toml_of(value)
    if kind == Bytes and isinstance(value, str):
        try:
            return as_bytes(value)
        except ValueError as error:
            raise InputError(f"{source.place(path)}: {error}.") from error
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _prepared(kind, value, source, path)
    if get_origin(kind) in (list, tuple) and isinstance(value, list):
        item = get_args(kind)[0]
        return [_value(item, each, source, f"{path}[{number}]") for number, each in enumerate(value)]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: _entry(get_args(kind)[1], each, source, f"{path}.{key}") for key, each in value.items()}
    return value


def _entry(kind: Any, value: Any, source: Source, path: str) -> Any:
    """Return a value of a section whose keys are the user's own."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return decode(kind, toml_of(value), source, path)  # here: msgspec would not say which key
    return _value(kind, value, source, path)


def _path(kind: type, value: Any) -> Any:
    if kind is not Path or not isinstance(value, str) or not value:
        raise TypeError(f"Expected a path, got {value!r}")
    return Path(value)


def _explain(error: str, kind: type[Struct], source: Source, path: str) -> str:
    match = _PATH.match(error)
    what, inner = (match["what"], match["path"] or "") if match else (error, "")
    at = ".".join(part for part in (path, inner) if part)
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        key = missing[1]
        return f"{source.file} lacks {f'{key} in [{at}]' if at else key}. {source.missing}".rstrip()
    if what.startswith("Invalid enum value") and (choices := _choices(kind, inner)):
        what += f"; choose from {', '.join(map(repr, choices))}"
    section = f"{source.file}: [{path}]" if path else str(source.file)
    place = source.place(at) if inner else section
    return f"{place}: {what.replace('`', '')}."


def _choices(kind: Any, path: str) -> tuple[Any, ...]:
    """Return the values that a setting may have, if its type lists them."""
    for key in re.sub(r"\[[^]]*\]", "", path).split("."):
        if get_origin(kind) in (list, tuple):
            kind = get_args(kind)[0]
        kind = next((field.type for field in msgspec.structs.fields(kind) if field.encode_name == key), None)
    options = get_args(kind) if get_origin(kind) is not Literal else (kind,)
    return tuple(choice for option in options if get_origin(option) is Literal for choice in get_args(option))
