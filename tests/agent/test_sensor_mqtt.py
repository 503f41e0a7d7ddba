from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub
from sensor_servers import Mqtt, free_port

from lineside_agent.clock import Signal, SystemClock
from lineside_agent.sensor_cli.live import Order, show
from lineside_agent.sensors import open_sensor, topic_values
from lineside_agent.sensors.mqtt import Settings
from lineside_agent.sensors.topic_values import Gather, keys, pattern, subscriptions
from lineside_agent.settings import SensorSettings
from lineside_cli.main import main
from lineside_contract.errors import BadReading, SensorError


def settings(**options: Any) -> Settings:
    table = {"url": "mqtt://127.0.0.1", "values": {"a": {"topic": "a"}, "b": {"topic": "b"}}, **options}
    return msgspec.convert(table, Settings)


def gathering(clock: FakeClock, **options: Any) -> Gather:
    found = settings(**options)
    return Gather(found.values, found.reading == "each", found.max_age_s, clock)


def test_a_reading_is_complete_once_every_channel_is_new() -> None:
    gather = gathering(FakeClock())
    assert gather.take("a", b"1") is None
    assert gather.take("a", b"2") is None
    assert gather.take("b", b" 3 ") == [2, 3]
    assert gather.take("b", b"4") is None
    assert gather.take("a", b"5") == [5, 4]


def test_each_message_may_make_a_reading_of_what_is_not_too_old() -> None:
    clock = FakeClock()
    gather = gathering(clock, reading="each", max_age_s=10)
    first = gather.take("a", b"1")
    assert first is not None
    assert first[0] == 1
    assert math.isnan(first[1])
    assert gather.take("b", b"2") == [1, 2]
    clock.seconds = 10.5
    late = gather.take("b", b"3")
    assert late is not None
    assert math.isnan(late[0])
    assert late[1] == 3


def test_topics_are_silent_until_a_message_comes_readable_or_not() -> None:
    gather = gathering(FakeClock())
    assert gather.silent == ["a", "b"]
    assert gather.take("other", b"1") is None
    with pytest.raises(ValueError, match="no number"):
        gather.take("b", b"broken")
    assert gather.silent == ["a"]
    gather.take("a", b"1")
    assert gather.silent == []


def test_one_message_may_bring_several_channels() -> None:
    values = {
        "t": {"topic": "s", "path": "env.temp"},
        "h": {"topic": "s", "path": "$.env.list[1]"},
        "n": {"topic": "s", "path": "missing"},
    }
    gather = gathering(FakeClock(), values=values)
    row = gather.take("s", json.dumps({"env": {"temp": "21.5", "list": [0, 40]}, "missing": None}).encode())
    assert row is not None
    assert row[:2] == [21.5, 40]
    assert math.isnan(row[2])
    assert gather.take("other", b"x") is None


@pytest.mark.parametrize(
    ("path", "payload", "message"),
    [
        ("", b"hot", "'hot' is no number"),
        ("", b"", "'' is no number"),
        ("", b"1_0", "'1_0' is no number"),
        ("a", b'{"a": "1_0"}', "'1_0' is no number"),
        ("", b"\xff", "is no number"),
        ("", b'{"a": 1}', "is no number"),
        ("a", b"hot", "hot is no JSON"),
        ("a", b'{"b": 1}', "has no 'a'"),
        ("a[1]", b'{"a": [0]}', "has no 1"),
        ("a.b", b'{"a": 3}', "has no 'b'"),
        ("a", b'{"a": [1]}', "[1] is no number"),
        ("a", b'{"a": "\xff"}', "is no JSON"),
        ("a", b'{"a": ' + b"[" * 100_000, "is no JSON"),
        ("", b"[" * 100_000, "is no number"),
    ],
)
def test_a_payload_without_the_number_is_told(path: str, payload: bytes, message: str) -> None:
    gather = gathering(FakeClock(), values={"x": {"topic": "t", "path": path}})
    with pytest.raises(ValueError, match=re.escape(message)):
        gather.take("t", payload)


LEVEL = st.sampled_from(["a", "b", "+", "", "a.b"])


