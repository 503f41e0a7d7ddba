"""`lineside doctor`: what it makes of machines, and what it finds on this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lineside_agent import board
from lineside_agent.doctor import facts as facts_module
from lineside_agent.doctor import tiny
from lineside_agent.doctor.child import Trial, run, try_import, try_model
from lineside_agent.doctor.facts import Facts, Folder, Software, file_system, gather
from lineside_agent.doctor.rules import Finding, judge
from lineside_cli.main import main

GOOD = Facts(
    software=Software("Linux", "aarch64", 64, (2, 36), (3, 11)),
    packages={"numpy": Trial("2.4.6"), "onnxruntime": Trial("1.32.0"), "paho-mqtt": Trial("2.2.0")},
    model=Trial(),
    memory_bytes=800_000_000,
    folder=Folder(Path("/var/lib/lineside"), "ext4", 20_000_000_000),
    year=2026,
    synchronised=True,
    temperature_c=51.0,
    throttling=([], []),
)
GONE = Trial(problem="is not installed", hint="Run: pip", missing=True)


def found(facts: Facts) -> dict[str, Finding]:
    return {finding.name: finding for finding in judge(facts)}


def software(**changes: object) -> Facts:
    return GOOD._replace(software=GOOD.software._replace(**changes))


def without_runtime(facts: Facts) -> Facts:
    return facts._replace(
        packages={**facts.packages, "onnxruntime": GONE}, model=Trial(problem="was not tried")
    )


def test_a_state_folder_that_is_to_be_made_is_named() -> None:
    made = GOOD._replace(folder=GOOD.folder._replace(made=Path("/var/lib/lineside/a/b")))
    said = found(made)["state"]
    assert (said.state, said.detail) == (
        "ok",
        "/var/lib/lineside/a/b can be made: /var/lib/lineside is on ext4",
    )
    cannot = made._replace(folder=made.folder._replace(problem="Permission denied"))
    said = found(cannot)["state"]
    assert said.state == "failed"
    assert said.detail == (
        "/var/lib/lineside/a/b cannot be made: /var/lib/lineside cannot be written to (Permission denied)."
    )
    assert "--state" in said.hint


def test_a_good_board_has_nothing_to_say_against_it() -> None:
    assert {finding.state for finding in judge(GOOD)} == {"ok"}
    assert not [finding for finding in judge(GOOD) if finding.hint]


@pytest.mark.parametrize(
    ("facts", "name", "words"),
    [
        (software(machine="armv7l", bits=32), "architecture", "no onnxruntime wheels for 32 bits"),
        (software(bits=32), "architecture", "the kernel has 64 bits, the system on it 32"),
        (software(machine="riscv64"), "architecture", "no onnxruntime wheels for riscv64"),
        (software(glibc=None), "C library", "no wheels for musl"),
        (software(glibc=(2, 17)), "C library", "glibc 2.17 is older than 2.28"),
        (software(python=(3, 99)), "Python", "newer than the wheels"),
    ],
)
def test_where_there_is_no_wheel_only_one_that_was_built_helps(facts: Facts, name: str, words: str) -> None:
    finding = found(without_runtime(facts))[name]
    assert finding.state == "failed"
    assert words in finding.detail
    assert finding.hint
    built = found(facts)[name]
    assert (built.state, built.hint) == ("warning", "Keep the wheel that you built.")
    assert found(GOOD)[name].state == "ok"


@pytest.mark.parametrize(
    ("facts", "name", "state", "words"),
    [
        (software(system="Darwin"), "system", "failed", "runs on Linux; this is Darwin"),
        (software(python=(3, 10)), "Python", "failed", "3.10 is too old"),
        (without_runtime(GOOD), "onnxruntime", "failed", "onnxruntime is not installed."),
        (without_runtime(GOOD), "model", "failed", "was not tried"),
        (
            GOOD._replace(packages={"onnxruntime": Trial("1.21.0")}),
            "onnxruntime",
            "failed",
            "1.21.0 is too old: 1.21 dies on a Raspberry Pi 4",
        ),
        (GOOD._replace(packages={"onnxruntime": Trial("1.22.1")}), "onnxruntime", "ok", "1.22.1"),
        (
            GOOD._replace(packages={"numpy": Trial("2.4", "fails: x", "Run")}),
            "numpy",
            "failed",
            "numpy 2.4 fails",
        ),
        (GOOD._replace(memory_bytes=40_000_000), "memory", "failed", "40 MB free"),
        (GOOD._replace(memory_bytes=100_000_000), "memory", "warning", "100 MB free"),
        (GOOD._replace(memory_bytes=None), "memory", "ok", "does not tell"),
        (GOOD._replace(folder=GOOD.folder._replace(kind="tmpfs")), "state", "warning", "would be lost"),
        (GOOD._replace(folder=GOOD.folder._replace(kind="overlay")), "state", "warning", "restart"),
        (GOOD._replace(folder=GOOD.folder._replace(kind="nfs4")), "state", "warning", "network"),
        (
            GOOD._replace(folder=GOOD.folder._replace(problem="Read-only file system")),
            "state",
            "failed",
            "cannot be written to",
        ),
        (GOOD._replace(folder=GOOD.folder._replace(free_bytes=10**8)), "disk", "warning", "0.1 GB free"),
        (GOOD._replace(year=1970), "clock", "warning", "It says 1970"),
        (GOOD._replace(synchronised=False), "clock", "warning", "Nothing keeps it right"),
        (GOOD._replace(synchronised=None), "clock", "ok", "does not tell"),
        (GOOD._replace(temperature_c=81.5), "temperature", "warning", "82 degrees"),
        (GOOD._replace(throttling=(["under-voltage"], [])), "temperature", "warning", "now by under-voltage"),
        (
            GOOD._replace(throttling=([], ["throttling"])),
            "temperature",
            "warning",
            "since its start by throttling",
        ),
    ],
)
def test_every_rule_speaks_up(facts: Facts, name: str, state: str, words: str) -> None:
    finding = found(facts)[name]
    assert finding.state == state
    assert words in finding.detail
    assert bool(finding.hint) == (state != "ok")
    others = [each for each in judge(facts) if each.state != "ok" and each.name != name]
    assert all(each.name in ("model", "onnxruntime") for each in others)


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "instruction", "onnxruntime 1.21.0"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "memory that is not its own",
            "reinstall",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "lack of memory", "dmesg"),
        ("import os; os.abort()", "gave up", "/sys"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGUSR1)", "SIGUSR1", "once more"),
        ("import no_such_module_anywhere", "is not installed", "pip install 'lineside[agent]'"),
        (
            "raise ImportError('libx.so.1: cannot open shared object file')",
            "libx.so.1",
            "apt-file search libx.so.1",
        ),
        ("raise RuntimeError('built for X86_V2.')", "fails: built for X86_V2", "--force-reinstall some"),
        ("raise SystemExit(3)", "it said nothing", "--force-reinstall some"),
    ],
)
def test_a_child_that_ends_badly_is_explained(tmp_path: Path, monkeypatch, code, words, hint) -> None:
    monkeypatch.chdir(tmp_path)
    trial = run(code, "some")
    assert words in trial.problem
    assert hint in trial.hint
    assert not trial.problem.endswith(".")
    assert not list(tmp_path.iterdir())  # no core file


def test_a_child_that_hangs_is_given_up() -> None:
    trial = run("import signal; signal.pause()", "some", longest_s=0.2)
    assert trial.problem == "did not end in 0.2 s"


def test_a_file_of_the_working_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not numpy')")
    monkeypatch.chdir(tmp_path)
    assert try_import("numpy") == Trial(np.__version__)


def test_the_tiny_model_is_the_graph_that_it_says_it_is() -> None:
    graph = onnx.load_from_string(tiny.MODEL).graph
    onnx.checker.check_model(tiny.MODEL, full_check=True)
    assert [node.op_type for node in graph.node] == [
        "ConstantOfShape",
        "MatMul",
        "ConstantOfShape",
        "DynamicQuantizeLinear",
        "MatMulInteger",
    ]
    assert numpy_helper.to_array(graph.initializer[0]).tolist() == [tiny.WIDTH, tiny.WIDTH]
    numbers = np.arange(tiny.WIDTH)
    assert numbers.sum() / 2 == tiny.FLOAT
    assert np.rint(numbers * 255 / 63).sum() == tiny.INTEGER
    assert try_model() == Trial()


def test_a_machine_that_computes_wrongly_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (
        "import numpy as np\n"
        "class SessionOptions: pass\n"
        "class InferenceSession:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def run(self, *_): return np.full((1, 64), 1008.0), np.full((1, 64), 8159)\n"
    )
    (tmp_path / "onnxruntime.py").write_text(wrong)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trial = try_model()
    assert trial.problem == "a small model answers 1008 and 8159 instead of 1008 and 8160"
    assert "broken" in trial.hint


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = (
        "/dev/root / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/sda1 /mnt/my\\040disk vfat rw 0 0\n"
        "overlay / overlay rw 0 0\n"
    )
    assert file_system(Path("/var/lib"), mounts) == "overlay"  # mounted over the first
    assert file_system(Path("/run/lineside"), mounts) == "tmpfs"
    assert file_system(Path("/running"), mounts) == "overlay"
    assert file_system(Path("/mnt/my disk/state"), mounts) == "vfat"
    assert file_system(Path("/x"), "") == ""


def test_the_state_folder_need_not_be_there(tmp_path: Path) -> None:
    folder = facts_module.folder(tmp_path / "a" / "b")
    assert (folder.path, folder.made, folder.problem) == (tmp_path, tmp_path / "a" / "b", "")
    assert folder.free_bytes > 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert facts_module.folder(tmp_path / "file").problem == "it is no folder"


@pytest.mark.parametrize("state", ["/proc", "/proc/lineside/state"])
def test_a_state_folder_that_takes_nothing_is_found_by_trying(state: str) -> None:
    """Root may write to everything, says access(2)."""
    folder = facts_module.folder(Path(state))
    assert folder.path == Path("/proc")
    assert folder.problem


def test_a_pis_throttling_is_read_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = tmp_path / "get_throttled"
    monkeypatch.setattr(board, "_THROTTLED", word)
    assert board.throttling() is None
    for text, expected in {
        "0\n": ([], []),
        "50005\n": (["under-voltage", "throttling"], ["under-voltage", "throttling"]),
        "80000\n": ([], ["the soft temperature limit"]),
    }.items():
        word.write_text(text)
        assert board.throttling() == expected


def test_the_memory_is_no_more_than_the_control_group_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(facts_module, "_MEMORY_LIMITS", (limit,))
    limit.write_text("max\n")
    free = facts_module.memory_bytes()
    assert free is not None
    assert free > 1_000_000
    limit.write_text("1000000\n")
    assert facts_module.memory_bytes() == 1_000_000


def test_what_this_machine_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--state", str(tmp_path)])
    told = json.loads(capsys.readouterr().out)
    states = {each["name"]: each["state"] for each in told["findings"]}
    assert states["onnxruntime"] == states["model"] == "ok"
    assert code == told["exit_code"] == {"ok": 0, "warning": 1, "failed": 2}[worst(set(states.values()))]


def worst(states: set[str]) -> str:
    return next(state for state in ("failed", "warning", "ok") if state in states)


def test_a_tmpfs_is_a_warning_and_a_crash_a_failure(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    command = [sys.executable, "-m", "lineside_cli.main", "doctor", "--state", "/dev/shm"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("WARNING") and "tmpfs" in line]
    [crash] = [line for line in lines if line.startswith("FAILED") and "Importing onnxruntime" in line]
    assert "an instruction that this processor does not have" in crash
    assert lines[-1] == "This machine cannot run an agent as it is."
    assert "\x1b" not in done.stdout


def test_it_imports_nothing_that_could_crash_it() -> None:
    code = (
        "import sys; from lineside_cli.main import main; main(['doctor']); "
        "print(sorted({'numpy', 'onnxruntime', 'paho', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_each_trial_is_announced(tmp_path: Path) -> None:
    said: list[str] = []
    gather(tmp_path, said.append)
    assert said == [
        "importing numpy",
        "importing onnxruntime",
        "importing paho-mqtt",
        "running a small model",
    ]
