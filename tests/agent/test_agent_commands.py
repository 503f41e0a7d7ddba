from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lineside_agent import starter
from lineside_agent.model import Model, write_golden
from lineside_agent.sensors import KINDS
from lineside_agent.settings import load
from lineside_cli.main import main
from lineside_contract.bundle import GOLDEN, MODEL, write_bundle
from lineside_contract.manifest import Channel, Manifest, Outputs

CONNACK = b"\x20\x02\x00"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_bundle(path: Path, channels: list[Channel]) -> None:
    """A regression: the sum of the channels."""
    count = len(channels)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [count, 1], [1.0] * count)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, count])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    data: bytes = made.SerializeToString()
    onnx.checker.check_model(made)
    outputs = Outputs(values="y", targets=["sum"])
    rows = np.ones((2, count), np.float32)
    golden = write_golden(rows, Model(data, "x", outputs).predict(rows))
    manifest = Manifest(
        name="sum",
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="regression",
        estimator="none",
        input="x",
        channels=channels,
        outputs=outputs,
    )
    write_bundle(path, manifest, {MODEL: data, GOLDEN: golden})


@pytest.fixture
def bundle(folder: Path) -> Path:
    path = folder / "sum-1.0.0.bundle.zip"
    make_bundle(path, [Channel(name="speed_rpm"), Channel(name="current_a")])
    return path


@pytest.fixture
def broker() -> Iterator[Callable[[int], str]]:
    """Brokers that answer one connection with a CONNACK of the given return code (MQTT 3.1.1, table 3.1)."""
    servers = []

    def start(code: int) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(CONNACK + bytes([code]))
                connection.recv(4096)

        threading.Thread(target=answer, daemon=True).start()
        return f"mqtt://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["agent", "check", "--json", *arguments])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return code, {step["step"]: step for step in report["steps"]}


def init(url: str = "mqtt://localhost:1883", **more: str) -> None:
    named = [word for name, value in more.items() for word in (f"--{name}", value)]
    assert main(["agent", "init", "--device", "pump-1", "--broker", url, *named]) == 0
    path = Path("agent.toml")
    path.write_text(path.read_text().replace("speed = 1.0 ", 'speed = "fast" '))