@given(
    st.lists(LEVEL, min_size=1, max_size=4),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "", "a.b"]), min_size=1),
)
def test_topics_match_as_paho_says(wanted: list[str], rest: bool, levels: list[str]) -> None:
    subscription = "/".join([*wanted, "#"] if rest else wanted)
    topic = "/".join(levels)
    if subscription and topic:
        assert bool(pattern(subscription).match(topic)) == topic_matches_sub(subscription, topic)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://x"}, "is not a broker's address"),
        ({"values": {}}, "names no channel"),
        ({"values": {"a": {"topic": "a/#/b"}}}, "is no topic"),
        ({"values": {"a": {"topic": "a+"}}}, "is no topic"),
        ({"values": {"a": {"topic": "a", "path": "x..y["}}}, "is no path"),
        ({"password": "x"}, "password needs username"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        settings(**options)


def test_paths_are_keys_and_indexes() -> None:
    assert keys("a.b[2].c") == ("a", "b", 2, "c")
    assert keys("$.a") == ("a",)
    assert keys("[0][1]") == (0, 1)


def test_what_a_wider_subscription_brings_is_not_asked_for_twice() -> None:
    assert subscriptions(["a/b", "a/+", "a/b/c", "a/#", "a/#"]) == ["a/#"]
    assert subscriptions(["a/+", "a/#", "b", "+"]) == ["+", "a/#"]
    assert subscriptions(["a/+/c", "a/b/+"]) == ["a/+/c", "a/b/+"]
    assert subscriptions(["a/+", "a/b"]) == ["a/+"]


def test_a_topic_of_its_own_costs_the_other_channels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of channels, each with its topic: only wildcards are compared with every topic."""
    made: list[str] = []
    monkeypatch.setattr(topic_values, "pattern", lambda topic: made.append(topic) or pattern(topic))
    topics = [f"a/{number}" for number in range(300)]
    assert subscriptions([*topics, "b/+"]) == sorted([*topics, "b/+"])
    values = {topic: {"topic": topic} for topic in [*topics, "+/7"]}
    gather = gathering(FakeClock(), values=values, reading="each")
    assert made == ["b/+", "+/7"]
    row = gather.take("a/7", b"5")
    assert row is not None
    assert [(column, value) for column, value in enumerate(row) if not math.isnan(value)] == [
        (7, 5.0),
        (300, 5.0),
    ]


def test_nothing_secret_is_shown() -> None:
    assert "secret" not in repr(settings(username="u", password="secret"))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Mqtt]:
    made = Mqtt(tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_malformed_payload_costs_that_message(source: Mqtt) -> None:
    source.silence()
    sensor = source.open(Signal())
    try:
        source._publish(b"1.5")
        assert read(sensor).tolist() == [[1.5, 20.5]]
        source._publish(b"broken")
        with pytest.raises(
            BadReading, match="The topic 'press/7/vibration' gave no reading: 'broken' is no number"
        ):
            sensor.read()
        source._publish(b"2.5")
        assert read(sensor).tolist() == [[2.5, 20.5]]
    finally:
        sensor.close()


@pytest.mark.parametrize(
    ("topics", "path", "said"),
    [
        (
            ["press/1/state", "press/1/state"],
            "wrong",
            "all that came (1) was left out, as told above. Correct",
        ),
        (
            ["none", "plain"],
            "",
            "nothing was published on none. Is that spelled right? Else wait longer with",
        ),
        (
            ["press/1/state", "none"],
            "wrong",
            "all that came (1) was left out, as told above; nothing was pub",
        ),
    ],
)
def test_a_trial_tells_what_came_and_what_did_not(
    source: Mqtt, capsys: pytest.CaptureFixture[str], topics: list[str], path: str, said: str
) -> None:
    source.silence()
    source._device.publish("press/1/state", b'{"data": 1}', qos=1, retain=True).wait_for_publish(10)
    source._device.publish("plain", b"1", qos=1, retain=True).wait_for_publish(10)
    values = {name: {"topic": topic, "path": path} for name, topic in zip("ab", topics, strict=True)}
    options = {"url": f"mqtt://127.0.0.1:{source.port}", "values": values}
    order = Order(SensorSettings(kind="mqtt", options=msgspec.convert(options, Settings)), "csv", 0, 0.5)
    with pytest.raises(SensorError) as error:
        show(order, Signal())
    assert str(error.value).startswith(f"No reading came in 0.5 s: {said}")
    assert capsys.readouterr().err.count("left out: The topic 'press/1/state'") == ("wrong" in path)


def test_a_check_tells_which_topic_was_silent(
    source: Mqtt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        'device = "a"\nbundle = "none.zip"\n[sensors.main]\nkind = "mqtt"\n'
        f'url = "mqtt://127.0.0.1:{source.port}"\nvalues.a = {{ topic = "none" }}\n'
    )
    assert main(["agent", "check", "--offline", "--wait", "0.2", "--config", str(config)]) == 2
    said = "gave no reading within 0.2 s: nothing was published on none. Is that spelled right?"
    assert said in capsys.readouterr().out


def read(sensor: Any) -> Any:
    while not len(block := sensor.read()[1]):
        pass
    return block


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A Mosquitto with TLS and a password."""
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    path = "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"
    passwd, broker = (shutil.which(name, path=path) for name in ("mosquitto_passwd", "mosquitto"))
    assert passwd
    assert broker
    subprocess.run(
        [passwd, "-b", "-c", "passwords", "reader", "right"], cwd=tmp_path, check=True, capture_output=True
    )
    (tmp_path / "passwords").chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "key.pem").chmod(0o644)
    (tmp_path / "broker.conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem\n"
        f"allow_anonymous false\npassword_file {tmp_path}/passwords\n"
    )
    process = subprocess.Popen([broker, "-c", "broker.conf"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    yield {
        "url": f"mqtts://127.0.0.1:{port}",
        "username": "reader",
        "password": "right",
        "ca_file": tmp_path / "ca.pem",
    }
    process.kill()
    process.wait()


def test_tls_and_a_password(guarded: dict[str, Any]) -> None:
    stop = Signal()
    deadline = time.monotonic() + 10
    while True:
        try:
            open_sensor("mqtt", settings_of(guarded), SystemClock(), stop).close()
            break
        except SensorError:
            assert time.monotonic() < deadline
    with pytest.raises(SensorError, match=r"cannot be read: it refuses \(Not authorized\)"):
        open_sensor("mqtt", settings_of({**guarded, "password": "wrong"}), SystemClock(), stop)
    with pytest.raises(SensorError, match="certificate"):
        open_sensor("mqtt", settings_of({**guarded, "ca_file": None}), SystemClock(), stop)


def settings_of(options: dict[str, Any]) -> Settings:
    return msgspec.structs.replace(settings(), **options)
