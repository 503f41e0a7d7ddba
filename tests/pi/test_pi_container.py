"""The agent's image for this machine's own processor: built, confined, watched, stopped, its state kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from line import write_recording
from pi_userland import HERE

from lineside_benchmarks.counter import write_counting_bundle

_PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
# Nobody listens there: what is predicted waits, and is counted.
_CONFIG = """\
site = "site-1"
device = "box-1"
bundle = "/etc/lineside/counter-1.0.0.bundle.zip"
[broker]
url = "mqtt://127.0.0.1:9"
[sensors.main]
kind = "replay"
file = "/etc/lineside/recording.csv"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="images are built as root")
@pytest.mark.skipif(
    not all(map(shutil.which, _PROGRAMS)), reason=f"it needs: apt-get install {' '.join(_PROGRAMS)}"
)
def test_the_image_runs_confined_and_keeps_what_waits(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    write_counting_bundle(folder / "counter-1.0.0.bundle.zip")
    write_recording(folder / "recording.csv", 20_000, 20)
    (folder / "agent.toml").write_text(_CONFIG)
    tmp_path.chmod(0o755)
    store = tmp_path / "store"
    try:
        done = subprocess.run(
            [HERE / "container.sh", folder, store], capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(store, ignore_errors=True)
    told = dict(re.findall(r"^== (\S+): (.*)$", done.stdout, re.MULTILINE))
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-3000:]}"
    assert told == {
        "identity": "10001 CapEff:0000000000000000 NoNewPrivs:1",
        "read_only": "yes",
        "running": "healthy",
        "frozen": "unhealthy",
        "stopped": "0 1",
        "kept": "yes",
    }
