"""`lineside broker` and `lineside watch` as a user runs them: processes of their own."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from brokers import PASSWORDS, Broker, free_port
from clients import Client
from processes import Process, Processes

from lineside_cli import jetstream
from lineside_cli.broker import answers

pytestmark = pytest.mark.system

TOPIC = "lineside/v1/site-1/pump-1/event"


def start_broker(processes: Processes, state: Path, port: int, *more: str) -> Process:
    process = processes.lineside("broker", "--port", str(port), "--state", str(state), *more)
    assert process.wait_for("broker ready") == f"broker ready on mqtt://127.0.0.1:{port}"
    return process


def server_of(process: Process) -> psutil.Process:
    (server,) = psutil.Process(process.pid).children()
    assert server.name() == "nats-server"
    return server


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_broker_starts_and_stops(
    processes: Processes, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    port = free_port()
    process = start_broker(processes, tmp_path / "a folder", port)
    server = server_of(process)
    assert answers("127.0.0.1", port)
    assert process.stop(number) == code
    assert not server.is_running()
    assert not answers("127.0.0.1", port)
    assert "Server Exiting" in (tmp_path / "a folder" / "nats-server.log").read_text()


def test_the_server_dies_with_the_command(processes: Processes, tmp_path: Path) -> None:
    port = free_port()
    process = start_broker(processes, tmp_path, port)
    server = server_of(process)
    process.kill()
    deadline = time.monotonic() + 10
    # Where process 1 does not collect orphans, as in some containers, what died remains as a zombie.
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    start_broker(processes, tmp_path, port)  # the files are free again


def test_the_command_limits_what_may_wait(processes: Processes, tmp_path: Path) -> None:
    process = start_broker(processes, tmp_path, free_port())
    port = jetstream.client_port(tmp_path, server_of(process).pid)
    stream = jetstream.request(port, f"$JS.API.STREAM.INFO.{jetstream.MESSAGES}")["config"]
    assert (stream["max_bytes"], stream["discard"]) == (3_000_000_000, "old")


def test_a_dead_server_ends_the_command(processes: Processes, tmp_path: Path) -> None:
    process = start_broker(processes, tmp_path, free_port())
    server_of(process).kill()
    assert process.wait() == 1
    assert "nats-server ended by itself" in process.output
    assert "Traceback" not in process.output


def test_a_port_in_use_is_one_sentence(nats: Broker, processes: Processes, tmp_path: Path) -> None:
    process = processes.lineside("broker", "--port", str(nats.port), "--state", str(tmp_path / "new"))
    assert process.wait() == 2
    assert process.output == (
        f"lineside: Port {nats.port} on 127.0.0.1 is in use, perhaps by another broker. "
        "Stop that, or choose another with --port."
    )
    assert not (tmp_path / "new").exists()


def test_two_brokers_do_not_share_files(processes: Processes, tmp_path: Path) -> None:
    start_broker(processes, tmp_path, free_port())
    second = processes.lineside("broker", "--port", str(free_port()), "--state", str(tmp_path))
    assert second.wait() == 2
    assert second.output.startswith(f"lineside: Another broker keeps its files in {tmp_path}.")


def test_watch_prints_what_flows(broker: Broker, processes: Processes) -> None:
    with Client(broker) as client:
        client.publish(TOPIC, b'{"seq": 1}', retain=True)
        watch = processes.lineside("watch", "--broker", broker.url, "--count", "3")
        assert watch.wait_for(TOPIC).endswith(f'{TOPIC} (retained) {{"seq": 1}}')
        client.publish(TOPIC, b'{"seq":\n2}')
        client.publish("elsewhere", b"not ours")
        client.publish(TOPIC, b"no JSON, \x1b[31m")
        assert watch.wait() == 0
    assert [line.split(" ", 1)[1] for line in watch.lines[1:]] == [
        f'{TOPIC} {{"seq": 2}}',
        f"{TOPIC} no JSON, \\x1b[31m",
    ]


def test_watch_prints_json_lines(broker: Broker, processes: Processes) -> None:
    with Client(broker) as client:
        watch = processes.lineside("watch", "--broker", broker.url, "--json", "--count", "2", f"{TOPIC}/#")
        before = time.time() * 1000
        client.publish(TOPIC, b'{"seq": 1}', retain=True)  # retained: it does not matter who was first
        watch.wait_for("seq")
        client.publish(TOPIC, b"\xff")
        assert watch.wait() == 0
    first, second = (json.loads(line) for line in watch.lines)
    assert before - 1 <= first.pop("ts") <= time.time() * 1000
    first.pop("retained")
    assert first == {"topic": TOPIC, "payload": {"seq": 1}}
    assert second["payload"] == "\ufffd"


def test_watch_connects_again(broker: Broker, processes: Processes) -> None:
    with Client(broker) as client:
        client.publish(TOPIC, b"1", retain=True)
    watch = processes.lineside("watch", "--broker", broker.url)
    watch.wait_for(f"{TOPIC} (retained) 1")
    broker.stop()
    watch.wait_for("connection lost; trying again")
    broker.start()
    watch.wait_for("connected again")
    with Client(broker) as client:
        client.publish(TOPIC, b"2", retain=True)
    watch.wait_for(" 2")
    assert watch.stop(signal.SIGINT) == 130
    assert "Traceback" not in watch.output


def test_watch_with_tls_and_a_user(tls_broker: Broker, processes: Processes) -> None:
    assert tls_broker.certificates
    arguments = [
        *("watch", "--broker", tls_broker.url, "--username", "observer", "--count", "1"),
        *("--ca-file", str(tls_broker.certificates.ca)),
    ]
    with Client(tls_broker, user="pump-1") as device:
        device.publish(TOPIC, b"1", retain=True)
    password = {"LINESIDE_BROKER_PASSWORD": PASSWORDS["observer"]}
    watch = processes.lineside(*arguments, env=password)
    assert watch.wait() == 0
    assert watch.output.endswith(f"{TOPIC} (retained) 1")

    wrong = processes.lineside(*arguments, env={"LINESIDE_BROKER_PASSWORD": "wrong"})
    assert wrong.wait() == 1
    assert wrong.output.startswith("lineside: The broker refused the connection: Not authorized.")

    untrusted = processes.lineside(*arguments[:-2], env=password)
    assert untrusted.wait() == 1
    assert "cannot be trusted" in untrusted.output
    assert "--ca-file" in untrusted.output

    plain = processes.lineside("watch", "--broker", f"mqtt://127.0.0.1:{tls_broker.port}")
    assert plain.wait(30) == 1
    assert "wants TLS" in plain.output
    assert plain.output.count("\n") == 0


def test_watch_into_a_closed_pipe_ends_quietly(broker: Broker, processes: Processes) -> None:
    command = f"{sys.executable} -m lineside_cli.main watch --broker {broker.url} | head -n 1"
    shell = processes.start("bash", "-c", f"set -o pipefail; {command}")
    with Client(broker) as client:
        client.publish(TOPIC, b"{}", retain=True)
        shell.wait_for(TOPIC)
        deadline = time.monotonic() + 20
        while shell.running and time.monotonic() < deadline:  # it notices when it prints the next one
            client.publish(TOPIC, b"{}")
    assert shell.wait() == 0
    assert len(shell.lines) == 1
