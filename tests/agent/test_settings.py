from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside_agent.sensors.replay import Settings as Replay
from lineside_agent.sensors.simulated import Settings as Simulated
from lineside_agent.settings import BrokerSettings, DeliverySettings, Settings, load
from lineside_contract.errors import InputError

LEAST = """
device = "pump-1"
bundle = "pump-1.0.0.bundle.zip"
[sensors.main]
kind = "simulated"
"""
FULL = """
site = "plant-1"
device = "pump-1"
bundle = "/srv/pump.bundle.zip"
state = "waiting"
[broker]
url = "mqtts://broker.plant-1"
username = "pump"
password = "secret word"
ca_file = "ca.crt"
cert_file = ""
keepalive_s = 30
[delivery]
promise = "broker"
messages = "columns"
durability = "1s"
outbox_bytes = "64 MiB"
memory_bytes = 100000
[heartbeat]
every_s = 2.5
[input]
non_finite = "pass"
threads = 2
[sensors.line]
kind = "replay"
file = "data/a.csv"
speed = "fast"
channels = { "Pressure" = "pressure_bar" }
"""


def read(folder: Path, text: str, **environment: str) -> Settings:
    path = folder / "agent.toml"
    path.write_text(text)
    return load(path, {f"LINESIDE__{name}": value for name, value in environment.items()})


def refusal(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(InputError) as error:
        read(folder, text, **environment)
    assert str(folder) in str(error.value) or "LINESIDE__" in str(error.value)
    return str(error.value).replace(f"{folder}/", "")


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST)
    assert settings.site == "site-1"
    assert settings.bundle == tmp_path / "pump-1.0.0.bundle.zip"
    assert settings.state == tmp_path / "state"
    assert settings.broker == BrokerSettings()
    assert settings.delivery == DeliverySettings()
    assert settings.delivery.outbox_bytes == 268435456
    assert settings.delivery.memory_bytes == 8_000_000
    assert settings.delivery.durability_s == 0.1
    assert settings.heartbeat.every_s == 10
    assert settings.sensors["main"].options == Simulated()


def test_everything_that_a_file_says_is_taken(tmp_path: Path) -> None:
    settings = read(tmp_path, FULL)
    assert settings.bundle == Path("/srv/pump.bundle.zip")
    assert settings.state == tmp_path / "waiting"
    broker = settings.broker
    assert broker.address == ("broker.plant-1", 8883, True)
    assert (broker.ca_file, broker.cert_file) == (tmp_path / "ca.crt", None)
    assert settings.delivery.outbox_bytes == 64 * 1024 * 1024
    assert settings.delivery.durability_s == 1.0
    sensor = settings.sensors["line"]
    assert sensor.channels == {"Pressure": "pressure_bar"}
    assert sensor.options == Replay(file=tmp_path / "data/a.csv", speed="fast")


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    assert "secret word" not in repr(read(tmp_path, FULL))


def test_the_environment_wins_and_is_read_as_the_setting_needs(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        FULL,
        DEVICE="42",
        BROKER__PASSWORD="1234",
        BROKER__KEEPALIVE_S="7",
        DELIVERY__OUTBOX_BYTES="1GB",
        SENSORS__LINE__LOOP="true",
        SENSORS__LINE__SPEED="2.5",
        SENSORS__LINE__COLUMNS='["a", "b"]',
        SENSORS__LINE__CHANNELS='{ "a" = "b" }',
    )
    assert settings.device == "42"
    assert settings.broker.password == "1234"
    assert settings.broker.keepalive_s == 7
    assert settings.delivery.outbox_bytes == 10**9
    sensor = settings.sensors["line"]
    assert (sensor.options.loop, sensor.options.speed, sensor.options.columns) == (True, 2.5, ["a", "b"])
    assert sensor.channels == {"a": "b"}


def test_the_environment_alone_can_make_a_section(tmp_path: Path) -> None:
    settings = read(tmp_path, LEAST, BROKER__URL="mqtt://[::1]:99", HEARTBEAT__EVERY_S="1")
    assert settings.broker.address == ("::1", 99, False)
    assert settings.heartbeat.every_s == 1


