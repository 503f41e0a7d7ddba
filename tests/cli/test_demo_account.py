"""The demo's last table explains what could worry."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lineside_cli.demo.account import Account, show


@pytest.mark.parametrize(("ignored", "explained"), [((0, 0), False), ((0, 29), True)])
def test_repeats_that_were_ignored_are_explained(ignored: tuple[int, int], explained: bool) -> None:
    console = Console(file=io.StringIO(), width=100)
    show(console, [Account(f"machine-{number}", 124, 124, 124, 27, number) for number in ignored])
    assert isinstance(console.file, io.StringIO)
    assert ("known by their numbers" in console.file.getvalue()) == explained
