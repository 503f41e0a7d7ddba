"""A real agent and its service manager: what it says while it senses, hangs, goes on and stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_agent_commands import make_bundle

from lineside_contract.manifest import Channel

_WATCHDOG_S = 2.0  # an agent that is well says so every half second
_CONFIG = """\
device = "pump-1"
bundle = "pump.bundle.zip"
[broker]
url = "mqtt://127.0.0.1:9"
[sensors.main]
kind = "simulated"
interval_s = 0.05
control_file = "fault.toml"
"""


class Agent:
    """The process and the manager's end of its socket."""

    def __init__(self, folder: Path) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(_WATCHDOG_S * 1e6)),
            "RUNTIME_DIRECTORY": str(folder),
        }
        command = [sys.executable, "-m", "lineside_cli.main", "agent", "run", "--quiet"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def hears(self, word: str, within_s: float) -> bool:
        """Tell whether a message with a word comes, each within so many seconds of the one before."""
        self.manager.settimeout(within_s)
        try:
            while word not in self.manager.recv(4096).decode():
                pass
        except TimeoutError:
            return False
        return True


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    make_bundle(tmp_path / "pump.bundle.zip", [Channel(name="speed_rpm")])
    (tmp_path / "agent.toml").write_text(_CONFIG)
    started = Agent(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()
    started.manager.close()


def test_a_sensing_thread_that_hangs_feeds_no_watchdog_however_well_the_rest_is(agent, tmp_path) -> None:
    assert agent.hears("READY=1", 60)
    assert all(agent.hears("WATCHDOG=1", _WATCHDOG_S) for _ in range(3))
    pipe = tmp_path / "fault.toml"
    os.mkfifo(pipe)  # reading it waits for a writer: as a driver may, in a call that no stop reaches
    while agent.hears("WATCHDOG=1", _WATCHDOG_S):
        pass  # what it said before it looked at the file
    assert agent.process.poll() is None
    os.close(os.open(pipe, os.O_WRONLY))
    pipe.unlink()
    assert agent.hears("WATCHDOG=1", 10)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.hears("STOPPING=1", 10)
    assert agent.process.wait(10) == 0
    assert not (tmp_path / "alive").exists()
