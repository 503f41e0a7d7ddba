"""The signing guide's commands, run in order in an empty folder that has a bundle, an agent, and nothing else."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_agent_commands import make_bundle

from lineside_agent.versions import is_older
from lineside_cli.main import main
from lineside_contract.bundle import Bundle, write_bundle
from lineside_contract.manifest import Channel

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "signing.md"
BUNDLE = Path("pump-1.0.0.bundle.zip")


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_command_of_the_guide_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_bundle(BUNDLE, [Channel(name="speed_rpm")])
    bundle = Bundle.open(BUNDLE)
    write_bundle(BUNDLE, replace(bundle.manifest, name="pump"), bundle.files)
    assert main(["agent", "init", "--device", "pump-1"]) == 0
    said = {}
    for language, block in blocks():
        if language == "toml":
            path = Path("agent.toml")
            path.write_text(path.read_text().replace("# trusted_keys = []", block.strip()))
        elif language == "console":
            for line in block.splitlines():
                program, *arguments = shlex.split(line.removeprefix("$ "))
                assert program == "lineside"
                capsys.readouterr()
                assert main(arguments) == 0, arguments
                said[" ".join(arguments)] = capsys.readouterr().out
    assert "signed by ops.pub" in said["agent check --offline"]
    assert len(said) == 7
    for key in ("ops.pub", "next.pub"):
        assert main(["verify", str(BUNDLE), "--key", key]) == 0


def test_every_order_that_the_guide_claims_is_so() -> None:
    claims = re.findall(r"(?<![\w.])([\w.-]+(?: < [\w.-]+)+)", GUIDE.read_text())
    assert len(claims) >= 4
    for claim in claims:
        versions = [version.rstrip(".,;") for version in claim.split(" < ")]
        for older, newer in pairwise(versions):
            assert is_older(older, newer), claim


def test_the_guide_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("keygen", "sign", "verify"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        for option in set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}:
            assert option in GUIDE.read_text() or option == "--output", option
