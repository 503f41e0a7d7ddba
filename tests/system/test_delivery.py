"""What was predicted arrives, once, whatever fails in between: real brokers, real processes, real kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import PASSWORDS, Broker
from line import DEVICE, Line, assert_complete, write_recording
from processes import Process, Processes

from lineside_benchmarks.counter import write_counting_bundle
from lineside_benchmarks.proxy import Proxy

pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_counting_bundle(tmp_path_factory.mktemp("bundle") / "counter-1.0.0.bundle.zip")


@pytest.fixture
def line(tmp_path: Path, processes: Processes, bundle: Path) -> Line:
    return Line(tmp_path, processes, bundle)


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    """Wait for something that only looking can show, such as rows in the collector's file."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def finish(agent: Process) -> None:
    """Wait until the recording has ended and every message is acknowledged: the agent ends by itself."""
    assert agent.wait(60) == 0, agent.output


def recording(line: Line, readings: int = 600, per_second: float = 200) -> Path:
    return write_recording(line.folder / "count.csv", readings, per_second)


@pytest.mark.parametrize("promise", ["broker", "collector"])
@pytest.mark.parametrize("messages", ["single", "columns"])
def test_nothing_fails(line: Line, broker: Broker, promise: str, messages: str) -> None:
    line.start_collector(broker.url)
    line.configure(
        broker.url, recording(line), speed='"fast"', delivery__promise=promise, delivery__messages=messages
    )
    finish(line.start_agent())
    wait_until(lambda: line.count() == 600, "600 predictions in the collector")
    assert_complete(line.stored()[1])
    assert line.gaps()[0] == 0
    wait_until(lambda: line.device_state() == "stopped", "a clean stop told apart from a lost device")


def test_nothing_fails_with_encryption_passwords_and_permissions(line: Line, tls_broker: Broker) -> None:
    """The device may do all that it needs, and nothing it does is silently forbidden."""
    assert tls_broker.certificates is not None
    authority = str(tls_broker.certificates.ca)
    options = ("--username", "collector", "--ca-file", authority)
    line.start_collector(tls_broker.url, *options, password=PASSWORDS["collector"])
    line.configure(tls_broker.url, recording(line), broker__username=DEVICE, broker__ca_file=authority)
    finish(line.start_agent(password=PASSWORDS[DEVICE]))
    assert_complete(line.stored()[1], 600)
    assert line.gaps()[0] == 0
    wait_until(lambda: line.device_state() == "stopped", "a clean stop")


def test_a_refused_password_is_told_once_and_costs_no_reading(line: Line, tls_broker: Broker) -> None:
    assert tls_broker.certificates is not None
    authority = str(tls_broker.certificates.ca)
    settings = {"broker__username": DEVICE, "broker__ca_file": authority}
    line.configure(tls_broker.url, recording(line, 200), **settings)
    check = line.start_agent("check", password="wrong")
    assert check.wait() == 1
    assert "does not let this user in" in check.output
    assert "Traceback" not in check.output
    agent = line.start_agent(password="wrong")
    agent.wait_for("does not let this user in")
    agent.wait_for("messages wait to be acknowledged")
    assert agent.stop() == 0
    assert "Traceback" not in agent.output
    line.start_collector(
        tls_broker.url, "--username", "collector", "--ca-file", authority, password=PASSWORDS["collector"]
    )
    finish(line.start_agent(password=PASSWORDS[DEVICE]))
    stored = line.stored()
    assert_complete(stored[1], 200)
    assert_complete(stored[2], 200)


@pytest.mark.parametrize("promise", ["broker", "collector"])
def test_the_agent_is_killed_in_mid_stream(line: Line, nats: Broker, promise: str) -> None:
    """What was put in the outbox before the kill is there, and no id was used twice."""
    line.start_collector(nats.url)
    line.configure(nats.url, recording(line), delivery__promise=promise)
    for boot in (1, 2):
        agent = line.start_agent()
        wait_until(lambda boot=boot: len(line.stored().get(boot, [])) > 60, f"predictions of boot {boot}")
        agent.kill()
        wait_until(lambda: line.device_state() == "offline", "the last will")
    finish(line.start_agent())
    wait_until(lambda: len(line.stored().get(3, [])) == 600, "all of the third boot")
    stored = line.stored()
    assert_complete(stored[1])
    assert_complete(stored[2])
    assert_complete(stored[3], 600)
    assert line.gaps()[0] == 0


def test_the_agent_is_killed_while_the_broker_is_away(line: Line, broker: Broker) -> None:
    """Only the outbox holds what was predicted: a killed agent finds it there again."""
    line.configure(broker.url, recording(line))
    collector = line.start_collector(broker.url)
    first = line.start_agent()
    wait_until(lambda: line.count() > 20, "first predictions")
    broker.kill()
    held = line.count()
    time.sleep(1.0)  # readings that nobody can take: real time is the point
    first.kill()
    broker.start()
    collector.wait_for("collector ready", after=1)
    finish(line.start_agent())
    wait_until(lambda: len(line.stored().get(2, [])) == 600, "all of the second boot")
    stored = line.stored()
    assert_complete(stored[1])
    assert len(stored[1]) > held + 100
    assert_complete(stored[2], 600)
    assert line.gaps()[0] == 0


