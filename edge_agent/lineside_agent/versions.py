"""Which versions of which models have run here: `versions.json` in the state folder, and how versions are ordered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

import msgspec

from lineside_contract.errors import BundleError, InputError
from lineside_contract.files import write_whole
from lineside_contract.manifest import Manifest

FILE = "versions.json"
_PART = re.compile(r"\d+|[a-z]+")
_Rank: TypeAlias = tuple[int, int, str]
# Words after a number: before it (1.0rc1 comes before 1.0), but for these, as in PEP 440.
_WORDS: dict[str, _Rank] = {"dev": (-2, 0, ""), "post": (0, 1, "")}
_NOTHING: _Rank = (0, 0, "")


def is_older(version: str, than: str) -> bool:
    """Say whether a version comes before another one.

    Versions are compared part by part, a part being a run of digits or of letters; capitals, separators, a `v`
    in front and what follows a `+` do not count. Numbers are compared as numbers, words by the alphabet. A word
    comes before nothing (1.0-rc1 < 1.0), nothing is as good as a zero (1.0 = 1.0.0); `dev` is the first of
    words, and `post` comes after nothing (1.0 < 1.0.post1 < 1.0.1). For the usual versions this is the order of
    Semantic Versioning 2.0.0 (section 11) and of PEP 440; dates such as 2026-01-31 are in order too.
    """
    mine, other = _ranks(version), _ranks(than)
    length = max(len(mine), len(other))
    return _padded(mine, length) < _padded(other, length)


def newest_run(state: Path) -> dict[str, str]:
    """Return the newest version of each model that has run with this state folder. Raises InputError."""
    path = state / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except NotADirectoryError:  # what is wrong with the folder is told by whoever must write to it
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}, which tells the newest version that ran here, cannot be read: {error}.",
            hint="Run once with allow_downgrade = true, which goes without it and writes it anew.",
        ) from error


def refuse_older(manifest: Manifest, newest: str | None) -> None:
    """Raise BundleError for a model that is older than the newest version of it that has run here."""
    if newest is not None and is_older(manifest.version, newest):
        raise BundleError(
            f"{manifest.name} {manifest.version} is older than {newest}, which has run here.",
            hint="Set allow_downgrade = true if that is meant.",
        )


def remember(state: Path, manifest: Manifest, known: dict[str, str]) -> None:
    """Write down that a model runs, unless a version of it that is as new has run before. Raises OSError."""
    before = known.get(manifest.name)
    if before is None or is_older(before, manifest.version):
        write_whole(state / FILE, msgspec.json.encode({**known, manifest.name: manifest.version}) + b"\n")


def _ranks(version: str) -> list[_Rank]:
    parts = _PART.findall(version.partition("+")[0].lower().removeprefix("v"))
    return [(0, 2 * int(part), "") if part.isdigit() else _WORDS.get(part, (-1, 0, part)) for part in parts]


def _padded(ranks: list[_Rank], length: int) -> list[_Rank]:
    return ranks + [_NOTHING] * (length - len(ranks))