def test_init_then_check_is_well_with_no_editing(
    bundle: Path, broker: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    init(broker(0))
    assert "# The model needs: speed_rpm, current_a" in Path("agent.toml").read_text()
    assert "lineside agent check" in capsys.readouterr().out
    code, steps = check(capsys)
    assert code == 0
    assert list(steps) == ["settings", "bundle", "model", "sensor", "channels", "state", "broker"]
    assert {step["state"] for step in steps.values()} == {"ok"}
    assert not Path("state").exists()


def test_a_persons_report_has_a_mark_for_each_step(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init()
    capsys.readouterr()
    assert main(["agent", "check", "--offline"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 6 + ["skipped"]
    assert "\033" not in "".join(lines)


def test_a_wrong_password_is_told_apart_from_no_broker(
    bundle: Path, broker: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    init(broker(5))
    capsys.readouterr()
    code, steps = check(capsys)
    assert code == 1
    assert "does not let this user in" in steps["broker"]["detail"]
    assert "LINESIDE__BROKER__PASSWORD" in steps["broker"]["hint"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    init(f"mqtt://127.0.0.1:{port}", output="other.toml")
    capsys.readouterr()
    code, steps = check(capsys, "--config", "other.toml")
    assert code == 1
    assert "cannot be reached" in steps["broker"]["detail"]


def test_a_step_that_fails_skips_only_what_builds_on_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init()
    assert "Copy your bundle to" in capsys.readouterr().out
    code, steps = check(capsys, "--offline")
    assert code == 2
    states = {name: step["state"] for name, step in steps.items()}
    assert states == {
        "settings": "ok",
        "bundle": "failed",
        "model": "skipped",
        "sensor": "ok",
        "channels": "skipped",
        "state": "ok",
        "broker": "skipped",
    }


def test_missing_channels_are_told_and_renaming_cures_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(folder / "a.bundle.zip", [Channel(name="rpm", minimum=0.0, maximum=1.0)])
    init(sensor="simulated")
    capsys.readouterr()
    code, steps = check(capsys, "--offline")
    assert code == 2
    assert "'rpm'" in steps["channels"]["detail"]
    with Path("agent.toml").open("a") as file:
        file.write('channels = { "speed_rpm" = "rpm" }\n')
    code, steps = check(capsys, "--offline")
    assert code == 0
    assert "note: rpm is 14" in steps["channels"]["detail"]
    assert "trained on 0 to 1" in steps["channels"]["detail"]


def test_a_sensor_that_gives_nothing_is_not_waited_for_for_ever(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init()
    capsys.readouterr()
    monkeypatch.setenv("LINESIDE__SENSORS__MAIN__INTERVAL_S", "3600")
    monkeypatch.setenv("LINESIDE__SENSORS__MAIN__SPEED", "1.0")
    code, steps = check(capsys, "--offline", "--wait", "0.05")
    assert code == 1
    assert "no reading within 0.05 s" in steps["sensor"]["detail"]


def test_a_state_that_cannot_be_written_to_is_told(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init()
    capsys.readouterr()
    monkeypatch.setenv("LINESIDE__STATE", str(bundle / "below-a-file"))
    code, steps = check(capsys, "--offline")
    assert code == 2
    assert "it is no folder" in steps["state"]["detail"]


def test_settings_that_are_wrong_skip_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, steps = check(capsys)
    assert code == 2
    assert "agent init" in steps["settings"]["hint"]
    assert {step["state"] for name, step in steps.items() if name != "settings"} == {"skipped"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "a/b"], "The device 'a/b' cannot be part of a topic"),
        (["--site", ""], "The site '' cannot be"),
        (["--sensor", "replya"], "Did you mean 'replay'?"),
        (["--broker", "localhost"], "'localhost' is not a broker's address"),
        (["--bundle", "none.bundle.zip"], "none.bundle.zip cannot be read"),
        (["-o", "nowhere/agent.toml"], "nowhere is no folder"),
    ],
)
def test_init_refuses_what_cannot_work_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["agent", "init", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_init_replaces_nothing_unless_told_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("agent.toml").write_text("mine")
    assert main(["agent", "init", "--device", "a"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("agent.toml").read_text() == "mine"
    assert main(["agent", "init", "--device", "a", "--force"]) == 0
    assert 'device = "a"' in Path("agent.toml").read_text()
    assert Path("agent.toml.bak").read_text() == "mine"
    assert "The old one is agent.toml.bak" in capsys.readouterr().out


MINE = """\
# of press 4
site = "plant-1"
device = 'press-4'    # on the left
bundle = "sum-1.0.0.bundle.zip"
trusted_keys = ["ops.pub"]

[broker]
url = "mqtts://broker.plant-1"  # ours
username = "press-4"

[sensors.main]
kind = "replay"
file = "rows.csv"
channels = { "speed" = "speed_rpm" }

# slow
[heartbeat]
every_s = 60
"""


def test_force_changes_what_was_asked_for_and_nothing_else(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("agent.toml")
    path.write_text(MINE)
    path.chmod(0o600)  # a password may be in it
    assert main(["agent", "init", "--sensor", "modbus", "--device", "press-5", "--force"]) == 0
    text, before = path.read_text(), MINE.replace("'press-4' ", '"press-5" ')
    head, _, sensor = text.partition("\n[sensors.main]\n")
    assert head == before[: before.index("[sensors.main]")] + before[before.index("# slow") :]
    assert sensor.startswith(starter.SENSORS["modbus"] + "# The model needs: speed_rpm, current_a\n")
    assert load(path, {}).sensors["main"].kind == "modbus"
    assert Path("agent.toml.bak").read_text() == MINE
    assert {path.stat().st_mode & 0o777, Path("agent.toml.bak").stat().st_mode & 0o777} == {0o600}
    assert (
        "Changed agent.toml: only what was asked for. The old one is agent.toml.bak."
        in capsys.readouterr().out
    )


def test_force_changes_broker_site_and_bundle_and_leaves_the_sensor(bundle: Path) -> None:
    path = Path("agent.toml")
    path.write_text(MINE)
    make_bundle(Path("other.bundle.zip"), [Channel(name="speed_rpm")])
    more = ["--broker", "mqtt://b:1", "--site", "plant-2", "--bundle", "other.bundle.zip"]
    assert main(["agent", "init", *more, "--force"]) == 0
    assert path.read_text() == (
        MINE.replace('plant-1"\nd', 'plant-2"\nd')
        .replace("mqtts://broker.plant-1", "mqtt://b:1")
        .replace("sum-1.0.0", "other")
    )


def test_force_adds_what_was_not_there(folder: Path) -> None:
    path = Path("agent.toml")
    path.write_text('bundle = "b.zip"\n[sensors.main]\nkind = "stdin"')
    assert main(["agent", "init", "--broker", "mqtt://b:1", "--device", "a", "--force"]) == 0
    settings = load(path, {})
    assert (settings.device, settings.broker.url, settings.sensors["main"].kind) == (
        "a",
        "mqtt://b:1",
        "stdin",
    )
    path.write_text(path.read_text().replace('url = "mqtt://b:1"', 'username = "u"'))
    assert main(["agent", "init", "--broker", "mqtt://c:1", "--force"]) == 0
    assert load(path, {}).broker == type(settings.broker)(url="mqtt://c:1", username="u")


def test_a_new_sensor_takes_the_place_of_several_and_of_how_they_were_joined(folder: Path) -> None:
    path = Path("agent.toml")
    sections = '[sensors.b]\nkind = "thermal"\n[join]\nrate_hz = 1\nmax_gap_s = 1\n'
    path.write_text(MINE.replace("[heartbeat]", f"{sections}\n[heartbeat]"))
    assert main(["agent", "init", "--sensor", "hwmon", "--force"]) == 0
    settings = load(path, {})
    assert [(name, sensor.kind) for name, sensor in settings.sensors.items()] == [("main", "hwmon")]
    assert settings.heartbeat.every_s == 60


def test_force_with_nothing_else_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("agent.toml").write_text(MINE)
    assert main(["agent", "init", "--force"]) == 0
    assert Path("agent.toml").read_text() == MINE
    assert not Path("agent.toml.bak").exists()
    assert "stays as it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        'device = "a"\nsensors.main.kind = "stdin"\n',
        'broker = "mqtt://a"\ndevice = "a"\n[sensors.main]\nkind = "stdin"\n',
        'broker = { url = "mqtt://a" }\ndevice = "a"\n[sensors.main]\nkind = "stdin"\n',
    ],
)
def test_a_layout_that_cannot_be_followed_is_left_to_a_person(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Path("agent.toml").write_text(text)
    assert main(["agent", "init", "--sensor", "modbus", "--broker", "mqtt://b", "--force"]) == 2
    assert "only a person can change. Edit the file" in capsys.readouterr().err
    assert Path("agent.toml").read_text() == text
    assert [path.name for path in folder.iterdir()] == ["agent.toml"]


def test_init_asks_which_of_several_bundles(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(bundle.with_name("other.bundle.zip"), [Channel(name="a")])
    assert main(["agent", "init"]) == 2
    assert "Choose one with --bundle" in capsys.readouterr().err
    assert main(["agent", "init", "--bundle", str(bundle)]) == 0


def test_a_bundle_elsewhere_is_named_from_the_files_folder(bundle: Path) -> None:
    (bundle.parent / "etc").mkdir()
    assert main(["agent", "init", "--device", "a", "--bundle", str(bundle), "-o", "etc/agent.toml"]) == 0
    assert load(Path("etc/agent.toml"), {}).bundle.resolve() == bundle


def test_every_kind_of_sensor_has_a_start() -> None:
    assert set(starter.SENSORS) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_the_file_shows_as_off_are_settings_and_defaults(folder: Path, kind: str) -> None:
    init(sensor=kind)
    text = Path("agent.toml").read_text()
    settings = load(Path("agent.toml"), {})
    head, _, sensor = text.partition("[sensors.main]")
    shown = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in head.splitlines()
    )
    Path("agent.toml").write_text(f"{shown}\n[sensors.main]{sensor}")
    assert load(Path("agent.toml"), {}) == settings
    shown_sensor = sensor.replace("\n# ", "\n").replace("The model needs", "# The model needs")
    Path("agent.toml").write_text(f"{head}[sensors.main]{shown_sensor}")
    load(Path("agent.toml"), {})


def test_the_example_is_what_init_writes() -> None:
    answers = starter.Answers(None, starter.Source("simulated"), "pump-1", "plant-1", "mqtt://localhost:1883")
    example = REPOSITORY / "edge_agent" / "agent.toml"
    assert example.read_text() == starter.render(answers, starter.PLACEHOLDER, [])


def test_the_guide_explains_every_setting() -> None:
    import msgspec

    from lineside_agent import settings as agent
    from lineside_agent.sensors import settings_type

    guides = REPOSITORY / "docs" / "guides"
    guide = (guides / "agent.md").read_text() + (guides / "sensors.md").read_text()
    structs = [
        agent.JoinSettings,
        agent.Settings,
        agent.BrokerSettings,
        agent.DeliverySettings,
        agent.HeartbeatSettings,
        agent.InputSettings,
        *map(settings_type, KINDS),
    ]
    names = {field.name for struct in structs for field in msgspec.structs.fields(struct)}
    assert not {name for name in names if f"`{name}`" not in guide and f"[{name}" not in guide}


@pytest.mark.parametrize("command", [[], ["init"], ["check"], ["run"]])
def test_help_teaches_by_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["agent", *command, "--help"])
    assert stopped.value.code == 0
    assert "examples:\n  lineside agent" in capsys.readouterr().out


def test_run_tells_a_missing_file_in_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lineside: agent.toml cannot be read")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [("datetime,a,b,state", "datetime"), ("second,a,b,state", "none")],
)
def test_init_with_a_recording_works_with_no_editing(folder: Path, header: str, expected: str) -> None:
    """A text column that the model does not want is left alone, and the times are found or done without."""
    make_bundle(folder / "sum.bundle.zip", [Channel(name="a"), Channel(name="b")])
    time = "2026-01-01 00:00:0{n}" if expected == "datetime" else "{n}"
    rows = "".join(time.format(n=n) + f",{n},{n + 1},fine\n" for n in range(4))
    (folder / "rows.csv").write_text(f"{header}\n{rows}")
    assert main(["agent", "init", "--device", "a", "--replay", "rows.csv"]) == 0
    assert load(Path("agent.toml"), {}).sensors["main"].options.timestamp == expected
    assert main(["agent", "check", "--offline"]) == 0


def test_init_chooses_a_sensor_that_can_feed_the_model_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(folder / "sum.bundle.zip", [Channel(name="a")])
    assert main(["agent", "init", "--device", "a"]) == 0
    assert load(Path("agent.toml"), {}).sensors["main"].kind == "stdin"
    said = capsys.readouterr().out
    assert "The sensor is standard input: pipe a program that prints readings into the agent." in said
    assert "--sensor KIND or --replay CSV" in said
    assert "Next: your-program | lineside agent check" in said
    Path("agent.toml").unlink()
    make_bundle(folder / "sum.bundle.zip", [Channel(name="kurtosis")])
    assert main(["agent", "init", "--device", "a"]) == 0
    assert load(Path("agent.toml"), {}).sensors["main"].kind == "simulated"
    assert "The sensor is a simulated machine." in capsys.readouterr().out
    assert main(["agent", "init", "--sensor", "stdin", "--force"]) == 0
    assert "The sensor is" not in capsys.readouterr().out  # who chose it knows
