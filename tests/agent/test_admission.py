"""What an agent refuses to run, through its real commands."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_agent_commands import make_bundle

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.run import Agent
from lineside_agent.settings import load
from lineside_cli.main import main
from lineside_contract.bundle import Bundle, write_bundle
from lineside_contract.manifest import Channel

BUNDLE = "sum-1.0.0.bundle.zip"
# Python that refuses to import cryptography, as if it were not installed.
WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from lineside_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A broker's port that counts who calls: nobody may."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def folder(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """An agent that trusts ops.pub, and a bundle that ops.key signed."""
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path / BUNDLE, [Channel(name="speed_rpm"), Channel(name="current_a")])
    init = ["agent", "init", "--device", "pump-1", "--broker", f"mqtt://127.0.0.1:{port}"]
    for command in (["keygen", "-o", "ops"], ["sign", BUNDLE, "--key", "ops.key"], init):
        assert main(command) == 0
    setting("# trusted_keys = []", 'trusted_keys = ["ops.pub"]')
    setting("speed = 1.0 ", 'speed = "fast" ')
    capsys.readouterr()
    return tmp_path


def setting(old: str, new: str) -> None:
    path = Path("agent.toml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def version(number: str) -> None:
    """Put a signed bundle of this version in the place of the bundle."""
    bundle = Bundle.open(Path(BUNDLE))
    write_bundle(Path(BUNDLE), replace(bundle.manifest, version=number), bundle.files)
    assert main(["sign", BUNDLE, "--key", "ops.key"]) == 0


def checked(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What `agent check` says of the bundle."""
    capsys.readouterr()
    code = main(["agent", "check", "--offline", "--json"])
    steps = json.loads(capsys.readouterr().out)["steps"]
    step = next(step for step in steps if step["step"] == "bundle")
    assert (step["state"] == "failed") == (code == 2)
    return code, f"{step['detail']} {step['hint']}".strip()


def refused(capsys: pytest.CaptureFixture[str], message: str) -> None:
    """Check and run must both refuse, in one sentence, and start no boot."""
    boot = sorted(Path("state").glob("outbox/*"))
    code, said = checked(capsys)
    assert code == 2
    assert message in said
    assert main(["agent", "run"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"lineside: {said}\n"
    assert sorted(Path("state").glob("outbox/*")) == boot


def run_for_a_moment() -> None:
    """Start the agent as `agent run` does, and stop it before it connects."""
    settings = load(Path("agent.toml"), {})
    stop = Signal()
    settings.state.mkdir(exist_ok=True)
    agent = Agent(settings, SystemClock(), stop)
    stop.set()
    agent.run()


def test_a_trusted_bundle_runs_and_check_says_who_signed_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = checked(capsys)
    assert code == 0
    assert said.endswith("; signed by ops.pub")
    run_for_a_moment()
    assert checked(capsys)[1].endswith("; signed by ops.pub; newest that has run here: 1.0.0")


def test_without_trusted_keys_check_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting('trusted_keys = ["ops.pub"]', "")
    make_bundle(folder / BUNDLE, [Channel(name="speed_rpm")])
    code, said = checked(capsys)
    assert code == 0
    assert "signatures are not asked for (no trusted_keys)" in said


def test_an_unsigned_bundle_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(folder / BUNDLE, [Channel(name="speed_rpm"), Channel(name="current_a")])
    refused(
        capsys,
        f"{BUNDLE} is not signed. On the workstation, where the private key is: lineside sign {BUNDLE} ",
    )


def test_another_key_is_refused_until_it_is_trusted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "-o", "other"]) == 0
    assert main(["sign", BUNDLE, "--key", "other.key", "--replace"]) == 0
    refused(capsys, "is signed by a key that is not trusted here")
    assert (
        "On the workstation, sign it with the private key that belongs to ops.pub; or trust"
        in checked(capsys)[1]
    )
    setting('["ops.pub"]', '["ops.pub", "other.pub"]')
    assert checked(capsys)[1].endswith("; signed by other.pub")


