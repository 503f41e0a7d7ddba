"""The promise, end to end: real processes, a real broker, real kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty

import pytest
from collector_messages import predictions, status
from collector_processes import Broker, Peer, Running, free_port

from lineside_cli.main import main
from lineside_collector import queries
from lineside_collector.gaps import gaps
from lineside_collector.stored import predictions as stored_predictions
from lineside_contract.messages import Ack, CollectorStatus, decode
from lineside_contract.ranges import SeqRanges
from lineside_contract.topics import Kind, device_topic

Run = Callable[..., Running]
Peers = Callable[..., Peer]
PORTIONS, MESSAGES, ROWS = 4, 500, 20


def committed(path: Path) -> SeqRanges:
    database = queries.open_store(path)
    try:
        (boot,) = queries.boots(database)
        return SeqRanges((one.seq, one.seq) for one in stored_predictions(database) if one.boot == boot.boot)
    finally:
        database.close()


def wait_for_acks(peer: Peer, acknowledged: SeqRanges, count: int) -> None:
    """Read acknowledgements until so many numbers are acknowledged."""
    deadline = time.monotonic() + 60
    while acknowledged.count < count:
        _, payload = peer.messages.get(timeout=max(0.1, deadline - time.monotonic()))
        acknowledged.update(decode(payload, Ack).committed["aa-1"])


def drain(peer: Peer, acknowledged: SeqRanges) -> None:
    try:
        while True:
            acknowledged.update(decode(peer.messages.get(timeout=0.2)[1], Ack).committed["aa-1"])
    except Empty:
        pass


@pytest.mark.system
def test_killed_at_any_moment_it_loses_nothing_and_stores_nothing_twice(
    broker: Broker, run: Run, peer: Peers, path: Path
) -> None:
    site = "killed"
    arguments = ("--broker", broker.url, "--site", site, "--id", "c", "--store", str(path))
    device = peer(device_topic(site, "press-4", Kind.ACK))
    acknowledged, unfinished = SeqRanges(), 0
    for portion in range(PORTIONS):
        one = run(*arguments)
        one.wait_for("collector ready")
        sent = portion * MESSAGES * ROWS
        for first in range(sent, sent + MESSAGES * ROWS, ROWS):
            device.send(predictions(first, first + ROWS - 1), site)
        wait_for_acks(device, acknowledged, acknowledged.count + 1)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
        drain(device, acknowledged)
        there = committed(path)
        assert all(there.covers(first, last) for first, last in acknowledged), "acknowledged, not committed"
        unfinished += there.count < sent + MESSAGES * ROWS
    assert unfinished, "every kill came too late to prove anything"
    one = run(*arguments)
    one.wait_for("collector ready")
    total = PORTIONS * MESSAGES * ROWS
    # As an agent does: a kill between the broker's word and its own took the acknowledgement with it.
    for first in range(0, total, ROWS):
        if not acknowledged.covers(first, first + ROWS - 1):
            device.send(predictions(first, first + ROWS - 1), site)
    wait_for_acks(device, acknowledged, total)
    assert list(acknowledged) == [(0, total - 1)]
    database = queries.open_store(path)
    assert [row.seq for row in stored_predictions(database)] == list(range(total))
    assert [gap.missing for gap in gaps(database)] == [[]]


@pytest.mark.system
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_is_clean_and_said(
    broker: Broker, run: Run, peer: Peers, path: Path, number: signal.Signals, code: int
) -> None:
    site = f"stopped-{code}"
    watcher = peer(f"lineside/v1/{site}/collectors/+/status")
    one = run("--broker", broker.url, "--site", site, "--id", "c", "--store", str(path))
    one.wait_for("collector ready")
    one.process.send_signal(number)
    assert one.process.wait(timeout=20) == code
    states = [decode(watcher.messages.get(timeout=10)[1], CollectorStatus).state for _ in range(2)]
    assert states == ["online", "stopped"]
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.system
def test_a_killed_collector_is_said_to_be_offline(broker: Broker, run: Run, peer: Peers, path: Path) -> None:
    watcher = peer("lineside/v1/lost/collectors/+/status")
    one = run("--broker", broker.url, "--site", "lost", "--id", "c", "--store", str(path))
    one.wait_for("collector ready")
    one.process.kill()
    words = [decode(watcher.messages.get(timeout=10)[1], CollectorStatus) for _ in range(2)]
    assert [word.state for word in words] == ["online", "offline"]
    assert words[0].run == words[1].run


@pytest.mark.system
def test_a_wrong_password_is_one_sentence_and_code_1(tmp_path: Path, path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["/usr/bin/mosquitto_passwd", "-b", "-c", str(passwords), "c", "right"], check=True)
    passwords.chmod(0o644)
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    arguments = ("--broker", broker.url, "--site", "s", "--store", str(path), "--username", "c")
    try:
        wrong = Running(*arguments, LINESIDE_BROKER_PASSWORD="wrong")
        _, said = wrong.process.communicate(timeout=30)
        assert wrong.process.returncode == 1
        assert len(said.splitlines()) == 1
        assert "refused" in said
        assert "Check --username" in said
        right = Running(*arguments, LINESIDE_BROKER_PASSWORD="right")
        right.wait_for("collector ready")
        right.end()
    finally:
        broker.kill()


@pytest.mark.system
def test_without_a_broker_it_waits_and_stops_when_told(run: Run, path: Path) -> None:
    one = run("--broker", f"mqtt://127.0.0.1:{free_port()}", "--site", "s", "--store", str(path))
    one.wait_for("is not reachable")
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(timeout=20) == 0


@pytest.mark.system
def test_a_store_has_one_collector_and_is_free_when_it_is_killed(run: Run, path: Path) -> None:
    arguments = ("--broker", f"mqtt://127.0.0.1:{free_port()}", "--site", "s")
    first = run(*arguments, "--store", str(path))
    first.wait_for("is not reachable")
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    for one in (path, link):
        second = run(*arguments, "--store", str(one), "--id", "other")
        _, said = second.process.communicate(timeout=30)
        assert second.process.returncode == 2
        assert said == (
            f"lineside: Another collector writes to the store {one}."
            " Stop it, or give this one a --store and an --id of its own.\n"
        )
    assert main(["collector", "predictions", "--store", str(path)]) == 0
    first.process.kill()
    first.process.wait()
    run(*arguments, "--store", str(path)).wait_for("is not reachable")


@pytest.mark.system
def test_predictions_are_followed(broker: Broker, run: Run, peer: Peers, path: Path) -> None:
    one = run("--broker", broker.url, "--site", "followed", "--id", "c", "--store", str(path))
    one.wait_for("collector ready")
    device = peer(device_topic("followed", "press-4", Kind.ACK))
    device.send(status("online"), "followed")
    device.send(predictions(0, 1), "followed")
    wait_for_acks(device, SeqRanges(), 2)
    follower = subprocess.Popen(
        [
            *(sys.executable, "-m", "lineside_cli.main", "collector", "predictions"),
            *("--store", str(path), "--follow", "--json", "--last", "1"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert '"seq":1,' in follower.stdout.readline()
    for first, last in ((4, 5), (2, 3)):
        device.send(predictions(first, last), "followed")
        for seq in (first, last):
            assert f'"seq":{seq},' in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    follower.stdout.close()
    assert follower.wait(timeout=20) == 130
