"""The demo, as `make demo` runs it, and what it leaves behind: nothing."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from brokers import free_port
from processes import Processes

pytestmark = pytest.mark.system


def leftovers(folder: Path) -> list[str]:
    """Return the processes that were started with files of this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command and int(entry.name) != os.getpid():
                found.append(command)
    return found


def test_the_demo_shows_a_fault_and_an_outage_and_loses_nothing(tmp_path: Path, processes: Processes) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    demo = processes.lineside("demo", "--port", str(free_port()), env=environment)
    assert demo.wait(110) == 0, demo.output
    assert "machine-2 predicts bearing_outer" in demo.output
    assert "Nothing lost, nothing repeated." in demo.output
    rows = re.findall(r"machine-\d +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +\d+", demo.output)
    assert len(rows) == 2
    for sent, stored, lost, repeated, late in rows:
        assert int(sent) == int(stored) > 50
        assert (lost, repeated) == ("0", "0")
        assert int(late) > 10
    assert list(tmp_path.iterdir()) == []
    assert leftovers(tmp_path) == []


def test_ctrl_c_in_the_middle_leaves_nothing_behind(tmp_path: Path, processes: Processes) -> None:
    demo = processes.lineside("demo", "--port", str(free_port()), env={"TMPDIR": str(tmp_path)})
    demo.wait_for("predicts healthy", timeout=60)
    assert demo.stop(signal.SIGINT, timeout=40) == 130
    assert "Traceback" not in demo.output
    assert list(tmp_path.iterdir()) == []
    assert leftovers(tmp_path) == []


def test_a_folder_that_is_there_is_refused(tmp_path: Path, processes: Processes) -> None:
    demo = processes.lineside("demo", "--folder", str(tmp_path))
    assert demo.wait() == 2
    assert "is already there" in demo.output
