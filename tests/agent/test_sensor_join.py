from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sensor_source import ImpatientClock
from sensor_sources import Hwmon, SerialPort, Thermal

from lineside_agent.check import Request, check
from lineside_agent.clock import Signal, SystemClock
from lineside_agent.counters import Counters, SensorCounters
from lineside_agent.encode import Identity
from lineside_agent.heartbeat import Heartbeats
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.reader import Reader
from lineside_agent.sensors import EndOfReadings, join, open_sensor
from lineside_agent.sensors.join import Join
from lineside_agent.settings import Settings, load
from lineside_contract.errors import InputError, SensorError
from lineside_contract.manifest import Channel
from lineside_contract.messages import Heartbeat

S = 10**9
START = 1_700_000_000
HEAD = 'device = "pump-1"\nbundle = "pump.bundle.zip"\n'


def read_settings(folder: Path, text: str) -> Settings:
    (folder / "agent.toml").write_text(HEAD + text)
    return load(folder / "agent.toml", {})


@pytest.fixture
def stop() -> Iterator[Signal]:
    made = Signal()
    yield made
    made.close()


def open_join(folder: Path, text: str, stop: Signal) -> Join:
    sensor = read_settings(folder, text).sensors["join"]
    opened = open_sensor(sensor.kind, sensor.options, ImpatientClock(), stop)
    assert isinstance(opened, Join)
    return opened


