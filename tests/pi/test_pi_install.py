"""What a person does first on a Raspberry Pi: is it well, what does a model cost, does a recording arrive?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brokers import Broker
from line import Line, assert_complete, write_recording
from pi_board import BOARDS
from pi_userland import PYTHON_OF, SUITE, VENV, Userland
from processes import Processes

from lineside_benchmarks.counter import write_counting_bundle

boards = pytest.mark.parametrize("board", BOARDS)


@boards
def test_the_doctor_finds_nothing_wrong(userland: Userland, board: str) -> None:
    done = userland.run("lineside", "doctor", "--json", board=board, check=False)
    findings = json.loads(done.stdout)["findings"]
    assert not [finding for finding in findings if finding["state"] == "failed"]
    said = " ".join(finding["detail"] for finding in findings)
    assert "aarch64, 64-bit Python" in said
    assert f"Python {PYTHON_OF[SUITE]}" in said
    assert "in float32 and in int8" in said


@boards
def test_a_bundle_can_be_measured(userland: Userland, bundles: Path, board: str) -> None:
    done = userland.run(
        *("lineside", "bench", "/bundles/forest--auto--compact.bundle.zip", "--seconds", "0.2", "--json"),
        board=board,
        binds={bundles: "/bundles"},
    )
    assert json.loads(done.stdout)


def test_a_user_without_systemd_is_told_so_and_shown_the_unit(userland: Userland) -> None:
    done = userland.run("lineside", "agent", "install", check=False)
    assert done.returncode == 2
    assert "not run by systemd" in done.stderr
    shown = userland.run("lineside", "agent", "install", "--print", "--device", "pi").stdout
    assert f"ExecStart={VENV}/bin/lineside agent run" in shown
    assert f"BindReadOnlyPaths={VENV}\n" in shown


@boards
def test_a_recording_arrives(
    userland: Userland, board: str, tmp_path: Path, broker: Broker, processes: Processes
) -> None:
    readings = 500
    line = Line(tmp_path, processes, write_counting_bundle(tmp_path / "counter-1.0.0.bundle.zip"))
    recording = write_recording(tmp_path / "recording.csv", readings, 100)
    config = line.configure(broker.url, recording, speed='"fast"')
    line.start_collector(broker.url)
    here = {tmp_path: str(tmp_path)}
    checked = userland.run("lineside", "agent", "check", "--config", str(config), board=board, binds=here)
    assert "FAILED" not in checked.stdout
    command = ("lineside", "agent", "run", "--config", str(config))
    agent = processes.start(*userland.command(command, board=board, binds=here, env={}))
    assert agent.wait(120) == 0, agent.output
    line.wait_for_rows(readings)
    (stored,) = line.stored().values()
    assert_complete(stored, readings)
    assert line.gaps()[0] == 0
