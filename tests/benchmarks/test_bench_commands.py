"""`lineside bench NAME` teaches, refuses in one sentence, and loads nothing heavy before it must."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lineside_benchmarks import commands
from lineside_benchmarks.peers import install
from lineside_cli.main import main
from lineside_contract.errors import LinesideError

HEAVY = ("numpy", "onnx", "onnxruntime", "sklearn", "skl2onnx", "paho", "scipy", "sqlite3", "asyncio")


@pytest.mark.parametrize("name", commands.NAMES)
def test_help_teaches_and_loads_nothing_heavy(name: str) -> None:
    code = (
        "import sys, contextlib; from lineside_cli.main import main\n"
        f"with contextlib.suppress(SystemExit): main(['bench', {name!r}, '--help'])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert f"usage: lineside bench {name}" in done.stdout
    assert "examples:" in done.stdout


@pytest.mark.parametrize("name", commands.BENCHMARKS)
def test_every_benchmark_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(f"lineside_benchmarks.{name}").run)


def test_the_bundles_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 2
    text = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    assert capsys.readouterr().out == text
    assert set(commands.NAMES) <= set(re.findall(r"\w+", text.partition("Names in place of BUNDLE")[2]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["outage", "--scenario", "flood"], "There is no scenario 'flood'. Known: agent-killed,"),
        (["outage", "--system", "NodeRED"], "There is no system 'NodeRED'. Did you mean 'Node-RED'?"),
        (["peers", "install", "nodered"], "There is no peer 'nodered'. Did you mean 'node-red'?"),
        (["compare", "a.json", "b.json"], "a.json cannot be read: No such file or directory."),
    ],
)
def test_wrong_names_are_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"lineside: {says}")


@pytest.mark.system
def test_ctrl_c_ends_it_in_one_line(tmp_path: Path) -> None:
    """A terminal sends SIGINT to every process of the group, also to one that is importing."""
    output = tmp_path / "results"
    bench = subprocess.Popen(
        [*(sys.executable, "-m", "lineside_cli.main", "bench"), "inference", "--quick", "-o", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert bench.stderr is not None
    assert bench.stderr.readline() == "models and readings ...\n"
    while not (children := psutil.Process(bench.pid).children()):
        pass
    while "numpy" not in Path(f"/proc/{children[0].pid}/maps").read_text():
        pass
    os.killpg(bench.pid, signal.SIGINT)
    assert bench.communicate(timeout=60) == ("", "lineside: interrupted; nothing is written.\n")
    assert bench.returncode == 130
    assert not children[0].is_running()
    assert list(tmp_path.iterdir()) == []


def test_peers_are_listed_with_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = tmp_path / "lineside" / "peers" / "node-red" / install.PEERS["node-red"].program
    program.parent.mkdir(parents=True)
    program.touch()
    assert main(["bench", "peers", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(install.PEERS)
    assert sum("not installed" in line for line in lines) == len(install.PEERS) - 1
    assert str(program) in lines[-1]


def test_a_peer_that_cannot_be_installed_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = install.Peer("nothing", ("./no-such-package-here",), "pip", "bin/none")
    monkeypatch.setitem(install.PEERS, "broken", broken)
    with pytest.raises(
        LinesideError, match=r"broken could not be installed: .* The benchmarks run without it\."
    ):
        install.install("broken")
    assert not (tmp_path / "lineside" / "peers" / "broken").exists()
