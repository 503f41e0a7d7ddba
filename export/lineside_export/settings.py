"""What the user asks of an export, and where its bundle goes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from lineside_contract.bundle import SUFFIX, file_name
from lineside_contract.errors import InputError
from lineside_contract.manifest import Window
from lineside_export.dataset import Columns
from lineside_export.load import Trust
from lineside_export.networks.meaning import Meaning
from lineside_export.pick import Rules

_NAME_AND_VERSION = re.compile(r"(?P<name>.+)-(?P<version>\d.*)\Z")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Settings(Struct, frozen=True, kw_only=True):
    """What the user asks for. `held_back` is a share of the rows; `rules` say what is good enough."""

    model: Path
    data: Path
    output: Path | None = None
    name: str | None = None
    version: str | None = None
    trust: Trust = Trust()
    meaning: Meaning = Meaning()
    columns: Columns = Columns()
    window: Window = Window()
    rate_hz: float | None = None
    units: dict[str, str] = {}
    held_back: float = 0.3
    seed: int = 0
    rules: Rules = Rules()
    device: str = "auto"
    lossy_trees: bool = False
    allow_mismatch: bool = False
    dry_run: bool = False
    sign_key: Path | None = None


class Destination(NamedTuple):
    """Where the bundle goes and what it calls itself."""

    path: Path
    name: str
    version: str


def _bundle_like(name: str) -> str:
    """Return the name of a bundle that is most like what somebody wrote."""
    stem = name.removesuffix(".zip").removesuffix(".bundle").removesuffix(".onnx")
    return f"{stem or 'model'}{'' if _NAME_AND_VERSION.match(stem) else '-1.0.0'}{SUFFIX}"


def destination(settings: Settings) -> Destination:
    """Decide where the bundle goes. Raises InputError if it has no name or no place."""
    output = settings.output
    found = None
    if output is not None and not output.is_dir():
        if not output.name.endswith(SUFFIX):
            raise InputError(
                f"{output} does not end in {SUFFIX}, nor is it a folder that exists.",
                hint=f"Try {output.parent / _bundle_like(output.name)}.",
            )
        found = _NAME_AND_VERSION.match(output.name.removesuffix(SUFFIX))
    name = settings.name or (found["name"] if found else "")
    version = settings.version or (found["version"] if found else "")
    if not name or not version:
        raise InputError(
            "The bundle has no name or no version.",
            hint=f"Say -o NAME-VERSION{SUFFIX}, or --name and --version.",
        )
    for text in (name, version):
        if not _PLAIN.match(text):
            raise InputError(
                f"A bundle cannot be called {text!r}.",
                hint="Use at most 64 letters, digits, dots, dashes and underscores.",
            )
    if output is None or output.is_dir():
        output = (output or Path()) / file_name(name, version)
    if not settings.dry_run and not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} does not exist.", hint="Make it first.")
    return Destination(output, name, version)
