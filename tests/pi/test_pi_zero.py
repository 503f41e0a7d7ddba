"""A service without root, and the agent with as little as a small board has, in a booted system."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from brokers import Broker
from line import DEVICE, SITE, Line
from pi_bundles import make_forest
from pi_system import HOST, boot
from pi_userland import HERE, Userland
from processes import Processes

from lineside_agent.sensors.simulated import CHANNELS

_RATES = (10, 50, 200, 1000)
_SECONDS = 30
_BUNDLE = "machine--auto--compact.bundle.zip"
_PI = 1000  # the first user's id on every Debian
_CONFIG = """\
site = "{site}"
device = "{device}"
bundle = "{bundle}"
[broker]
url = "mqtt://{host}:{port}"
[heartbeat]
every_s = 1
[sensors.main]
"""
_REPLAY = 'kind = "replay"\nfile = "/etc/lineside/0.csv"\ntimestamp = "none"\ninterval_s = 1\n'
_SIMULATED = (
    'kind = "simulated"\ninterval_s = 0.25\nsample_rate_hz = 2000\ncontrol_file = "/srv/fault.toml"\n'
)


def test_a_service_of_a_user_and_a_quarter_of_a_core(
    userland: Userland,
    tmp_path: Path,
    broker: Broker,
    processes: Processes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = Line(tmp_path, processes, tmp_path)
    line.start_collector(broker.url)
    _furnish(userland, make_forest(tmp_path) / _BUNDLE, broker.port)
    script = f'RATES="{" ".join(map(str, _RATES))}"\n' + (HERE / "zero.sh").read_text()
    console = boot(userland, tmp_path, script, board="pi4", timeout=1500)
    told = dict(re.findall(r"^== (\S+): (.*)$", console, re.MULTILINE))
    with capsys.disabled():
        print("\n" + "\n".join(f"{name:<18}{value}" for name, value in told.items()))
    assert "failed" not in told, console

    assert told["user_installed"] == "0", console
    assert told["user_is"] == "pi"
    assert told["user_confined"] == "NoNewPrivs:1 Seccomp:2"
    assert told["user_health"].startswith("Sensing last got on")
    assert told["user_recovered"] == "active"
    assert told["user_uninstalled"].startswith("Removed /home/pi/.config/systemd/user/")
    assert "lineside/agent.toml" in told["user_left"]
    assert ".service" not in told["user_left"]
    for rate in _RATES:
        assert "restarts=0 result=success" in told[f"slow_{rate}"]
    # Whatever the rate: late, perhaps, but every reading, once.
    assert _stored(line.store)[-len(_RATES) :] == [rate * _SECONDS for rate in _RATES]
    code, boots = line.gaps()
    assert code == 0
    assert all(each["numbered"] == each["received"] for each in boots), boots


def _stored(store: Path) -> list[int]:
    """Return how many predictions are stored of each boot, in order."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT count(*) FROM predictions GROUP BY boot_id ORDER BY boot_id")
        return [count for (count,) in found]


def _furnish(userland: Userland, bundle: Path, port: int) -> None:
    """Put the user, both configurations and the recordings into the system."""
    userland.run("useradd", "--no-create-home", "--home-dir", "/home/pi", "--uid", str(_PI), "pi")
    home = userland.upper / "home/pi"
    own, machine = home / ".config/lineside", userland.upper / "etc/lineside"
    for folder, sensor, name in ((own, _SIMULATED, f"{DEVICE}-user"), (machine, _REPLAY, DEVICE)):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle, folder / bundle.name)
        inside = f"/{(folder / bundle.name).relative_to(userland.upper)}"
        text = _CONFIG.format(site=SITE, device=name, bundle=inside, host=HOST, port=port)
        (folder / "agent.toml").write_text(text + sensor)
    rows = np.random.default_rng(0).normal(size=(max(_RATES) * _SECONDS, len(CHANNELS["indicators"])))
    for rate in _RATES:
        header = ",".join(CHANNELS["indicators"])
        path = machine / f"{rate}.csv"
        np.savetxt(path, rows[: rate * _SECONDS], delimiter=",", header=header, comments="", fmt="%.6g")
    for path in (home, *home.rglob("*")):
        os.chown(path, _PI, _PI, follow_symlinks=False)
