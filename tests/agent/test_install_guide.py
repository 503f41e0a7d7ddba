"""What docs/raspberry-pi.md shows: commands that the command line knows, extras that exist, figures that hold."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from lineside_agent.install.needs import ACCESS
from lineside_agent.install.unit import MEMORY_MAX, WATCHDOG_S
from lineside_agent.sensors import KINDS
from lineside_cli.main import COMMANDS

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/raspberry-pi.md").read_text()
BLOCKS = "".join(re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE))


def shown() -> list[list[str]]:
    """Return every `lineside` command of the guide, as the words after `lineside`."""
    text = BLOCKS.replace('"$(command -v lineside)"', "lineside")
    inline = re.findall(r"`(?:sudo )?(?:\"\$\(command -v lineside\)\"|lineside) ([a-z][^`]*)`", GUIDE)
    lines = [*text.splitlines(), *(f"lineside {words}" for words in inline)]
    found = [shlex.split(line, comments=True) for line in lines]
    commands = [words[1:] if words[:1] == ["sudo"] else words for words in found]
    return [words[1:] for words in commands if words[:1] == ["lineside"] and "..." not in words]


@pytest.mark.parametrize("words", shown(), ids=" ".join)
def test_every_command_is_one(words: list[str]) -> None:
    name, *rest = words
    parser = argparse.ArgumentParser()
    command = COMMANDS[name]
    getattr(importlib.import_module(command.module), command.configure)(parser)
    if rest or name not in ("export",):
        parser.parse_args(rest)


def test_there_are_commands() -> None:
    assert ["agent", "install", "--now"] in shown()


def test_every_extra_exists() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra for group in re.findall(r"(?:lineside|whl)\[([a-z,]+)\]", GUIDE) for extra in group.split(",")
    }
    assert named
    assert named <= set(extras)


def test_the_guide_names_what_the_unit_allows_and_defaults_to() -> None:
    assert set(ACCESS) <= set(KINDS)
    assert all(f"`{kind}`" in GUIDE and f"`{access.group}`" in GUIDE for kind, access in ACCESS.items())
    assert f"for {WATCHDOG_S} seconds (`--watchdog`)" in " ".join(GUIDE.split())
    assert MEMORY_MAX == "50%"
    assert "to half of the machine's" in " ".join(GUIDE.split())
