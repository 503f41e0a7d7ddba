"""What `lineside broker` and `lineside watch` refuse; tests/system runs them against real brokers."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest

from lineside_cli import broker, jetstream, watch
from lineside_cli.main import main

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--broker", "http://x"], 2, "'http://x' is not a broker's address."),
        (["--broker", "mqtt://me:secret@x"], 2, "A broker's address holds no user and no password."),
        (["--count", "0"], 2, "--count 0 would print nothing."),
        (["a/#/b"], 2, "'a/#/b' is not a topic to subscribe to."),
        (["a+"], 2, "'a+' is not a topic to subscribe to."),
        ([""], 2, "'' is not a topic to subscribe to."),
        (["--ca-file", "x"], 2, "--ca-file is for TLS, and mqtt://localhost:1883 is not."),
        (
            ["--broker", "mqtts://x", "--ca-file", "/nowhere"],
            2,
            "The certificates in /nowhere cannot be used: No",
        ),
        (
            ["--broker", "mqtts://x", "--ca-file", __file__],
            2,
            f"The certificates in {__file__} cannot be used: ",
        ),
        (
            ["--broker", "mqtt://127.0.0.1:1"],
            1,
            "No broker answers at mqtt://127.0.0.1:1: Connection refused.",
        ),
    ],
)
def test_watch_refuses(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == code
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith(f"lineside: {said}")
    assert text.err.count("\n") == 1


def test_watch_says_that_an_answer_is_not_mqtt(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["watch", "--broker", f"mqtt://127.0.0.1:{server.getsockname()[1]}"]) == 1
        thread.join()
    assert "is not an MQTT broker, or wants TLS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"a":\n[1, 2]}', '{"a": [1, 2]}'),
        (b"plain", "plain"),
        ('"é\x9b"'.encode(), '"é\\x9b"'),  # C1 control characters steer terminals, and JSON allows them
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\xff\x00", "\ufffd\\x00"),
        (b"", ""),
    ],
)
def test_nothing_printed_steers_the_terminal(payload: bytes, shown: str) -> None:
    line = watch._printer()(watch.Received(0, "a\x1bb", True, payload))
    assert line.endswith(f" a\\x1bb (retained) {shown}")
    assert line.isprintable()


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'"\xff"'])
def test_what_is_no_json_is_shown_as_text(payload: bytes) -> None:
    received = watch.Received(0, "a", False, payload)
    shown = payload.decode(errors="replace")
    assert watch._printer()(received).endswith(shown)
    assert json.loads(watch._json_line(received))["payload"] == shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "0"], "0 is not a port."),
        (["--port", "65536"], "65536 is not a port."),
        (["--host", "192.0.2.1"], "192.0.2.1, port 1883, cannot be listened on: Cannot assign"),
        (["--host", "host.invalid"], "host.invalid, port 1883, cannot be listened on: "),
        (["--port", "18899", "--state", "/proc/here"], "The folder /proc/here cannot be used: "),
    ],
)
def test_broker_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["broker", *arguments]) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith(f"lineside: {said}")
    assert text.err.count("\n") == 1


def test_broker_refuses_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["broker", "--port", str(port), "--state", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.startswith(f"lineside: Port {port} on 127.0.0.1 is in use")
    assert not (tmp_path / "new").exists()


def test_the_state_folder_is_where_xdg_puts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert broker.default_state() == Path("/xdg/lineside/broker")
    for not_absolute in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", not_absolute)
        assert broker.default_state() == tmp_path / ".local/state/lineside/broker"


def test_the_configuration_is_found_beside_the_source_and_in_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert broker.find_config() == REPOSITORY / "broker-config" / "nats" / "plain.conf"
    package = tmp_path / "site-packages" / "lineside_cli"
    (package / "broker-config" / "nats").mkdir(parents=True)
    packed = package / "broker-config" / "nats" / "plain.conf"
    packed.touch()
    monkeypatch.setattr(broker, "__file__", str(package / "broker.py"))
    assert broker.find_config() == packed


def test_nothing_answers_where_nothing_listens() -> None:
    with socket.socket() as bound:  # bound, not listening: nobody else can have the port
        bound.bind(("127.0.0.1", 0))
        assert not broker.answers("127.0.0.1", bound.getsockname()[1])


def test_a_servers_ports_are_waited_for(tmp_path: Path) -> None:
    """nats-server writes them a little after it answers MQTT clients."""
    file = tmp_path / "nats-server_7.ports"
    os.mkfifo(file)  # whoever reads is held up until somebody writes, so the order is certain

    def write() -> None:
        with file.open("w") as half:
            half.write('{"nats": ["nats://127.0.')  # the reader must look again
            file.unlink()
        file.write_text('{"nats": ["nats://127.0.0.1:4223"]}')

    writer = threading.Thread(target=write)
    writer.start()
    assert jetstream.client_port(tmp_path, 7) == 4223
    writer.join()
