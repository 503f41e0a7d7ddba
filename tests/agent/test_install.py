"""The agent as a service: what is written, when nothing is, and that systemd understands it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_agent_commands import make_bundle

from lineside_agent import starter
from lineside_agent.install import install as steps
from lineside_agent.install import needs as needs_module
from lineside_agent.install.install import Asked, install, plan, uninstall
from lineside_agent.install.needs import Needs, needs
from lineside_agent.install.places import Places, of_user, system
from lineside_agent.install.unit import Unit, render
from lineside_agent.settings import load
from lineside_cli.main import main
from lineside_contract.errors import InputError, LinesideError
from lineside_contract.manifest import Channel

ANSWERS = starter.Answers(None, starter.Source("simulated"), "pump-1", "plant-1", "mqtt://broker:1883")
SIMULATED = '[sensors.main]\nkind = "simulated"\n'


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A machine run by systemd; `systemctl` notes what it is asked, and fails for what `refuse` names."""
    commands = tmp_path / "commands"
    commands.mkdir()
    script = commands / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'if grep -qsx -- "$1" {tmp_path}/refuse; then echo "Access denied." >&2; exit 4; fi\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setattr(steps, "_BOOTED", tmp_path)
    monkeypatch.setattr(needs_module, "_HIDDEN", (tmp_path / "home",))
    return system(tmp_path)


def asked_of_systemctl(places: Places) -> list[str]:
    path = places.unit.parents[3] / "asked"
    return path.read_text().splitlines() if path.exists() else []


def configured(places: Places, text: str) -> Path:
    places.config.parent.mkdir(parents=True, exist_ok=True)
    places.config.write_text('device = "pump-1"\nbundle = "pump.bundle.zip"\n' + text)
    return places.config


def test_install_writes_a_configuration_the_secrets_and_the_unit(places) -> None:
    said = list(install(Asked(places, ANSWERS)))
    assert said == [f"Wrote {places.config}.", f"Wrote {places.secrets}.", f"Wrote {places.unit}."]
    assert load(places.config, {}).device == "pump-1"
    assert places.secrets.stat().st_mode & 0o777 == 0o600
    unit = places.unit.read_text()
    assert f"agent run --config {places.config}\n" in unit
    assert asked_of_systemctl(places) == ["daemon-reload"]


def test_a_second_time_changes_nothing_and_keeps_what_the_person_wrote(places) -> None:
    list(install(Asked(places, ANSWERS)))
    config = configured(places, SIMULATED).read_text()
    places.secrets.write_text("LINESIDE__BROKER__PASSWORD=secret\n")
    stamp = places.unit.stat()
    assert all(line.endswith("stays as it is.") for line in install(Asked(places, ANSWERS)))
    assert places.config.read_text() == config
    assert "secret" in places.secrets.read_text()
    assert places.unit.stat().st_ino == stamp.st_ino
    said = list(install(Asked(places, ANSWERS, memory_max="96M")))
    assert said[-1] == f"Wrote {places.unit}."
    assert "MemoryMax=96M\n" in places.unit.read_text()


def test_now_starts_it_and_uninstall_leaves_what_is_the_persons(places) -> None:
    bundle = places.unit.parents[3] / "pump-1.0.0.bundle.zip"
    make_bundle(bundle, [Channel(name="speed_rpm")])
    list(install(Asked(places, ANSWERS._replace(bundle=bundle), start=True)))
    assert asked_of_systemctl(places) == [
        "daemon-reload",
        "enable lineside-agent",
        "restart lineside-agent",
    ]
    assert load(places.config, {}).bundle == bundle
    list(uninstall(places))
    assert asked_of_systemctl(places)[3:] == ["disable --now lineside-agent", "daemon-reload"]
    assert not places.unit.exists()
    assert places.config.exists()
    with pytest.raises(InputError, match=r"There is no .*--user"):
        list(uninstall(places))


@pytest.mark.parametrize(
    ("text", "start", "message"),
    [
        ("[sensors.main]\nkind = 'simulated'\nspeed = -1\n", False, "speed"),
        ("[sensors.main]\nkind = 'sime'\n", False, "There is no sensor of kind"),
        (SIMULATED, True, r"There is no bundle .*without --now"),
    ],
)
def test_with_settings_that_cannot_work_nothing_is_written(places, text, start, message) -> None:
    configured(places, text)
    with pytest.raises(InputError, match=message):
        list(install(Asked(places, ANSWERS, start=start)))
    assert not places.unit.exists()
    assert not places.secrets.exists()
    assert asked_of_systemctl(places) == []


