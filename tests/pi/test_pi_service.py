"""The service on a booted system: installed, confined, watched, frozen, killed, and short of memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from brokers import Broker
from line import DEVICE, SITE, Line
from pi_bundles import make_forest
from pi_system import HOST, boot
from pi_userland import HERE, Userland
from processes import Processes

_CONFIG = """\
site = "{site}"
device = "{device}"
bundle = "/home/pi/machine--auto--compact.bundle.zip"
[broker]
url = "mqtt://{host}:{port}"
[heartbeat]
every_s = 1
[sensors.main]
kind = "simulated"
interval_s = 0.25
sample_rate_hz = 2000
control_file = "/srv/fault.toml"
"""


def test_the_service_outlives_what_it_meets(
    userland: Userland,
    tmp_path: Path,
    broker: Broker,
    processes: Processes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = Line(tmp_path, processes, tmp_path)
    line.start_collector(broker.url)
    home = userland.upper / "home/pi"
    forests = make_forest(tmp_path)
    for way in ("compact", "float32"):
        bundle = forests / f"machine--auto--{way}.bundle.zip"
        (home / bundle.name).write_bytes(bundle.read_bytes())
    home.chmod(0o700)  # as Debian makes it
    config = userland.upper / "etc/lineside/agent.toml"
    config.parent.mkdir(parents=True)
    config.write_text(_CONFIG.format(site=SITE, device=DEVICE, host=HOST, port=broker.port))
    console = boot(userland, tmp_path, (HERE / "service.sh").read_text(), board="pi4", timeout=1200)
    told = dict(re.findall(r"^== (\S+): (.*)$", console, re.MULTILINE))
    with capsys.disabled():
        print("\n" + "\n".join(f"{name:<14}{value}" for name, value in told.items()))
    assert "failed" not in told, console

    assert told["installed"] == "0", console
    assert told["active"] == "active"
    assert 61184 <= int(told["user"]) <= 65519, "no user that exists only while the service runs"
    assert told["confined"] == "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2"
    assert float(re.findall(r"\d+\.\d", told["exposure"])[0]) <= 2.0
    assert told["again"].count("stays as it is.") == 3
    assert "predictions" in told["status"]
    assert told["watchdog"] == "1"
    assert told["recovered"] == "active"
    assert told["stopped"].endswith("stopped; all delivered")
    assert int(told["compact_peak"]) < 96 * 2**20
    assert told["uninstalled"] == "0 left: /etc/lineside/agent.toml"
    # Three boots of the agent; the birth of the next tells where each ended, so nothing can be missing unseen.
    code, boots = line.gaps()
    assert code == 0
    assert len(boots) >= 3
    assert all(each["numbered"] == each["received"] > 20 for each in boots[:3]), boots
