"""What docs/guides/sensors.md shows is read by the settings loader, and what the table says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineside_agent.sensor_cli.kinds import NEEDS
from lineside_agent.sensors import KINDS
from lineside_agent.sensors.examples import EXAMPLES
from lineside_agent.settings import load

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/guides/sensors.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
HEAD = 'device = "pump-1"\nbundle = "pump.bundle.zip"\n'


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_block_of_the_guide_is_an_agents(block: str, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(HEAD + block)
    assert load(tmp_path / "agent.toml", {}).sensors


def test_every_kind_is_shown() -> None:
    shown = set(re.findall(r'^kind = "(\w+)"', "".join(BLOCKS), re.MULTILINE))
    assert shown == set(KINDS) - {"stdin", "replay", "simulated"}
    assert set(EXAMPLES) == shown
    assert set(NEEDS) == set(KINDS)


def test_what_the_guide_says_of_needs_is_what_the_command_says() -> None:
    for kind, need in NEEDS.items():
        row = next(line for line in GUIDE.splitlines() if line.startswith("| `") and f"`{kind}`" in line)
        assert (f"lineside[{need.extra}]" in row) == bool(need.extra)


def test_extras_are_those_of_the_package() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    for need in NEEDS.values():
        if need.extra:
            assert re.search(rf"^{need.extra} = \[", project, re.MULTILINE)


def test_the_shell_lines_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from lineside_cli.main import main

    for command in re.findall(r"^lineside (sensor \w+)", GUIDE, re.MULTILINE):
        with pytest.raises(SystemExit) as end:
            main([*command.split(), "--help"])
        assert end.value.code == 0
        assert "examples:" in capsys.readouterr().out
