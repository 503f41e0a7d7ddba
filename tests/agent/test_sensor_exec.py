from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors.exec import Exec, Settings
from lineside_contract.errors import BadReading, InputError, SensorError


@pytest.fixture
def opened() -> Iterator[Any]:
    stop = Signal()
    sensors: list[Exec] = []

    def open_(*command: str, **options: Any) -> Exec:
        sensors.append(Exec(Settings(command=command, **options), SystemClock(), stop))
        return sensors[-1]

    yield open_
    for sensor in sensors:
        sensor.close()
    stop.close()


def rows(sensor: Exec, count: int) -> list[list[float]]:
    found: list[list[float]] = []
    while len(found) < count:
        found += sensor.read().values.tolist()
    return found


def test_lines_of_json_and_csv_are_told_apart(opened: Any) -> None:
    assert rows(opened("printf", '{"a": 1, "b": 2}\\n'), 1) == [[1, 2]]
    assert rows(opened("printf", "timestamp;a;b\\n1;2;3\\n"), 1) == [[2, 3]]


def test_a_pattern_takes_its_named_groups_and_passes_other_lines_over(opened: Any) -> None:
    sensor = opened(
        "printf",
        "boot ok\\nT=21.5C t=1700000000 state=on\\n\\nT=C t=1700000001 state=off\\n",
        format="regex",
        pattern=r"T=(?P<temperature_c>[\d.]*)C t=(?P<timestamp>\d+)",
    )
    assert sensor.channels == ("temperature_c",)
    block = sensor.read()
    assert block.timestamps.tolist() == [1_700_000_000 * 10**9, 1_700_000_001 * 10**9]
    assert block.values[0] == 21.5
    assert np.isnan(block.values[1])


def test_a_pattern_that_is_never_found_is_told(opened: Any) -> None:
    sensor = opened(
        "sh", "-c", "for n in $(seq 150); do echo x $n; done", format="regex", pattern=r"(?P<a>\d+)y"
    )
    with pytest.raises(
        BadReading, match="'x 100', which is no reading: the pattern is found in none of the last 100"
    ):
        rows(sensor, 1)


def test_a_program_that_ends_says_why(opened: Any) -> None:
    sensor = opened("sh", "-c", "echo a; echo 1; echo lost the probe >&2; exit 3")
    assert rows(sensor, 1) == [[1]]
    with pytest.raises(
        SensorError, match=r"The program 'sh' has ended with code 3; it wrote: lost the probe\."
    ) as error:
        sensor.read()
    assert (
        error.value.hint == "Run it by hand as the agent's user."
    )  # whether it is started again, its reader knows


def test_a_program_without_a_line_says_why(opened: Any) -> None:
    with pytest.raises(SensorError, match=r"ended with code 0 without a line; it wrote: nothing to do\."):
        opened("sh", "-c", "echo nothing to do. >&2")
    with pytest.raises(SensorError, match="was ended by SIGKILL without a line"):
        opened("sh", "-c", "kill -9 $$")
    with pytest.raises(SensorError, match=r"The first line .* cannot be used: it must name the columns"):
        opened("echo", "1,2")


def test_much_on_standard_error_does_not_hold_it_up(opened: Any) -> None:
    sensor = opened("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo a; echo 1; sleep 60")
    assert rows(sensor, 1) == [[1]]


def test_it_may_be_run_again_and_again(opened: Any) -> None:
    sensor = opened("sh", "-c", "echo 'a,b'; echo $$,2", every_s=0.01)
    sensor.choose(["b", "a"])
    found = rows(sensor, 3)
    assert [row[0] for row in found] == [2, 2, 2]
    assert len({row[1] for row in found}) == 3


def test_a_stop_ends_the_pause_between_two_runs() -> None:
    stop = Signal()
    sensor = Exec(Settings(command=("printf", "a\\n1\\n"), every_s=3600), SystemClock(), stop)
    assert rows(sensor, 1) == [[1]]
    stop.set()
    assert sensor.read().values.shape == (0, 1)
    sensor.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": ()}, "names no program"),
        ({"command": ("ls", "a\0b")}, "null character"),
        ({"command": ("x",), "pattern": "a"}, 'pattern needs format = "regex"'),
        ({"command": ("x",), "format": "regex"}, "no named group"),
        ({"command": ("x",), "format": "regex", "pattern": "("}, "is no regular expression"),
        (
            {"command": ("x",), "format": "regex", "pattern": "(?P<a>.)", "columns": ["b"]},
            "no group named 'b'",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Settings(**options)


def test_a_program_that_is_none_is_refused(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("echo hello")
    for command in ("no-such-program", "./text", "./none", "./"):
        with pytest.raises(InputError, match="There is no program"):
            opened(command, folder=tmp_path)


def test_closing_ends_what_the_program_has_started(opened: Any) -> None:
    sensor = opened("sh", "-c", "sleep 1000 & echo pid; echo $!; wait")
    ((pid,),) = rows(sensor, 1)
    sensor.close()
    assert_ends(int(pid))


def test_a_killed_agent_takes_its_program_along(tmp_path: Path) -> None:
    agent = """
import sys
from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensors.exec import Exec, Settings
sensor = Exec(Settings(command=("sh", "-c", "echo pid; echo $$; sleep 1000")), SystemClock(), Signal())
print(int(sensor.read().values[0, 0]), flush=True)
sensor.read()
"""
    with subprocess.Popen([sys.executable, "-c", agent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(process.pid, signal.SIGKILL)
    assert_ends(pid)


def assert_ends(pid: int) -> None:
    deadline = time.monotonic() + 5
    try:
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it still runs"
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        pass