def test_a_forged_bundle_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signed = Bundle.open(Path(BUNDLE))
    make_bundle(folder / BUNDLE, [Channel(name="speed_rpm")])
    other = Bundle.open(Path(BUNDLE))
    write_bundle(Path(BUNDLE), other.manifest, other.files, sign=lambda _: signed.signature or b"")
    refused(capsys, "was altered after it was signed")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('["none.pub"]', "none.pub cannot be read: No such file"),
        ('["ops.key"]', "is a private key, which only signs"),
        ('["ops.pub", "agent.toml"]', "agent.toml is not a public key"),
    ],
)
def test_a_key_that_cannot_be_used_stops_the_agent(
    folder: Path, capsys: pytest.CaptureFixture[str], keys: str, message: str
) -> None:
    setting('["ops.pub"]', keys)
    refused(capsys, message)


def test_keys_may_come_from_the_environment(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["keygen", "-o", "other"]) == 0
    monkeypatch.setenv("LINESIDE__TRUSTED_KEYS", '["other.pub"]')
    assert "not trusted here" in checked(capsys)[1]
    for wrong in ("", "ops.pub", "[1]", '[""]'):
        monkeypatch.setenv("LINESIDE__TRUSTED_KEYS", wrong)
        assert main(["agent", "run"]) == 2
        assert "LINESIDE__TRUSTED_KEYS" in capsys.readouterr().err


def test_a_key_that_anyone_may_replace_is_warned_of(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Path("ops.pub").chmod(0o666)
    with caplog.at_level(logging.WARNING):
        assert checked(capsys)[0] == 0
    assert "chmod o-w" in caplog.text


def test_a_device_without_the_package_is_told_what_to_install(folder: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, "agent", "run"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "lineside: trusted_keys needs the package cryptography, which is not installed. "
        "Run: pip install 'lineside[agent,signing]'\n"
    )
    setting('trusted_keys = ["ops.pub"]', "")  # then nothing needs it, also for a signed bundle
    command[-1:] = ["check", "--offline"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_older_version_is_refused_unless_told_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version("1.10.0")
    run_for_a_moment()
    version("1.9.0")
    refused(capsys, "sum 1.9.0 is older than 1.10.0, which has run here.")
    monkeypatch.setenv("LINESIDE__ALLOW_DOWNGRADE", "true")
    assert checked(capsys)[0] == 0
    monkeypatch.delenv("LINESIDE__ALLOW_DOWNGRADE")
    setting("# allow_downgrade = false", "allow_downgrade = true")
    run_for_a_moment()
    assert json.loads(Path("state/versions.json").read_text()) == {"sum": "1.10.0"}
    setting("allow_downgrade = true", "")
    refused(capsys, "is older than 1.10.0")
    version("1.10.1-rc1")
    run_for_a_moment()
    assert json.loads(Path("state/versions.json").read_text()) == {"sum": "1.10.1-rc1"}


def test_a_model_that_cannot_run_is_not_remembered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Bundle.open(Path(BUNDLE))
    files = {**bundle.files, "model.onnx": b"no model"}
    write_bundle(Path(BUNDLE), replace(bundle.manifest, version="9.0"), files)
    assert main(["sign", BUNDLE, "--key", "ops.key"]) == 0
    assert main(["agent", "run"]) == 2
    assert "cannot load the model" in capsys.readouterr().err
    assert not Path("state/versions.json").exists()


def test_a_damaged_memory_stops_the_agent_until_told_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("state").mkdir()
    Path("state/versions.json").write_text("{")
    refused(capsys, "which tells the newest version that ran here, cannot be read")
    setting("# allow_downgrade = false", "allow_downgrade = true")
    run_for_a_moment()
    setting("allow_downgrade = true", "")
    assert checked(capsys)[1].endswith("newest that has run here: 1.0.0")


def test_a_memory_that_cannot_be_written_is_no_reason_not_to_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lineside_agent.versions.write_whole", full)
    with caplog.at_level(logging.WARNING):
        run_for_a_moment()
    assert "an older model will not be refused" in caplog.text
    assert "No space left on device" in caplog.text
    outbox = Outbox(Path("state/outbox"), Limits(10_000_000, 100_000, 0.0), lambda: 0.0)
    assert outbox.waiting() == 1  # that the model was activated
    outbox.close()
