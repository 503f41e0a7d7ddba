"""The programs and commands of the guide's pages, run in order in one folder that is empty before."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGES = ("export.md", "windows.md", "text-columns.md", "networks.md", "trees.md")


def _blocks() -> list[tuple[str, str]]:
    text = "\n".join((GUIDES / page).read_text() for page in PAGES)
    return re.findall(r"^```(python|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _commands(block: str) -> list[list[str]]:
    joined = block.replace("\\\n", " ")
    return [shlex.split(line.removeprefix("$ ")) for line in joined.splitlines() if line.startswith("$ ")]


def test_every_command_of_the_guide_works(work) -> None:
    ran = []
    for language, block in _blocks():
        if language == "python":
            exec(compile(block, "guide", "exec"), {})
            continue
        for program, *arguments in _commands(block):
            assert program == "lineside"
            result = work.run(*arguments)
            assert result.code == 0, (arguments, result.err)
            ran.append((arguments, result.out))
    assert len(ran) >= 8
    assert Path("answers.csv").read_text().startswith("line,label,probability_fault,probability_ok\n2,")
    assert "# pump 1.1.0" in next(out for arguments, out in ran if "--card" in arguments)
    windows = [
        json.loads(line) for arguments, out in ran if "--json" in arguments for line in out.splitlines()
    ]
    # Two motors of 1000 readings each, windows of 16 every 8.
    assert len(windows) == 2 * ((1000 - 16) // 8 + 1)
    assert windows[0]["line"] == 17


def test_the_guide_explains_every_option(work) -> None:
    text = (GUIDES / "export.md").read_text()
    for option in set(re.findall(r"--[a-z][a-z-]+", work.run("export", "--help").out)) - {"--help"}:
        assert f"`{option}`" in text, option