def test_the_broker_is_killed_and_forgets_everything(line: Line, broker: Broker) -> None:
    """Promise `collector`: what the broker acknowledged and lost is sent again."""
    line.start_collector(broker.url)
    line.configure(broker.url, recording(line, 1000))
    agent = line.start_agent()
    for held in (100, 400):
        wait_until(lambda held=held: line.count() > held, f"{held} predictions")
        broker.kill()
        forget(broker)
        broker.start()
    finish(agent)
    assert_complete(line.stored()[1], 1000)
    assert line.gaps()[0] == 0


def forget(broker: Broker) -> None:
    """Delete what the broker wrote: persistence off."""
    for path in broker.folder.iterdir():
        if path.name == "mosquitto.db":
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)


def test_the_broker_keeps_what_it_acknowledged(line: Line, nats: Broker) -> None:
    """Promise `broker` on nats-server: durable through SIGKILL, with the collector away at the time."""
    collector = line.start_collector(nats.url)
    line.configure(nats.url, recording(line), delivery__promise="broker")
    agent = line.start_agent()
    wait_until(lambda: line.count() > 50, "first predictions")
    collector.stop()
    time.sleep(0.5)  # predictions that the broker has to keep
    nats.kill()
    nats.start()
    finish(agent)
    line.start_collector(nats.url)
    wait_until(lambda: line.count() == 600, "600 predictions in the collector")
    assert_complete(line.stored()[1], 600)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_collector_is_away_for_a_while(line: Line, broker: Broker, how: signal.Signals) -> None:
    line.configure(broker.url, recording(line))
    collector = line.start_collector(broker.url)
    agent = line.start_agent()
    wait_until(lambda: line.count() > 50, "first predictions")
    collector.send(how)
    collector.wait()
    held = line.count()
    time.sleep(0.7)  # predictions that nobody commits
    assert line.count() == held
    line.start_collector(broker.url)
    finish(agent)
    assert_complete(line.stored()[1], 600)
    assert line.gaps()[0] == 0


@pytest.mark.parametrize("failure", ["cut", "blackhole"])
@pytest.mark.parametrize("promise", ["broker", "collector"])
def test_the_network_fails(line: Line, broker: Broker, proxy: Proxy, failure: str, promise: str) -> None:
    """A reset connection, and one that is silently dead: only a time-out shows that."""
    line.start_collector(broker.url)
    line.configure(proxy.url, recording(line, 1000), delivery__promise=promise)
    agent = line.start_agent()
    wait_until(lambda: line.count() > 100, "first predictions")
    getattr(proxy, failure)()
    agent.wait_for("connection is lost", timeout=30)
    proxy.restore()
    finish(agent)
    wait_until(lambda: line.count() == 1000, "1000 predictions in the collector")
    assert_complete(line.stored()[1], 1000)
    assert line.gaps()[0] == 0


def test_the_outbox_overflows(line: Line, nats: Broker) -> None:
    """The oldest go first, the newest arrive, and what is gone is announced to the last number."""
    line.configure(nats.url, recording(line, 3000), speed='"fast"', delivery__outbox_bytes=100_000)
    agent = line.start_agent()  # nothing acknowledges
    agent.wait_for("messages wait to be acknowledged")
    line.start_collector(nats.url)
    finish(agent)
    seqs = [seq for seq, _ in line.stored()[1]]
    values = [value for _, value in line.stored()[1]]
    assert values[-1] == 2999
    assert len(values) == len(set(values)) < 3000
    assert seqs == sorted(seqs)
    code, gaps = line.gaps()
    assert code == 0, gaps
    dropped = {seq for first, last in gaps[0]["dropped"] for seq in range(first, last + 1)}
    assert dropped
    assert dropped.isdisjoint(seqs)
    lost_readings = set(range(3000)) - set(values)
    assert len(dropped) >= len(lost_readings)  # the events among them are dropped too


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.root
def test_the_disk_is_full(line: Line, nats: Broker, small_disk: Path) -> None:
    """Sensing and live publishing go on from memory, with an alarm, and nothing is corrupted."""
    line.state = small_disk / "state"
    line.configure(nats.url, recording(line, 2000))
    agent = line.start_agent()
    agent.wait_for("connected to")
    (small_disk / "filler").write_bytes(b"x" * 150_000)
    agent.wait_for("the disk takes nothing")
    line.start_collector(nats.url)
    wait_until(lambda: line.count() > 500, "live predictions while the disk is full")
    (small_disk / "filler").unlink()
    finish(agent)
    assert_complete(line.stored()[1], 2000)
    assert line.gaps()[0] == 0


def test_everything_fails_at_once(line: Line, mosquitto: Broker) -> None:
    collector = line.start_collector(mosquitto.url)
    line.configure(mosquitto.url, recording(line, 800))
    agent = line.start_agent()
    wait_until(lambda: line.count() > 50, "first predictions")
    mosquitto.kill()
    collector.kill()
    agent.kill()
    forget(mosquitto)
    mosquitto.start()
    agent = line.start_agent()
    line.start_collector(mosquitto.url)
    finish(agent)
    stored = line.stored()
    assert_complete(stored[1])
    assert_complete(stored[2], 800)
    assert line.gaps()[0] == 0


def test_a_stop_in_mid_stream_is_clean_and_nothing_is_left_behind(line: Line, nats: Broker) -> None:
    line.start_collector(nats.url)
    line.configure(nats.url, recording(line, 5000))
    agent = line.start_agent()
    wait_until(lambda: line.count() > 50, "first predictions")
    began = time.monotonic()
    assert agent.stop(signal.SIGINT) == 130
    assert time.monotonic() - began < 4
    wait_until(lambda: line.device_state() == "stopped", "a clean stop")
    assert_complete(line.stored()[1])
    assert line.gaps()[0] == 0
