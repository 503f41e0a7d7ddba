from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sensor_sources import Hwmon, Thermal

from lineside_agent.sensor_cli import kinds
from lineside_agent.sensors import KINDS
from lineside_cli.main import main

HEAD = 'device = "pump-1"\nbundle = "pump.bundle.zip"\n'


def test_the_list_says_what_is_here_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(kinds, "SYSFS", tmp_path / "sys")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "smbus2" else there(name))
    Hwmon(tmp_path).start()
    assert main(["sensor", "list", "--json"]) == 0
    found = {state["kind"]: state for state in json.loads(capsys.readouterr().out)}
    assert set(found) == set(KINDS)
    assert found["hwmon"]["ready"]
    assert not found["thermal"]["ready"]
    assert found["i2c"]["hint"] == "pip install 'lineside[i2c]'"
    assert found["serial"] == {
        "kind": "serial",
        "reads": "lines from a serial port",
        "needs": "lineside[serial]",
        "ready": True,
        "hint": "",
    }
    assert main(["sensor", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(KINDS)
    assert "missing  i2c        registers of devices on an I2C bus" in "\n".join(lines)


def test_what_is_shown_elsewhere_than_on_a_terminal_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text(
        "timestamp,a,b c\n1700000000,1,2.5\n1700000000.25,,3e-7\n1700000001,4,5\n"
    )
    settings = ["--set", "speed=fast"]
    assert main(["sensor", "test", "replay", "--set", f"file={tmp_path}/in.csv", *settings]) == 0
    first = capsys.readouterr().out
    assert list(csv.reader(io.StringIO(first)))[:3] == [
        ["timestamp", "a", "b c"],
        ["2023-11-14T22:13:20.000000Z", "1.0", "2.5"],
        ["2023-11-14T22:13:20.250000Z", "", "3e-07"],
    ]
    (tmp_path / "again.csv").write_text(first)
    assert main(["sensor", "test", "replay", "--set", f"file={tmp_path}/again.csv", *settings]) == 0
    assert capsys.readouterr().out == first
    assert (
        main(
            [
                "sensor",
                "test",
                "replay",
                "--set",
                f"file={tmp_path}/in.csv",
                *settings,
                "--json",
                "--count",
                "2",
            ]
        )
        == 0
    )
    readings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert readings[1] == {"timestamp": "2023-11-14T22:13:20.250000Z", "a": None, "b c": 3e-7}
    assert len(readings) == 2


def test_an_agents_settings_are_shown_with_the_models_names_and_each_joined_sensor_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Hwmon(tmp_path).start()
    Thermal(tmp_path).start()
    config = tmp_path / "agent.toml"
    section = 'sysfs = "sys"\nrate_hz = 200\n'
    config.write_text(
        f'{HEAD}[join]\nrate_hz = 50\nmax_gap_s = 1\n[sensors.board]\nkind = "hwmon"\n{section}'
        f'channels = {{ "temp1_c" = "board_c" }}\n[sensors.cpu]\nkind = "thermal"\n{section}'
    )
    assert main(["sensor", "test", "--config", str(config), "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "timestamp,fan1_rpm,board_c,cpu_thermal_c,gpu_thermal_c"
    assert lines[-1].endswith("Z,1200.0,48.2,48.2,51.0")
    assert len(lines) == 4
    assert main(["sensor", "test", "--config", str(config), "--sensor", "board", "--count", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "timestamp,fan1_rpm,board_c"
    assert main(["sensor", "test", "--config", str(config), "--sensor", "bord"]) == 2
    assert "joins no sensor 'bord'. Did you mean 'board'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Say which sensor to show: a kind, or --config."),
        (["thermal", "--config", "x"], 2, "Say which sensor to show"),
        (["thermall"], 2, "There is no sensor of kind 'thermall'. Did you mean 'thermal'?"),
        (["modbus"], 2, "modbus lacks url. Say it as --set KEY=VALUE;"),
        (["serial", "--set", "port"], 2, "--set 'port' sets nothing."),
        (["serial", "--set", "port=x", "--set", "port.a=y"], 2, "port is no section"),
        (
            ["serial", "--set", "port=/dev/none", "--set", "baud=fast"],
            2,
            "--set baud: Expected int, got str.",
        ),
        (["serial", "--set", "port=/dev/none", "--set", 'columns=["a"]'], 1, "there is no such port"),
        (
            ["modbus", "--set", "url=tcp://127.0.0.1:1", "--set", "registers.a.addres=1"],
            2,
            "Did you mean 'address'?",
        ),
        (["--config", "none.toml"], 2, "none.toml cannot be read"),
        (["exec", "--set", 'command=["sleep", "1000"]', "--seconds", "0.1"], 1, "has given no line yet"),
        (
            ["exec", "--set", 'command=["sh", "-c", "echo a; sleep 1000"]', "--seconds", "0.1"],
            1,
            "No reading came in 0.1 s",
        ),
    ],
)
def test_what_does_not_work_is_told(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sensor", "test", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_malformed_reading_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    program = 'command=["sh", "-c", "echo a; echo 1; echo x; echo 3; sleep 1000"]'
    assert main(["sensor", "test", "exec", "--set", program, "--count", "2"]) == 0
    said = capsys.readouterr()
    assert [line.partition(",")[2] for line in said.out.splitlines()] == ["a", "1.0", "3.0"]
    assert "left out: The program 'sh' gave 'x', which is no reading" in said.err


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_counts_that_make_no_sense_are_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["sensor", "test", "thermal", "--count", count])
    assert end.value.code == 2
    assert "whole number" in capsys.readouterr().err


def test_a_terminal_shows_a_table_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    Hwmon(tmp_path).start()
    command = [sys.executable, "-m", "lineside_cli.main", "sensor", "test", "hwmon"]
    options = ["--set", f"sysfs={tmp_path}/sys", "--set", "rate_hz=200"]
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen([*command, *options], stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        said = read_until(master, "a second")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
    finally:
        os.close(master)
    assert process.returncode == 130
    assert error == b""
    assert "fan1_rpm" in said
    assert "48.2" in said


def test_a_terminal_for_standard_input_is_told_what_is_waited_for_and_what_to_do() -> None:
    command = [sys.executable, "-m", "lineside_cli.main", "sensor", "test", "stdin", "--seconds", "0.1"]
    master, slave = pty.openpty()
    try:
        done = subprocess.run(command, stdin=slave, capture_output=True, text=True, check=False)
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 1
    waiting, failed = done.stderr.splitlines()
    assert waiting.startswith("waiting for readings on standard input")
    assert failed.startswith(
        "lineside: Standard input has given no line yet. Pipe a program that prints readings"
    )


def test_ctrl_c_before_the_first_reading_is_no_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lineside_cli.main", "sensor", "test", "exec"]
    waiting = "import os, time; print(os.getpid(), file=open('pid', 'w'), flush=True); time.sleep(1000)"
    process = subprocess.Popen(
        [*command, "--set", f"command={json.dumps(['python3', '-c', waiting])}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert (process.returncode, error) == (130, b"")


def read_until(descriptor: Any, text: str) -> str:
    said = ""
    while text not in said:
        said += os.read(descriptor, 4096).decode()
    return said
