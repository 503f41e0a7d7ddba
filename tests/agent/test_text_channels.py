"""Columns of text: what a sensor reads as text, the model gets as codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeClock

from lineside_agent.clock import Signal
from lineside_agent.counters import SensorCounters
from lineside_agent.reader import Reader
from lineside_agent.sensors import stdin
from lineside_agent.sensors.replay import Settings as ReplaySettings
from lineside_agent.sensors.stdin import Settings as StdinSettings
from lineside_agent.settings import SensorSettings
from lineside_contract.categories import MISSING, UNKNOWN, Codes
from lineside_contract.errors import InputError
from lineside_contract.manifest import Channel

GRADE = Channel(name="grade", categories=["L", "M", "H"])
SPEED = Channel(name="speed")
ROWS = "speed,grade,note\n1,M,x\n2, H ,y\n3,Q,z\n4,,x\n"
CODES = [[1, 1], [2, 2], [UNKNOWN, 3], [MISSING, 4]]


class Rig:
    """A reader of one sensor, which passes NaN on."""

    def __init__(self, settings: SensorSettings, channels: list[Channel], non_finite: str = "pass") -> None:
        self.counters = SensorCounters()
        self.stop = Signal()
        self.reader = Reader(settings, channels, non_finite, self.counters, FakeClock(), self.stop)  # type: ignore[arg-type]
        self.reader.open()

    def values(self) -> list[list[float]]:
        block = self.reader.read()
        assert block is not None
        return block.values.tolist()


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], SensorSettings]]:
    """Make standard input say something."""
    ends = os.pipe()

    def say(text: str, **options: object) -> SensorSettings:
        os.write(ends[1], text.encode())
        monkeypatch.setattr(stdin.sys, "stdin", os.fdopen(os.dup(ends[0])))
        return SensorSettings(kind="stdin", options=StdinSettings(**options))  # type: ignore[arg-type]

    yield say
    for end in ends:
        os.close(end)


def replayed(
    folder: Path, text: str, renames: dict[str, str] | None = None, **options: object
) -> SensorSettings:
    path = folder / "a.csv"
    path.write_text(text)
    settings = ReplaySettings(file=path, timestamp="none", speed="fast", **options)  # type: ignore[arg-type]
    return SensorSettings(kind="replay", options=settings, channels=renames or {})


def test_codes() -> None:
    codes = Codes(["L", "M", " odd "])
    assert [codes.of(text) for text in ("L", " M\t", " odd ", "odd", "l")] == [0, 1, 2, UNKNOWN, UNKNOWN]
    assert np.isnan([codes.of(text) for text in ("", "  ", "nan", "NaN")]).all()
    assert Codes(["", "nan"]).of("") == 0
    assert Codes(["nan"]).of("nan") == 0


def test_a_recording_gives_codes(tmp_path: Path) -> None:
    np.testing.assert_array_equal(Rig(replayed(tmp_path, ROWS), [GRADE, SPEED]).values(), CODES)


def test_a_recording_may_name_its_columns_and_rename_them(tmp_path: Path) -> None:
    settings = replayed(tmp_path, ROWS, {"note": "grade"}, columns=["note", "speed"])
    channels = [SPEED, Channel(name="grade", categories=["z", "x"])]
    assert Rig(settings, channels).values() == [[1, 1], [2, UNKNOWN], [3, 0], [4, 1]]


def test_a_recording_of_nothing_but_text(tmp_path: Path) -> None:
    assert Rig(replayed(tmp_path, "grade\nM\nL\n"), [GRADE]).values() == [[1], [0]]
    with pytest.raises(InputError, match="has no column of numbers"):
        Rig(replayed(tmp_path, "grade\nM\nL\n"), [SPEED])


def test_categories_that_look_like_numbers_are_text(tmp_path: Path) -> None:
    line = Channel(name="line", categories=["10", "2"])
    assert Rig(replayed(tmp_path, "line\n2\n10\n2.0\n"), [line]).values() == [[1], [0], [UNKNOWN]]


@pytest.mark.parametrize("options", [{}, {"columns": ["grade", "speed"]}], ids=["all", "named"])
def test_csv_lines_give_codes(piped: Callable[..., SensorSettings], options: dict[str, object]) -> None:
    rig = Rig(piped(ROWS, **options), [GRADE, SPEED])
    np.testing.assert_array_equal(rig.values(), CODES)


@pytest.mark.parametrize("options", [{}, {"columns": ["grade", "speed"]}], ids=["all", "named"])
def test_json_lines_give_codes(piped: Callable[..., SensorSettings], options: dict[str, object]) -> None:
    lines = [
        '{"grade": "M", "speed": 1, "note": "x"}',
        '{"speed": 2, "grade": "H"}',
        '{"speed": 3, "grade": "Q"}',
        '{"speed": 4, "grade": null}',
        '{"speed": 5, "grade": 1}',
        '{"speed": "6", "grade": "L"}',
        '{"speed": 7, "grade": "L"}',
    ]
    rig = Rig(piped("\n".join(lines) + "\n", **options), [GRADE, SPEED])
    np.testing.assert_array_equal(rig.values(), CODES)
    assert rig.reader.read() is None
    assert '"speed": 5' in rig.counters.detail
    assert "'grade' is no text" in rig.counters.detail
    assert rig.reader.read() is None
    assert "'speed' is no number" in rig.counters.detail
    assert rig.values() == [[0, 7]]


def test_what_the_model_has_no_answer_to_is_left_out_and_counted(tmp_path: Path) -> None:
    strict = Channel(name="grade", categories=["L", "M", "H"], refuses=["unknown", "missing"])
    rig = Rig(replayed(tmp_path, ROWS), [strict, SPEED])
    assert rig.values() == [[1, 1], [2, 2]]
    assert rig.counters.failures == 2
    assert rig.counters.detail == "a text is none that the model has an answer to"


def test_a_missing_text_is_like_a_missing_number(tmp_path: Path) -> None:
    rig = Rig(replayed(tmp_path, ROWS), [GRADE, SPEED], non_finite="skip")
    assert rig.values() == CODES[:3]
    assert rig.counters.non_finite == 1
