"""The sensing thread's progress: what systemd and `lineside agent health` are told, and that only it counts."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock

from lineside_agent.clock import Signal
from lineside_agent.health import look
from lineside_agent.notify import Notify, watchdog_s
from lineside_agent.progress import LONGEST_SILENCE_S, SIGN, Progress, WatchedClock
from lineside_agent.sensors import stdin
from lineside_agent.sensors.arrivals import Arrivals
from lineside_agent.sensors.line_feed import LineFeed
from lineside_agent.sensors.stdin import Stdin
from lineside_cli.main import main
from lineside_contract.errors import SensorError


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Return the words of every message since the last call."""
        words = []
        while True:
            try:
                words += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return words


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def progress(tmp_path: Path, clock: FakeClock, **environment: str) -> Progress:
    environment.setdefault("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return Progress(environment, clock.monotonic)


def test_the_manager_hears_ready_progress_and_the_end(tmp_path, manager, clock) -> None:
    told = progress(tmp_path, clock, WATCHDOG_USEC="8000000")
    told.made()  # of something before the agent senses
    assert manager.heard() == []
    told.begin(lambda: "3 predictions")
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=3 predictions"]
    told.made()
    assert manager.heard() == []
    clock.seconds += 2  # a quarter of the watchdog's time
    told.made()
    assert manager.heard() == ["WATCHDOG=1", "STATUS=3 predictions"]
    told.end()
    assert manager.heard() == ["STOPPING=1"]


def test_no_other_thread_can_feed_the_watchdog(tmp_path, manager, clock) -> None:
    told = progress(tmp_path, clock, WATCHDOG_USEC="8000000")
    told.begin(str)
    manager.heard()
    clock.seconds += 100
    other = threading.Thread(target=told.made)
    other.start()
    other.join()
    assert manager.heard() == []
    told.made()
    assert "WATCHDOG=1" in manager.heard()


def test_waiting_for_a_slow_sensor_is_progress(tmp_path, manager, clock) -> None:
    told = progress(tmp_path, clock, WATCHDOG_USEC="60000000")
    told.begin(str)
    manager.heard()
    stop = Signal()
    assert not WatchedClock(clock, told).wait(100, stop)
    assert clock.seconds == 100
    assert manager.heard().count("WATCHDOG=1") == 100 // 15
    stop.close()


def test_waiting_ends_when_the_agent_is_to_stop(tmp_path, manager) -> None:
    clock, stop = FakeClock(stop_at=40), Signal()
    assert WatchedClock(clock, progress(tmp_path, clock)).wait(3600, stop)
    assert clock.seconds == 40
    stop.close()


def test_waiting_for_the_delivery_of_a_recording_is_progress(tmp_path, manager, clock) -> None:
    told = progress(tmp_path, clock, WATCHDOG_USEC="40000")
    told.begin(str)
    manager.heard()
    delivered = threading.Event()
    delivering = threading.Thread(target=delivered.wait)
    delivering.start()
    waiting = threading.Timer(0.05, delivered.set)
    waiting.start()
    clock.seconds += 100
    told.wait_for(delivering)
    assert not delivering.is_alive()
    assert "WATCHDOG=1" in manager.heard()


def test_an_abstract_socket_is_reached() -> None:
    name = f"lineside-test-{os.getpid()}"
    manager = Manager("\0" + name)
    notify = Notify({"NOTIFY_SOCKET": "@" + name})
    notify.send("READY=1")
    assert manager.heard() == ["READY=1"]
    notify.close()
    manager.socket.close()


def test_a_manager_that_does_not_read_or_is_gone_costs_nothing(tmp_path, manager) -> None:
    notify = Notify({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(10_000):  # more than any queue takes: sending must neither wait nor fail
        notify.send("WATCHDOG=1")
    manager.socket.close()
    notify.send("WATCHDOG=1")
    notify.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_whose_watchdog_it_is(environment, seconds) -> None:
    assert watchdog_s(environment) == seconds


def test_health_tells_an_agent_that_gets_on_from_one_that_stands_still(tmp_path, clock) -> None:
    environment = {"RUNTIME_DIRECTORY": f"{tmp_path}:/another"}
    assert not look(environment, 60, clock.monotonic).healthy
    told = Progress(environment, clock.monotonic)
    told.begin(lambda: "3 predictions")
    clock.seconds += 59
    found = look(environment, 60, clock.monotonic)
    assert found == (True, "Sensing last got on 59 s ago: 3 predictions.", 59.0)
    clock.seconds += 2
    assert not look(environment, 60, clock.monotonic).healthy
    told.made()
    assert look(environment, 60, clock.monotonic).healthy
    told.end()
    assert not (tmp_path / SIGN).exists()
    assert not look(environment, 60, clock.monotonic).healthy


@pytest.mark.parametrize("text", ["", "{}", '{"monotonic_s": 1e9, "pid": 1, "status": ""}'])
def test_what_is_no_sign_of_life_is_not_health(tmp_path, clock, text) -> None:
    (tmp_path / SIGN).write_text(text)
    assert not look({"RUNTIME_DIRECTORY": str(tmp_path)}, 60, clock.monotonic).healthy


def test_an_agent_that_was_killed_is_not_healthy(tmp_path, clock) -> None:
    gone = 2**22 + 1  # above the kernel's largest process number
    (tmp_path / SIGN).write_text(f'{{"monotonic_s": 0, "pid": {gone}, "status": ""}}')
    found = look({"RUNTIME_DIRECTORY": str(tmp_path)}, 60, clock.monotonic)
    assert (found.healthy, found.age_s) == (False, None)


def test_a_folder_that_takes_nothing_does_not_stop_sensing(tmp_path, clock, caplog) -> None:
    told = Progress({"RUNTIME_DIRECTORY": str(tmp_path / "missing")}, clock.monotonic)
    told.begin(str)
    clock.seconds += LONGEST_SILENCE_S
    told.made()
    told.end()
    assert caplog.text.count("cannot be written") == 1


def test_the_health_command(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    assert main(["agent", "health", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["healthy"] is False
    told = Progress(os.environ)
    told.begin(lambda: "0 predictions")
    assert main(["agent", "health"]) == 0
    assert "Sensing last got on 0 s ago: 0 predictions." in capsys.readouterr().out
    told.end()


class CountingClock(FakeClock):
    """Raises `stop` when it has been waited by three times."""

    def wait(self, seconds: float, stop: Signal) -> bool:
        if len(self.waits) == 3:
            stop.set()
        return super().wait(seconds, stop)


@pytest.mark.parametrize("source", ["lines", "arrivals", "stdin"])
def test_waiting_for_a_silent_source_is_progress(source, monkeypatch) -> None:
    monkeypatch.setattr("lineside_agent.clock._SLICE_S", 0.001)
    clock, stop = CountingClock(), Signal()
    reader, writer = os.pipe()
    if source == "lines":
        LineFeed(reader, clock, stop).wait()
    elif source == "arrivals":
        assert not len(Arrivals(1, clock, stop).take().timestamps)
    else:
        with pytest.raises(SensorError):
            Stdin(stdin.Settings(), clock, stop, reader)
    assert clock.waits == [0.0] * 3
    os.close(reader)
    os.close(writer)
    stop.close()
