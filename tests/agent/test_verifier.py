"""Signatures verified in another process: whatever happens to it, only its plain yes is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from test_admission import folder, port  # noqa: F401

from lineside_agent.verifier import made_elsewhere
from lineside_cli.main import main
from lineside_contract import ed25519
from lineside_contract.errors import LinesideError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
RAW = KEY.public_key().public_bytes_raw()
GOOD = (RAW, KEY.sign(b"said"))
FALSE = (RAW, KEY.sign(b"else"))
# Other programs in the place of the one that verifies; all read the question.
ENDS = {
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "was ended by signal 9",
    "print('made 1'); sys.exit(3)": "exit code 3",
    "print('made 1'); raise MemoryError": "failed (MemoryError)",
    "": "the answer was none",
    "print('made 1', end='')": "the answer was none",
    "print('made 11')": "the answer was none",
    "print('made')": "the answer was none",
    "print('made 2')": "the answer was none",
    "print('made 1\\n')": "the answer was none",
    "print('1')": "the answer was none",
    "print('hello, made 1')": "the answer was none",
    "sys.stdout.buffer.write(b'\\xff' * 100_000)": "the answer was none",
}


def instead(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path = folder / "instead.py"
    path.write_text(f"import sys\nsys.stdin.buffer.read()\n{program}\n")
    monkeypatch.setattr(ed25519, "__file__", str(path))


@pytest.mark.parametrize("pairs", [[], [GOOD], [FALSE], [FALSE, GOOD, (bytes(32), GOOD[1]), GOOD]])
def test_it_says_what_the_package_says_here(pairs: list[ed25519.Pair]) -> None:
    assert made_elsewhere(b"said", pairs) == ed25519.made(b"said", pairs) == [pair == GOOD for pair in pairs]


def test_nothing_of_it_stays_here() -> None:
    program = (
        "import sys; from lineside_agent.verifier import made_elsewhere;"
        f"print(made_elsewhere(b'said', [{GOOD!r}]), 'cryptography' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[True] False\n"


@pytest.mark.parametrize(("program", "reason"), ENDS.items())
def test_what_is_no_answer_is_a_refusal(
    program: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(program, tmp_path, monkeypatch)
    with pytest.raises(LinesideError) as error:
        made_elsewhere(b"said", [GOOD])
    assert reason in error.value.message
    assert error.value.exit_code == 1  # a service manager may try again
    assert error.value.hint


def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "pid"
    instead(
        f"import os, signal; open({str(written)!r}, 'w').write(str(os.getpid())); signal.pause()",
        tmp_path,
        monkeypatch,
    )
    with pytest.raises(LinesideError, match=r"no answer came within 1 s"):
        made_elsewhere(b"said", [GOOD], patience_s=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(written.read_text()), 0)


def test_a_python_that_cannot_be_started_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/none/python")
    with pytest.raises(LinesideError, match="/none/python cannot be started: No such file"):
        made_elsewhere(b"said", [GOOD])


def test_the_agent_does_not_run_what_could_not_be_verified(
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    instead("sys.exit(1)", folder, monkeypatch)
    assert main(["agent", "run"]) == 1
    assert "The bundle's signature could not be verified" in capsys.readouterr().err
    assert not sorted(Path("state").glob("outbox/*"))