def recording(folder: Path, name: str, times: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    rows = "".join(f"{START + t:.3f},{v}\n" for t, v in zip(times.tolist(), values.tolist(), strict=True))
    (folder / f"{name}.csv").write_text(f"timestamp,{name}\n{rows}")


def replay(*names: str, method: str = "previous") -> str:
    return "".join(
        f'[sensors.{name}]\nkind = "replay"\nfile = "{name}.csv"\nspeed = "fast"\nmethod = "{method}"\n'
        for name in names
    )


def everything(sensor: Join) -> tuple[list[float], list[list[float]]]:
    times: list[float] = []
    values: list[list[float]] = []
    try:
        while True:
            block = sensor.read()
            times += ((block.timestamps - START * S) / S).tolist()
            values += block.values.tolist()
    except EndOfReadings:
        return times, values


def test_recordings_of_different_rates_become_one(tmp_path: Path, stop: Signal) -> None:
    fast = np.arange(0, 100, 0.01)
    recording(tmp_path, "fast", fast, fast)
    recording(tmp_path, "slow", np.arange(0.5, 100, 1), np.arange(100))
    text = (
        "[join]\nrate_hz = 2\nmax_gap_s = 2\nwait_s = 5\n" + replay("fast") + replay("slow", method="linear")
    )
    sensor = open_join(tmp_path, text, stop)
    try:
        assert sensor.channels == ("fast", "slow")
        times, values = everything(sensor)
    finally:
        sensor.close()
    assert times == np.arange(0.5, 99.6, 0.5).tolist()
    assert np.allclose(values, [[t, t - 0.5] for t in times], atol=1e-3)


def test_what_the_model_does_not_want_is_not_waited_for(tmp_path: Path, stop: Signal) -> None:
    recording(tmp_path, "a", np.arange(5), np.arange(5))
    recording(tmp_path, "b", np.arange(1), np.arange(1))
    sensor = open_join(tmp_path, "[join]\nrate_hz = 1\nmax_gap_s = 1\n" + replay("a", "b"), stop)
    sensor.choose(["a"])
    assert everything(sensor)[1] == [[0], [1], [2], [3], [4]]
    sensor.close()


def test_rows_end_with_the_first_part_that_ends_or_go_on_without_it(tmp_path: Path, stop: Signal) -> None:
    recording(tmp_path, "a", np.arange(0, 20, 0.5), np.arange(40))
    recording(tmp_path, "b", np.arange(3), np.arange(3))
    counts = {}
    for gap in ("drop", "hold", "missing"):
        text = f'[join]\nrate_hz = 1\nmax_gap_s = 2\nwait_s = 5\ngap = "{gap}"\n' + replay("a", "b")
        sensor = open_join(tmp_path, text, stop)
        counts[gap] = len(everything(sensor)[0])
        sensor.close()
    assert counts == {"drop": 5, "hold": 20, "missing": 20}


@pytest.mark.parametrize(("gap", "runs"), [("drop", [4, 10]), ("hold", [16]), ("missing", [16])])
def test_rows_that_are_left_out_are_a_gap(tmp_path: Path, stop: Signal, gap: str, runs: list[int]) -> None:
    recording(tmp_path, "a", np.arange(16), np.arange(16))
    there = np.array([*range(4), *range(6, 16)])
    recording(tmp_path, "b", there, there)
    text = f'[join]\nrate_hz = 1\nmax_gap_s = 0.5\nwait_s = 5\ngap = "{gap}"\n' + replay("a", "b")
    sensor = open_join(tmp_path, text, stop)
    found: list[int] = []
    try:
        while True:
            rows = len(sensor.read().timestamps)
            if sensor.take_gap() or not found:
                found.append(0)
            found[-1] += rows
    except EndOfReadings:
        assert found == runs
    finally:
        sensor.close()


TREES = """
[join]
rate_hz = 100
max_gap_s = 0.05
gap = "{gap}"
[sensors.board]
kind = "hwmon"
sysfs = "board/sys"
rate_hz = 200
columns = ["temp1_c"]
[sensors.cpu]
kind = "thermal"
sysfs = "cpu/sys"
rate_hz = 200
columns = ["cpu_thermal_c"]
channels = {{ "cpu_thermal_c" = "cpu_c" }}
"""


@pytest.mark.parametrize("gap", ["drop", "hold", "missing"])
def test_a_part_that_dies_is_told_and_the_others_go_on_as_the_rules_say(
    tmp_path: Path, stop: Signal, gap: str
) -> None:
    board, cpu = Hwmon(tmp_path / "board"), Thermal(tmp_path / "cpu")
    board.start()
    cpu.start()
    settings = read_settings(tmp_path, TREES.format(gap=gap)).sensors["join"]
    counters = Counters("join")
    wanted = [Channel(name="cpu_c"), Channel(name="temp1_c")]
    reader = Reader(settings, wanted, "pass", counters.sensors["join"], ImpatientClock(), stop)
    try:
        reader.open()
        assert next_rows(reader)[-1].tolist() == pytest.approx([48.2, 48.2])
        assert [name for name, _ in counters.every_sensor()] == ["join", "board", "cpu"]
        cpu.kill()
        assert_news(reader, "sensor_failed", "cpu")
        assert dict(counters.every_sensor())["cpu"].state == "failed"
        assert dict(counters.every_sensor())["board"].state == "ok"
        if gap == "drop":
            assert_silent(reader, stop)
        else:
            deadline = time.monotonic() + 5
            while np.isnan(row := next_rows(reader)[-1]).any() != (gap == "missing"):
                assert time.monotonic() < deadline
            assert row[1] == pytest.approx(48.2)
        cpu.start()
        assert_news(reader, "sensor_recovered", "cpu")
        deadline = time.monotonic() + 5
        while np.isnan(next_rows(reader)[-1]).any():
            assert time.monotonic() < deadline
        assert counters.sensors["join"].failures == 0
    finally:
        reader.close()


def next_rows(reader: Reader) -> Any:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if (block := reader.read()) is not None:
            return block.values
    raise AssertionError("no rows come")


def assert_news(reader: Reader, event: str, part: str) -> None:
    deadline = time.monotonic() + 5
    while not (news := reader.take_news()):
        assert time.monotonic() < deadline, "nothing is told"
        reader.read()
    assert (news[0].event, news[0].sensor) == (event, part)


def assert_silent(reader: Reader, stop: Signal) -> None:
    """After what was on its way, no row comes."""
    for _ in range(100):
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        block = reader.read()
        timer.cancel()
        timer.join()
        if stop.raised and block is None:
            stop.clear()
            return
        stop.clear()
    raise AssertionError("rows come")


def test_a_part_that_is_not_there_at_the_start_holds_nobody_up_if_its_channels_are_known(
    tmp_path: Path, stop: Signal
) -> None:
    board, port = Hwmon(tmp_path / "board"), SerialPort(tmp_path)
    board.start()
    text = TREES.format(gap="missing").partition("[sensors.cpu]")[0]
    text += f'[sensors.scale]\nkind = "serial"\nport = "{tmp_path}/port"\ncolumns = ["a", "b"]\n'
    sensor = open_join(tmp_path, text, stop)
    try:
        assert sensor.channels == ("temp1_c", "a", "b")
        while not len(block := sensor.read().values):
            pass
        assert np.isnan(block[0, 1:]).all()
        port.start()
        deadline = time.monotonic() + 5
        while not len(block := sensor.read().values) or np.isnan(block[-1]).any():
            assert time.monotonic() < deadline
        assert block[-1, 2] == 2
    finally:
        sensor.close()
        port.stop()


def test_a_part_whose_channels_nobody_knows_is_tried_again(tmp_path: Path, stop: Signal) -> None:
    Hwmon(tmp_path / "board").start()
    with pytest.raises(SensorError, match="The sensor cpu is not there yet") as error:
        open_join(tmp_path, TREES.format(gap="hold").replace('columns = ["cpu_thermal_c"]', ""), stop)
    assert "[sensors.cpu]" in error.value.hint


def test_what_can_never_work_is_refused_with_the_sensors_name(tmp_path: Path, stop: Signal) -> None:
    recording(tmp_path, "a", np.arange(5), np.arange(5))
    text = "[join]\nrate_hz = 1\nmax_gap_s = 1\n" + replay("a")
    with pytest.raises(InputError, match=r"Sensor b: .*b\.csv cannot be read"):
        open_join(tmp_path, text + replay("b"), stop)
    with pytest.raises(InputError, match="The channel 'a' comes from a and b") as error:
        open_join(tmp_path, text + replay("b").replace("b.csv", "a.csv"), stop)
    assert "Rename one" in error.value.hint


def test_a_line_that_nobody_can_read_ends_it_as_it_would_alone(tmp_path: Path, stop: Signal) -> None:
    recording(tmp_path, "a", np.arange(500), np.arange(500))
    with (tmp_path / "a.csv").open("a") as file:
        file.write(f"{START + 501},oops\n")
    sensor = open_join(tmp_path, "[join]\nrate_hz = 1\nmax_gap_s = 1\n" + replay("a"), stop)
    with pytest.raises(InputError, match=r"Sensor a: .*oops"):
        everything(sensor)
    sensor.close()


def test_a_part_whose_clock_is_far_behind_is_told_and_no_longer_waited_for(
    tmp_path: Path, stop: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "_LONGEST_STALL_S", 0.2)
    monkeypatch.setattr(join, "_MOST_AHEAD", 50)
    now = np.arange(0, 300, 0.1)
    recording(tmp_path, "now", now, now)
    recording(tmp_path, "late", np.arange(-3600, -3300, 0.1), np.arange(3000))
    text = '[join]\nrate_hz = 1\nmax_gap_s = 1\ngap = "missing"\nwait_s = 60\n' + replay("now", "late")
    text = text.replace('late.csv"\nspeed = "fast"', 'late.csv"\nspeed = 1.0')
    text = text.replace('now.csv"\nspeed = "fast"', 'now.csv"\nspeed = "fast"\nblock = 10')
    sensor = open_join(tmp_path, text, stop)
    try:
        times: list[int] = []
        news: list[Any] = []
        while len(times) < 5 or min(times[-5:]) < START * S:
            times += sensor.read().timestamps.tolist()
            news += sensor.take_news()
        assert [(each.event, each.sensor) for each in news] == [("sensor_failed", "late")]
        assert "Its readings are 36" in news[0].detail
    finally:
        sensor.close()


def test_a_stop_and_a_close_are_quick_whatever_the_parts_do(tmp_path: Path, stop: Signal) -> None:
    Hwmon(tmp_path / "board").start()
    text = TREES.format(gap="hold").partition("[sensors.cpu]")[0]
    text += '[sensors.quiet]\nkind = "exec"\ncommand = ["sh", "-c", "echo a; exec sleep 1000"]\n'
    sensor = open_join(tmp_path, text, stop)
    timer = threading.Timer(0.1, stop.set)
    began = time.monotonic()
    timer.start()
    assert len(sensor.read().timestamps) == 0
    sensor.close()
    sensor.close()
    assert time.monotonic() - began < 1.5
    timer.join()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("sensor-")]