def test_a_variable_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(LEAST)
    assert load(path, {"PATH": "/bin", "LINESIDE_BROKER_PASSWORD": "x"}).device == "pump-1"


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('[broker]\nurll = "x"', "agent.toml: [broker] urll is unknown. Did you mean 'url'?"),
        ('[brokr]\nurl = "x"', "agent.toml: brokr is unknown. Did you mean 'broker'?"),
        (
            "[sensors.main]\nintervall_s = 2",
            "[sensors.main] intervall_s is unknown. Did you mean 'interval_s'?",
        ),
        ('[broker]\nkeepalive_s = "soon"', "agent.toml: [broker] keepalive_s: Expected int, got str."),
        ("[broker]\nkeepalive_s = 0", "[broker] keepalive_s: Expected int >= 1."),
        ("[broker]\nreconnect_min_s = nan", "[broker] reconnect_min_s: Expected float > 0.0."),
        ("[broker]\nreconnect_min_s = 60", "reconnect_max_s is less than reconnect_min_s."),
        ('[broker]\nurl = "http://x"', "broker: 'http://x' is not a broker's address"),
        ('[broker]\nurl = "mqtt://x:port"', "'mqtt://x:port' is not a broker's address"),
        ('[broker]\nurl = "mqtt://u:pw@x"', "holds no user and no password"),
        ('[broker]\npassword = "x"', "password needs username."),
        ('[broker]\nkey_file = "x"', "key_file needs cert_file."),
        ("broker = 3", "agent.toml: broker must be a section, not int."),
        (
            '[delivery]\ndurability = "never"',
            "[delivery] durability: Invalid enum value 'never'; choose from 'reading', '100ms', '1s'.",
        ),
        ('[delivery]\noutbox_bytes = "12 bananas"', "[delivery] outbox_bytes: '12 bananas' is not a size"),
        ("[delivery]\nin_flight = -1", "[delivery] in_flight: Expected int >= 1."),
        ("[delivery]\noutbox_bytes = 1", "[delivery] outbox_bytes: Expected int >= 4096."),
        ("[sensors.main]\nload = 2.5", "[sensors.main] load: Expected float <= 2.0."),
        (
            '[sensors.main]\nspeed = "slow"',
            "[sensors.main] speed: Invalid enum value 'slow'; choose from 'fast'.",
        ),
        (
            '[sensors.main]\nfaults = [{ kind = "rust" }]',
            "[sensors.main] faults[0].kind: Invalid enum value 'rust'; choose from 'imbalance'",
        ),
        (
            '[sensors.main]\nfaults = [{ kind = "imbalance", sevrity = 1 }]',
            "[sensors.main] faults[0].sevrity is unknown. Did you mean 'severity'?",
        ),
        ("[sensors.main]\nbearing = { balls = 1 }", "a bearing needs 3 balls or more"),
        ('[sensors.main]\nkind = "simulatd"', "Did you mean 'simulated'?"),
        (
            '[sensors.other]\nkind = "simulated"',
            "has 2 sensors; an agent has exactly one, unless it joins several.",
        ),
        ('site = "a/b"', "agent.toml: site: the site 'a/b' cannot be part of a topic."),
        ("site = 1", "agent.toml: site: Expected str, got int."),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, added: str, message: str) -> None:
    if added.startswith("[sensors.main]"):
        own = added.removeprefix("[sensors.main]\n")
        text = LEAST.replace(
            'kind = "simulated"', own if own.startswith("kind") else f'kind = "simulated"\n{own}'
        )
    elif added.startswith("["):
        text = f"{LEAST}\n{added}"
    else:
        text = f"{added}\n{LEAST}"
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load(path, {})
    assert message in str(error.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", ["device", "bundle"])
def test_what_must_be_there_is_asked_for(tmp_path: Path, name: str) -> None:
    text = "\n".join(line for line in LEAST.splitlines() if not line.startswith(name))
    assert f"agent.toml lacks {name}." in refusal(tmp_path, text)


def test_a_replay_needs_its_file(tmp_path: Path) -> None:
    text = LEAST.replace("simulated", "replay")
    assert "agent.toml lacks file in [sensors.main]." in refusal(tmp_path, text)


def test_an_agent_needs_a_sensor(tmp_path: Path) -> None:
    assert "has 0 sensors" in refusal(tmp_path, LEAST.partition("[sensors")[0])
    assert "lacks kind in [sensors.main]. Known: audio, exec" in refusal(
        tmp_path, LEAST.replace('kind = "simulated"', "")
    )


def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    assert "LINESIDE__BROKER__URLL is unknown" in refusal(tmp_path, LEAST, BROKER__URLL="x")
    assert "LINESIDE__INPUT__THREADS: Expected int" in refusal(tmp_path, LEAST, INPUT__THREADS="many")
    assert "LINESIDE__DEVICE__X overrides nothing" in refusal(tmp_path, LEAST, DEVICE__X="1")
    assert "LINESIDE__BROKER" in refusal(tmp_path, LEAST, BROKER="mqtt://x")
    assert "LINESIDE__SENSORS__MAIN" in refusal(tmp_path, LEAST, SENSORS__MAIN="simulated")


def test_a_file_that_is_missing_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read.*agent init"):
        load(tmp_path / "none.toml", {})
    for text in ("device = ", "device = " + "[" * 5_000, "device = " + "9" * 5_000):
        assert "is not TOML" in refusal(tmp_path, text)
    (tmp_path / "agent.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not TOML"):
        load(tmp_path / "agent.toml", {})


def test_certificates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    settings = BrokerSettings(url="mqtts://x", ca_file=tmp_path / "none.crt")
    with pytest.raises(InputError, match=r"TLS cannot be set up with .*none\.crt"):
        settings.tls_context()
    assert BrokerSettings().tls_context() is None


@given(st.dictionaries(st.text("ABC_ .[]", max_size=12), st.text(max_size=8), max_size=4))
def test_no_environment_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(LEAST)
    try:
        load(path, {f"LINESIDE__{name}": value for name, value in variables.items()})
    except InputError:
        pass
