from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from collector_messages import SITE, batch, heartbeat, prediction, predictions, status

from lineside_cli.main import main
from lineside_collector.since import parse_since
from lineside_collector.sqlite_store import SQLiteStore
from lineside_collector.store import default_store
from lineside_contract.errors import InputError
from lineside_contract.messages import Event

RUN = ["run", "--broker", "mqtt://localhost", "--site", SITE]
RUN_TLS = ["run", "--broker", "mqtts://localhost", "--site", SITE]


@pytest.fixture
def filled(store: SQLiteStore, path: Path) -> Path:
    parts: dict[str, Any] = {"label": ["ok", "worn", "ok"], "probability": [0.9, 0.8, 0.7]}
    parts["probabilities"] = {"ok": [0.9, 0.2, 0.7], "worn": [0.1, 0.8, 0.3]}
    store.save(batch(status("online", model="press", model_version="3"), predictions(0, 2, **parts)))
    store.save(batch(predictions(0, 3, "boiler", label=[1, -1, 1, 1], score=[0.5, -0.5, 0.25, 0.0])))
    return path


def collector(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["collector", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_devices(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = collector(capsys, "devices", "--store", filled)
    assert code == 0
    assert text.splitlines()[0].split()[:4] == ["DEVICE", "STATE", "HEARD", "MODEL"]
    assert "press 3" in text
    assert "online" in text
    assert "\x1b" not in text
    _, lines, _ = collector(capsys, "devices", "--json", "--store", filled)
    assert [(one["device"], one["messages"]) for one in map(json.loads, lines.splitlines())] == [
        ("boiler", 4),
        ("press-4", 3),
    ]


def test_predictions(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = collector(capsys, "predictions", "--store", filled, "--device", "press-4", "--last", "2")
    assert [line.split()[2:] for line in text.splitlines()] == [
        ["press-4", "aa-1:1", "worn", "0.800"],
        ["press-4", "aa-1:2", "ok", "0.700"],
    ]
    _, lines, _ = collector(capsys, "predictions", "--store", filled, "--json")
    found = [json.loads(line) for line in lines.splitlines()]
    assert [(one["device"], one["seq"]) for one in found] == [
        *(("boiler", seq) for seq in range(4)),
        *(("press-4", seq) for seq in range(3)),
    ]
    assert found[-1]["probabilities"] == {"ok": 0.7, "worn": 0.3}


@pytest.mark.parametrize("command", ["devices", "predictions", "events"])
def test_an_empty_store_says_so(
    command: str, store: SQLiteStore, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collector(capsys, command, "--store", path) == (0, "No device has sent anything yet.\n", "")
    assert collector(capsys, command, "--store", path, "--json") == (0, "", "")


def test_predictions_since_goes_by_the_devices_clock(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The timestamps are 1,700,000,000,000 ms and one more for each number.
    since = ("--since", "2023-11-14T22:13:20.002")
    _, lines, _ = collector(capsys, "predictions", "--store", filled, "--json", *since)
    assert [(json.loads(line)["device"], json.loads(line)["seq"]) for line in lines.splitlines()] == [
        ("boiler", 2),
        ("boiler", 3),
        ("press-4", 2),
    ]
    _, text, _ = collector(capsys, "predictions", "--store", filled, "--since", "1h")
    assert text == ""


def test_a_devices_words_cannot_reach_the_terminal(
    store: SQLiteStore, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(
        batch(
            prediction(0, label="\x1b[2J[red]x"), ("\x1b]0;x", b"\x1b[2J"), status("online", model="[b]\x1b")
        )
    )
    store.save(batch(Event(ts=1, device="d", boot="aa-1", seq=0, event="sensor_failed", detail="\x1b[2J")))
    for command in ("devices", "predictions", "events", "gaps", "rejected"):
        _, text, _ = collector(capsys, command, "--store", path)
        assert "\x1b" not in text
        assert text
    assert "[red]x" in collector(capsys, "predictions", "--store", path)[1]


def test_gaps_exit_with_1_if_something_is_missing(
    store: SQLiteStore, filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, text, _ = collector(capsys, "gaps", "--store", filled, "--device", "boiler")
    assert text.startswith("4 messages received of 1 device: ")
    code, text, _ = collector(capsys, "gaps", "--store", filled)
    assert code == 0
    assert (
        text
        == "7 messages received of 2 devices: 0 missing, 0 dropped by the device, 0 lost with its power.\n"
    )
    store.save(batch(prediction(9), heartbeat(0, 12, outbox_messages=8)))
    code, text, _ = collector(capsys, "gaps", "--store", filled, "--device", "press-4")
    assert code == 1
    rows = [line.split() for line in text.splitlines()]
    assert ["press-4", "aa-1", "missing", "3", "8", "6"] in rows
    assert ["press-4", "aa-1", "missing", "10", "11", "2"] in rows
    assert "press-4 still has 8 messages to send" in text
    code, lines, _ = collector(capsys, "gaps", "--store", filled, "--json")
    assert code == 1
    assert [json.loads(line)["missing"] for line in lines.splitlines()] == [[], [[3, 8], [10, 11]]]


def test_export_csv(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.csv"
    code, _, said = collector(capsys, "export", "--store", filled, "-o", file)
    assert (code, said) == (0, "7 rows\n")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["device"], row["seq"], row["label"], row["score"]) for row in rows[:2]] == [
        ("boiler", "0", "1", "0.5"),
        ("boiler", "1", "-1", "-0.5"),
    ]
    assert (rows[4]["probability_ok"], rows[4]["probability_worn"], rows[0]["probability_ok"]) == (
        "0.9",
        "0.1",
        "",
    )
    assert rows[4]["ts"] == "2023-11-14T22:13:20.000Z"
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == ["out.csv"]


def test_one_row_is_one_row(
    store: SQLiteStore, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(batch(prediction(0)))
    assert collector(capsys, "export", "--store", path, "-o", tmp_path / "out.csv")[2] == "1 row\n"


def test_export_parquet_keeps_types(filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pyarrow import parquet

    both, one = tmp_path / "both.parquet", tmp_path / "one.parquet"
    assert collector(capsys, "export", "--store", filled, "-o", both)[0] == 0
    table = parquet.read_table(both)
    assert table.column("label").to_pylist() == ["1", "-1", "1", "1", "ok", "worn", "ok"]
    assert table.column("probability_worn").to_pylist() == [None] * 4 + [0.1, 0.8, 0.3]
    assert table.column("ts").to_pylist()[0].timestamp() == 1_700_000_000
    assert collector(capsys, "export", "--store", filled, "--device", "boiler", "-o", one)[0] == 0
    table = parquet.read_table(one)
    assert table.column("label").to_pylist() == [1, -1, 1, 1]
    assert "probability_ok" not in table.column_names


def test_export_reads_in_pages(
    store: SQLiteStore, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(batch(*(predictions(first, first + 999) for first in range(0, 25_000, 1000))))
    for name in ("out.csv", "out.parquet"):
        assert collector(capsys, "export", "--store", path, "-o", tmp_path / name)[0] == 0
    with (tmp_path / "out.csv").open(newline="") as lines:
        assert [int(row["seq"]) for row in csv.DictReader(lines)] == list(range(25_000))


def test_a_failed_export_leaves_the_old_file(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lineside_collector import export

    def full(path: Path, *_: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export.FORMATS, "csv", full)
    file = tmp_path / "out.csv"
    file.write_text("old")
    code, _, said = collector(capsys, "export", "--store", filled, "-o", file)
    assert (code, file.read_text()) == (2, "old")
    assert "No space left" in said
    assert not list(tmp_path.glob("*.part"))


def test_parquet_without_pyarrow_says_what_to_install(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, said = collector(capsys, "export", "--store", filled, "-o", tmp_path / "x.parquet")
    assert code == 2
    assert "pip install 'lineside[parquet]'" in said
    assert not (tmp_path / "x.parquet").exists()


def test_rejected(store: SQLiteStore, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Every message could be read" in collector(capsys, "rejected", "--store", path)[1]
    store.save(batch((f"lineside/v1/{SITE}/d/event", b"{")))
    assert f"lineside/v1/{SITE}/d/event" in collector(capsys, "rejected", "--store", path)[1]
    assert json.loads(collector(capsys, "rejected", "--store", path, "--json")[1])["payload"] == "{"
    assert "1 message could not be read" in collector(capsys, "devices", "--store", path)[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["devices", "--store", "no.sqlite"], "There is no store no.sqlite"),
        (["predictions", "--store", "STORE", "--device", "press-5"], "Did you mean 'press-4'?"),
        (["predictions", "--store", "STORE", "--since", "soon"], "neither a span nor a time"),
        (["gaps", "--store", "STORE", "--device", "zzz"], "lineside collector devices"),
        (["gaps", "--store", "JUNK"], "cannot be read"),
        (["export", "--store", "STORE", "-o", "out"], "--format csv"),
        (["export", "--store", "STORE", "-o", "no/folder/out.csv"], "cannot be written: No such file"),
        (["run", "--broker", "localhost", "--site", "s"], "mqtt://localhost:1883"),
        (["run", "--broker", "mqtt://u:secret@localhost", "--site", "s"], "no user and no password"),
        (["run", "--broker", "mqtt://localhost", "--site", "a/b"], "cannot be part of a topic"),
        ([*RUN, "--id", "#"], "cannot be part of a topic"),
        ([*RUN, "--ca-file", "ca.crt"], "does not speak TLS"),
        ([*RUN, "--password-file", "nope"], "cannot be read"),
        ([*RUN, "--password-file", "EMPTY"], "is empty"),
        ([*RUN, "--password-file", "STORE.password"], "without a user name"),
        ([*RUN, "--store", "no/folder/x.sqlite"], "no folder"),
        ([*RUN, "--store", "JUNK"], "damaged, or is not a database"),
        (
            ["run", "--broker", "mqtts://localhost", "--site", "s", "--ca-file", "none.crt"],
            "There is no file none.crt",
        ),
        (["run", "--broker", "mqtts://localhost", "--site", "s", "--key", "JUNK"], "only of use together"),
        (
            ["run", "--broker", "mqtts://localhost", "--site", "s", "--store", "NEW", "--ca-file", "JUNK"],
            "PEM",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    sentence: str,
    filled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk").write_bytes(b"x" * 4096)
    (tmp_path / "empty").touch()
    (tmp_path / "password").write_text("secret\n")
    names = {
        "STORE": filled,
        "JUNK": "junk",
        "EMPTY": "empty",
        "STORE.password": "password",
        "NEW": "new.sqlite",
    }
    before = set(tmp_path.iterdir())
    code, out, said = collector(capsys, *(names.get(one, one) for one in arguments))
    assert code in (1, 2)
    assert sentence in said
    assert (out, len(said.splitlines())) == ("", 1)
    assert "secret" not in said
    assert {one for one in tmp_path.iterdir() if one.suffix in (".csv", ".part")} == set()
    assert before <= set(tmp_path.iterdir())


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = collector(capsys)
    assert (code, said) == (2, "")
    for line in ("run        collect until stopped", "gaps       tell what is missing, and why"):
        assert line in text


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("predicton", "Did you mean 'predictions'?"), ("xyz", "See `lineside collector --help`.")],
)
def test_a_mistyped_command(typed: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"lineside: lineside collector has no command {typed!r}. {hint}\n"
    assert collector(capsys, typed, "--last", "5") == (2, "", said)


@pytest.mark.parametrize("arguments", [["predictions", "--last", "0"], ["predictions", "--last", "-1"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["collector", *arguments])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_default_store_is_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "lineside" / "collector.sqlite"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store() == tmp_path / ".local" / "state" / "lineside" / "collector.sqlite"


def test_since() -> None:
    assert [parse_since(text, 10**12) for text in ("90s", "30m", "1h", "2d")] == [
        10**12 - 1000 * seconds for seconds in (90, 1800, 3600, 172_800)
    ]
    assert parse_since("1970-01-01T00:00:01", 0) == 1000
    assert parse_since("1970-01-01T01:00:01+01:00", 0) == 1000
    for text in ("", "1", "h", "-1h", "1w"):
        with pytest.raises(InputError, match="Write --since like"):
            parse_since(text, 0)