def test_a_service_has_no_standard_input(places) -> None:
    config = configured(places, "[sensors.main]\nkind = 'stdin'\n")
    make_bundle(config.parent / "pump.bundle.zip", [Channel(name="a")])
    with pytest.raises(InputError, match="no standard input"):
        list(install(Asked(places, ANSWERS, start=True)))
    list(install(Asked(places, ANSWERS)))


def test_settings_that_are_there_are_not_changed_by_arguments(places, tmp_path) -> None:
    config = configured(places, SIMULATED)
    wanted = ANSWERS._replace(bundle=tmp_path / "newer.bundle.zip")
    with pytest.raises(InputError, match=r"names another bundle, .*Change bundle there"):
        list(install(Asked(places, wanted)))
    list(install(Asked(places, ANSWERS._replace(bundle=config.parent / "pump.bundle.zip"))))


def test_without_systemd_there_is_one_sentence(places, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(steps, "_BOOTED", tmp_path / "missing")
    for command in ("install", "uninstall"):
        assert main(["agent", command, "--user"]) == 2
        assert capsys.readouterr().err.startswith("lineside: This machine is not run by systemd.")


def test_what_systemctl_refuses_is_told(places, tmp_path) -> None:
    (tmp_path / "refuse").write_text("daemon-reload\n")
    with pytest.raises(
        LinesideError, match=r"`systemctl daemon-reload` failed: Access denied. Look"
    ) as caught:
        list(install(Asked(places, ANSWERS)))
    assert caught.value.exit_code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_who_may_not_write_is_told_of_sudo(places, tmp_path) -> None:
    (tmp_path / "etc").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Use sudo, or --user"):
        list(install(Asked(places, ANSWERS)))


def test_a_place_that_is_no_folder_is_told(places, tmp_path) -> None:
    (tmp_path / "etc").write_text("")
    with pytest.raises(InputError, match="cannot be changed"):
        list(install(Asked(places, ANSWERS)))


def test_print_writes_nothing_and_shows_no_secret(places, monkeypatch, capsys) -> None:
    monkeypatch.setattr("lineside_agent.install.places.system", lambda: places)
    arguments = ["agent", "install", "--print", "--device", "pump-1", "--sensor", "simulated"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert 'device = "pump-1"' in out
    assert "Type=notify" in out
    assert not places.unit.exists()
    list(install(Asked(places, ANSWERS)))
    places.secrets.write_text("LINESIDE__BROKER__PASSWORD=secret\n")
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "secret" not in out
    assert f"# {places.secrets} stays as it is." in out


def test_the_command_tells_what_comes_next(places, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr("lineside_agent.install.places.system", lambda: places)
    monkeypatch.setattr(steps, "_CONTROLLERS", tmp_path / "controllers")
    (tmp_path / "controllers").write_text("cpuset cpu io pids\n")
    assert main(["agent", "install", "--device", "pump-1", "--sensor", "simulated"]) == 0
    captured = capsys.readouterr()
    assert f"Next: sudo lineside agent check --config {places.config}" in captured.out
    assert "cgroup_enable=memory" in captured.err
    (tmp_path / "controllers").write_text("cpuset cpu io memory pids\n")
    assert main(["agent", "install"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "option", [["--watchdog", "1"], ["--watchdog", "x"], ["--memory-max", "0%"], ["--memory-max", "many"]]
)
def test_arguments_that_mean_nothing_are_refused(option, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["agent", "install", *option])
    assert caught.value.code == 2
    assert "is not a" in capsys.readouterr().err


# What the settings need.


def test_devices_and_groups_only_for_sensors_that_read_them(places, monkeypatch) -> None:
    monkeypatch.setattr(needs_module, "_is_group", lambda name: name != "i2c")
    settings = load(configured(places, SIMULATED), {})
    assert needs(settings, places.config)._replace(visible=()) == Needs()
    text = """
    [join]
    rate_hz = 10
    max_gap_s = 1
    [sensors.port]
    kind = "serial"
    port = "/dev/ttyUSB0"
    columns = ["b"]
    [sensors.bus]
    kind = "i2c"
    address = 0x48
    registers.a = { register = 0 }
    """
    found = needs(load(configured(places, text), {}), places.config)
    assert found.groups == ("dialout",)
    assert found.missing_groups == ("i2c",)
    assert set(found.devices) >= {"char-i2c", "char-ttyUSB"}
    assert not found.writes_code


@pytest.mark.parametrize(
    ("url", "groups"), [("tcp://plc", ()), ("rtu:///dev/ttyUSB0", ("dialout",)), ("rtu+tcp://gateway", ())]
)
def test_modbus_needs_a_port_only_where_it_has_one(url, groups, places, monkeypatch) -> None:
    monkeypatch.setattr(needs_module, "_is_group", lambda _: True)
    text = (
        f'[sensors.main]\nkind = "modbus"\nurl = "{url}"\n[sensors.main.registers]\na = {{ address = 1 }}\n'
    )
    assert needs(load(configured(places, text), {}), places.config).groups == groups


def test_a_driver_that_makes_code_may() -> None:
    plain, audio = (render(UNITS[0]._replace(needs=Needs(writes_code=each))) for each in (False, True))
    assert "MemoryDenyWriteExecute=yes" in plain
    assert "MemoryDenyWriteExecute" not in audio


def test_files_under_home_stay_visible_and_others_need_nothing(places, tmp_path) -> None:
    home = tmp_path / "home/pi"
    home.mkdir(parents=True)
    bundle = home / "pump.bundle.zip"
    bundle.write_text("")
    text = f'device = "pump-1"\nbundle = "{bundle}"\nstate = "{home}/state"\n{SIMULATED}'
    places.config.parent.mkdir(parents=True)
    places.config.write_text(text)
    found = needs(load(places.config, {}), places.config)
    assert found.visible == (bundle,)


@pytest.mark.parametrize("folder", ["/home/pi", "/root", "/tmp/lineside", "/var/tmp"])
def test_what_the_unit_hides_is_known(folder) -> None:
    assert needs_module._hidden(Path(folder))
    assert not needs_module._hidden(Path("/opt") / folder[1:])


def test_a_file_that_the_services_user_cannot_read_is_told(places) -> None:
    config = configured(places, SIMULATED)
    bundle = config.parent / "pump.bundle.zip"
    bundle.write_text("")
    bundle.chmod(0o600)
    with pytest.raises(InputError, match=r"could not read .*chmod o\+r"):
        plan(Asked(places, ANSWERS))
    bundle.chmod(0o644)
    plan(Asked(places, ANSWERS))


def test_the_devices_key_stays_roots(places) -> None:
    config = configured(
        places, f"[broker]\nurl = 'mqtts://b'\ncert_file='d.crt'\nkey_file='d.key'\n{SIMULATED}"
    )
    key = config.parent / "d.key"
    key.write_text("")
    key.chmod(0o600)
    unit = plan(Asked(places, ANSWERS))[-1].text
    assert f"LoadCredential=device.key:{key}\n" in unit
    assert "Environment=LINESIDE__BROKER__KEY_FILE=%d/device.key\n" in unit


# systemd's own word.

UNITS = [
    Unit(("/bin/true",), system(), Needs()),
    Unit(
        ("/bin/true",),
        system()._replace(config=Path("/home/a b/$x%y/agent.toml")),
        Needs(
            groups=("dialout",),
            devices=("char-ttyUSB",),
            visible=(Path("/home/a b"),),
            key_file=Path("/etc/lineside/d.key"),
        ),
    ),
    Unit(("/bin/true",), of_user(), Needs()),
]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=["plain", "everything", "user"])
def test_systemd_understands_the_unit(unit, tmp_path) -> None:
    path = tmp_path / "lineside-agent.service"
    path.write_text(render(unit))
    done = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(("unit", "most"), [(UNITS[0], 17), (UNITS[1], 21)])
def test_the_exposure_is_about_what_the_guide_says(unit, most, tmp_path) -> None:
    path = tmp_path / "lineside-agent.service"
    path.write_text(render(unit))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
