"""The container recipe, as far as it can be held against the project without a container engine."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path

import pytest

from lineside_agent.commands import configure_agent
from lineside_agent.progress import Progress
from lineside_cli.main import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def instructions() -> list[tuple[str, str]]:
    """The instructions of the last stage."""
    text = (REPOSITORY / "edge_agent/Containerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    last = max(at for at, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def argument(instructions: list[tuple[str, str]], word: str) -> str:
    (found,) = [rest for name, rest in instructions if name == word]
    return found


def test_it_runs_as_nobody_special(instructions) -> None:
    assert int(argument(instructions, "USER")) > 1000


def test_it_starts_the_agent(instructions) -> None:
    assert json.loads(argument(instructions, "ENTRYPOINT")) == ["lineside"]
    program, *rest = json.loads(argument(instructions, "CMD"))
    assert program == "agent"
    parser = argparse.ArgumentParser()
    configure_agent(parser)
    assert parser.parse_args(rest).config == Path("/etc/lineside/agent.toml")


def test_its_health_check_is_a_command_that_tells_an_agent_from_none(
    instructions, monkeypatch, tmp_path
) -> None:
    program, *rest = json.loads(argument(instructions, "HEALTHCHECK").partition("CMD")[2])
    assert program == "lineside"
    assert "RUNTIME_DIRECTORY=" in argument(instructions, "ENV")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    assert main(rest) == 1
    told = Progress({"RUNTIME_DIRECTORY": str(tmp_path)})
    told.begin(str)
    assert main(rest) == 0
    told.end()


def test_its_state_is_a_volume(instructions) -> None:
    folder = argument(instructions, "VOLUME")
    assert f"LINESIDE__STATE={folder}" in argument(instructions, "ENV")


def test_nothing_that_the_wheel_needs_is_left_out_of_the_build() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    needed = {Path(each).parts[0] for each in wheel["wheel"]["packages"]}
    needed |= {Path(each).parts[0] for each in wheel["wheel"]["force-include"]}
    ignored = set((REPOSITORY / ".dockerignore").read_text().split())
    assert not needed & ignored
