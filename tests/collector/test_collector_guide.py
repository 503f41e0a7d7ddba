"""The guide's commands, run in order against a real broker and a device that sends."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector_messages import heartbeat, predictions, status
from collector_processes import Broker, Peer, Running

from lineside_cli.main import main
from lineside_contract.messages import Event

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "collector.md"
COMMANDS = ("run", "devices", "predictions", "events", "gaps", "export", "rejected")


def commands() -> Iterator[list[str]]:
    for block in re.findall(r"^ *```console\n(.*?)^ *```", GUIDE.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.strip().startswith("$ "):
                program, name, *arguments = shlex.split(line.strip().removeprefix("$ "))
                assert (program, name) == ("lineside", "collector")
                yield arguments


def send_a_minute(device: Peer) -> None:
    device.send(status("online", model="press", model_version="1.0.0"), "site-1")
    columns = {"label": ["ok", "worn"] * 30, "probability": [0.75] * 60}
    columns["probabilities"] = {"ok": [0.75, 0.25] * 30, "worn": [0.25, 0.75] * 30}
    device.send(predictions(0, 59, model="press", model_version="1.0.0", **columns), "site-1")
    device.send(
        Event(ts=1, device="press-4", boot="aa-1", seq=60, event="sensor_failed", sensor="main"), "site-1"
    )
    device.send(heartbeat(0, 61), "site-1")


@pytest.mark.system
def test_every_command_of_the_guide_works(
    broker: Broker,
    run: Callable[..., Running],
    peer: Callable[..., Peer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    first, *others = commands()
    assert first[0] == "run"
    address = [broker.url if one == "mqtt://localhost:1883" else one for one in first[1:]]
    assert address != first[1:]
    run(*address, XDG_STATE_HOME=str(tmp_path)).wait_for("collector ready")
    device = peer("lineside/v1/site-1/press-4/ack")
    send_a_minute(device)
    acknowledged = 0
    while acknowledged < 61:
        ranges = json.loads(device.messages.get(timeout=10)[1])["committed"]["aa-1"]
        acknowledged += sum(last - first + 1 for first, last in ranges)
    ran = {}
    for arguments in others:
        assert main(["collector", *arguments]) == 0, arguments
        ran[" ".join(arguments)] = capsys.readouterr().out
    assert {one.split()[0] for one in ran} == set(COMMANDS) - {"run"}
    assert "press 1.0.0" in ran["devices"]
    assert [line.split()[-2:] for line in ran["predictions --device press-4 --last 2"].splitlines()] == [
        ["ok", "0.750"],
        ["worn", "0.750"],
    ]
    assert "sensor_failed main" in ran["events"]
    assert ran["gaps"].startswith("61 messages received of 1 device: 0 missing")
    assert len(Path("predictions.csv").read_text().splitlines()) == 61
    assert Path("week.parquet").stat().st_size


@pytest.mark.system
def test_the_guides_sql_works(store: object, path: Path) -> None:
    (sql,) = re.findall(r'"(SELECT .*?)"', GUIDE.read_text(), re.DOTALL)
    readme = (GUIDE.parents[2] / "collector" / "README.md").read_text()
    (delete,) = re.findall(r"^DELETE .*;$", readme, re.MULTILINE)
    database = sqlite3.connect(path)
    assert database.execute(sql).fetchall() == []
    database.execute(delete)
    database.close()


def test_the_guide_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = GUIDE.read_text()
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main(["collector", command, "--help"])
        for option in set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}:
            assert option in text, option