def test_text_is_read_as_the_model_wants_it(tmp_path: Path, stop: Signal) -> None:
    rows = "".join(f"{START + n},{n},{text}\n" for n, text in zip(range(4), itertools.cycle(["on", "off"])))
    (tmp_path / "a.csv").write_text(f"timestamp,a,state\n{rows}")
    settings = read_settings(tmp_path, "[join]\nrate_hz = 1\nmax_gap_s = 1\n" + replay("a")).sensors["join"]
    wanted = [Channel(name="state", categories=["off", "on"]), Channel(name="a")]
    reader = Reader(settings, wanted, "skip", SensorCounters(), ImpatientClock(), stop)
    reader.open()
    block = reader.read()
    assert block is not None
    assert block.values.tolist()[:2] == [[1, 0], [0, 1]]
    reader.close()


def test_settings_without_a_join_stay_as_they_were(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, '[sensors.main]\nkind = "simulated"\n')
    assert list(settings.sensors) == ["main"]
    assert settings.sensors["main"].kind == "simulated"


def test_paths_and_settings_of_the_parts_are_read_as_ever(tmp_path: Path) -> None:
    text = "[join]\nrate_hz = 0.1\nmax_gap_s = 20\n" + replay("a", "b", method="mean")
    joined = read_settings(tmp_path, text).sensors["join"].options
    assert joined.rules.rate_hz == 0.1
    assert joined.parts["a"].options.file == tmp_path / "a.csv"
    assert joined.parts["b"].method == "mean"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            replay("a", "b"),
            "has 2 sensors; an agent has exactly one, unless it joins several. Write a section [join]",
        ),
        (replay("a"), "agent.toml: [sensors.a] method needs a section [join]"),
        ("[join]\nrate_hz = 1\n" + replay("a", "b"), "lacks max_gap_s in [join]"),
        ("[join]\nrate_hz = 0\nmax_gap_s = 1\n" + replay("a"), "[join] rate_hz: Expected float > 0.0"),
        ("[join]\nrate = 0\nmax_gap_s = 1\n" + replay("a"), "Did you mean 'rate_hz'?"),
        (
            '[join]\nrate_hz = 1\nmax_gap_s = 1\ngap = "x"\n' + replay("a"),
            "choose from 'drop', 'hold', 'missing'",
        ),
        (
            "[join]\nrate_hz = 1\nmax_gap_s = 1\n" + replay("a", method="cubic"),
            "choose from 'previous', 'linear', 'mean'",
        ),
        ("[join]\nrate_hz = 1\nmax_gap_s = 1\n", "has 0 sensors"),
        ('[sensors.main]\nkind = "join"\n', "There is no sensor of kind 'join'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_settings(tmp_path, text)
    assert message in str(error.value)


def test_check_says_which_of_several_sensors_fails(tmp_path: Path) -> None:
    Hwmon(tmp_path / "board").start()
    for gap, state in (("drop", "failed"), ("missing", "ok")):
        (tmp_path / "agent.toml").write_text(HEAD + TREES.format(gap=gap))
        results = check(Request(tmp_path / "agent.toml", {}, wait_s=0.3, offline=True))
        (sensor,) = (result for result in results if result.step == "sensor")
        assert sensor.state == state
        assert "cpu: " in sensor.detail
        assert "has no thermal zone" in sensor.detail


def test_the_heartbeat_has_a_state_for_each_sensor(tmp_path: Path, stop: Signal) -> None:
    Hwmon(tmp_path / "board").start()
    settings = read_settings(tmp_path, TREES.format(gap="missing")).sensors["join"]
    counters, clock = Counters("join"), SystemClock()
    reader = Reader(
        settings,
        [Channel(name="temp1_c"), Channel(name="cpu_c")],
        "pass",
        counters.sensors["join"],
        clock,
        stop,
    )
    outbox = Outbox(tmp_path / "outbox", Limits(), clock.monotonic)
    try:
        reader.open()
        next_rows(reader)
        heartbeats = Heartbeats(Identity("pump-1", outbox.boot, "m", "1"), counters, tmp_path, 10.0, clock)
        told = msgspec.json.decode(heartbeats.next(clock.monotonic(), outbox, 1, 0), type=Heartbeat)
    finally:
        reader.close()
        outbox.close()
    assert {name: health.state for name, health in told.sensors.items()} == {
        "join": "ok",
        "board": "ok",
        "cpu": "failed",
    }
    assert "has no thermal zone" in told.sensors["cpu"].detail
