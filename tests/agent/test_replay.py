from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import START_NS, FakeClock
from hypothesis import example, given
from hypothesis import strategies as st

from lineside_agent.clock import Signal
from lineside_agent.sensors import Block, EndOfReadings, Sensor, open_sensor
from lineside_agent.sensors.csv_file import CsvFile
from lineside_agent.sensors.replay import Settings
from lineside_contract.errors import InputError

SKAB = Path(__file__).parents[3] / "shared" / "data" / "skab" / "valve1" / "0.csv"
PLAIN = (
    "timestamp,a,name,b\n2020-01-01T00:00:00Z,1,x,2\n2020-01-01T00:00:01Z,3,y,4\n2020-01-01T00:00:03Z,5,z,6\n"
)
FIRST_NS = 1_577_836_800_000_000_000
S = 1_000_000_000


def write(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def opened(path: Path, clock: FakeClock | None = None, stop: Signal | None = None, **settings: Any) -> Sensor:
    return open_sensor("replay", Settings(file=path, **settings), clock or FakeClock(), stop or Signal())


def all_of(sensor: Sensor) -> list[Block]:
    blocks = []
    try:
        while True:
            blocks.append(sensor.read())
    except EndOfReadings:
        return blocks


def whole(path: Path, **settings: Any) -> tuple[list[int], list[list[float]]]:
    blocks = all_of(opened(path, speed="fast", **settings))
    return [t for b in blocks for t in b.timestamps.tolist()], [v for b in blocks for v in b.values.tolist()]


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as error:
        whole(path, **settings)
    assert str(path) in str(error.value)
    return str(error.value).replace(str(path), "a.csv")


def test_columns_of_numbers_are_the_channels(tmp_path: Path) -> None:
    sensor = opened(write(tmp_path, PLAIN), speed="fast")
    assert sensor.channels == ("a", "b")
    (block,) = all_of(sensor)
    assert block.timestamps.tolist() == [FIRST_NS, FIRST_NS + S, FIRST_NS + 3 * S]
    assert block.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (block.timestamps.dtype, block.values.dtype) == (np.int64, np.float32)


def test_columns_may_be_chosen_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    assert opened(path, columns=["b", "a"]).channels == ("b", "a")
    assert whole(path, columns=["b"])[1] == [[2], [4], [6]]


def test_in_real_time_each_reading_comes_when_it_is_due(tmp_path: Path) -> None:
    clock = FakeClock()
    sensor = opened(write(tmp_path, PLAIN), clock)
    seen = [(len(sensor.read().values), clock.seconds) for _ in range(3)]
    assert seen == [(1, 0.0), (1, 1.0), (1, 3.0)]
    with pytest.raises(EndOfReadings):
        sensor.read()


def test_twice_as_fast_takes_half_the_time(tmp_path: Path) -> None:
    clock = FakeClock()
    all_of(opened(write(tmp_path, PLAIN), clock, speed=2.0))
    assert clock.seconds == 1.5


def test_a_late_reader_gets_all_that_is_due_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    sensor = opened(write(tmp_path, PLAIN), clock)
    clock.seconds = 50.0  # the model took long to load: the recording begins with the first read
    assert len(sensor.read().values) == 1
    clock.seconds += 2.5
    assert sensor.read().values.tolist() == [[3, 4]]
    clock.seconds += 100
    assert sensor.read().values.tolist() == [[5, 6]]


def test_a_stop_ends_the_wait_and_loses_nothing(tmp_path: Path) -> None:
    clock, stop = FakeClock(stop_at=0.5), Signal()
    sensor = opened(write(tmp_path, PLAIN), clock, stop)
    sensor.read()
    assert len(sensor.read().values) == 0
    assert clock.seconds == 0.5
    stop.clear()
    clock.stop_at = None
    assert sensor.read().values.tolist() == [[3, 4]]


def test_fast_stops_too(tmp_path: Path) -> None:
    stop = Signal()
    sensor = opened(write(tmp_path, PLAIN), stop=stop, speed="fast")
    stop.set()
    assert sensor.read().values.shape == (0, 2)


def test_fast_gives_blocks_of_the_wanted_size(tmp_path: Path) -> None:
    lines = "".join(f"{i},{i}\n" for i in range(10_000))
    path = write(tmp_path, "timestamp,a\n" + lines)
    blocks = all_of(opened(path, speed="fast", block=999))
    assert max(len(block.values) for block in blocks) == 999
    assert [v for block in blocks for (v,) in block.values.tolist()] == list(range(10_000))


def test_a_loop_goes_on_with_rising_times(tmp_path: Path) -> None:
    clock = FakeClock()
    sensor = opened(write(tmp_path, PLAIN), clock, loop=True)
    stamps = [t for _ in range(9) for t in sensor.read().timestamps.tolist()]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    # three readings in 3 s: the next round follows after their mean distance, 1.5 s
    assert [t - FIRST_NS for t in stamps[:4]] == [0, S, 3 * S, 4 * S + S // 2]
    assert clock.seconds == pytest.approx((stamps[-1] - FIRST_NS) / S)


def test_a_loop_of_one_reading_does_not_spin(tmp_path: Path) -> None:
    clock = FakeClock()
    sensor = opened(write(tmp_path, "timestamp,a\n5,1\n"), clock, loop=True, interval_s=2.0)
    stamps = [sensor.read().timestamps.tolist() for _ in range(3)]
    assert stamps == [[5 * S], [7 * S], [9 * S]]
    assert clock.seconds == 4.0


def test_times_that_repeat_or_go_back_keep_the_files_order(tmp_path: Path) -> None:
    clock = FakeClock()
    path = write(tmp_path, "timestamp,a\n10,1\n12,2\n12,3\n11,4\n13,5\n")
    blocks = [(b.values[:, 0].tolist(), b.timestamps.tolist()) for b in all_of(opened(path, clock))]
    assert blocks == [
        ([1], [10 * S]),
        ([2, 3, 4], [12 * S, 12 * S, 11 * S]),
        ([5], [13 * S]),
    ]
    assert clock.seconds == 3.0


def test_restamped_readings_have_the_present_time(tmp_path: Path) -> None:
    clock = FakeClock()
    sensor = opened(write(tmp_path, PLAIN), clock, restamp=True)
    assert sensor.read().timestamps.tolist() == [START_NS]
    clock.seconds = 10.0
    assert sensor.read().timestamps.tolist() == [START_NS + S, START_NS + 3 * S]


def test_a_file_without_times_is_timed_by_its_interval(tmp_path: Path) -> None:
    clock = FakeClock()
    path = write(tmp_path, "a,b\n1,2\n3,4\n5,6\n")
    blocks = all_of(opened(path, clock, timestamp="none", interval_s=0.5))
    assert [b.timestamps.tolist() for b in blocks] == [[START_NS], [START_NS + S // 2], [START_NS + S]]
    assert clock.seconds == 1.0


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2020-01-01T00:00:00Z", FIRST_NS),
        ("2020-01-01 00:00:00", FIRST_NS),
        ("2020-01-01", FIRST_NS),
        ("2020-01-01T01:00:00+01:00", FIRST_NS),
        ("2020-01-01T00:00:00.250", FIRST_NS + S // 4),
        ("1577836800", FIRST_NS),
        ("1577836800.25", FIRST_NS + S // 4),
        ("1577836800000", FIRST_NS),
        ("1577836800000000", FIRST_NS),
        ("1577836800000000001", FIRST_NS + 1),
    ],
)
def test_times_are_read_however_they_are_written(tmp_path: Path, cell: str, expected: int) -> None:
    assert whole(write(tmp_path, f"timestamp,a\n{cell},1\n"))[0] == [expected]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, PLAIN.replace(",", delimiter))
    assert whole(path)[1] == [[1, 2], [3, 4], [5, 6]]
    named = "tab" if delimiter == "\t" else delimiter
    assert whole(path, delimiter=named)[1] == [[1, 2], [3, 4], [5, 6]]


def test_gzip_byte_order_mark_windows_lines_quotes_and_blank_lines_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig", newline="") as file:
        file.write('"timestamp","a, in bar"\r\n1,"2.5"\r\n\r\n2,3\r\n')
    assert opened(path).channels == ("a, in bar",)
    assert whole(path) == ([S, 2 * S], [[2.5], [3]])


def test_empty_cells_and_names_for_no_number_are_kept_as_such(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,a,b\n1,,1\n2,nan,2\n3,-inf,3\n4,1e60,4\n5,NaN, 5\n")
    values = np.array(whole(path)[1])
    assert np.isnan(values[[0, 1, 4], 0]).all()
    assert np.isinf(values[[2, 3], 0]).all()
    assert values[:, 1].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv has no readings."),
        ("timestamp,a\n", "a.csv has no readings."),
        ("1,2\n3,4\n", "a.csv has no header"),
        ("time,a\n1,2\n", "a.csv has no column 'timestamp'. Did you mean 'time'?"),
        ("when,a\n1,2\n", "a.csv has no column 'timestamp'. It has 'when', 'a'. Set timestamp to"),
        ("timestamp,a,a\n1,2,3\n", "a.csv has two columns named 'a'."),
        ("timestamp,a\n1,x\n", "a.csv has no column of numbers."),
        ("timestamp,a\n1,1_000\n", "a.csv has no column of numbers."),
        ("timestamp,a\nyesterday,1\n", "a.csv, line 2: 'yesterday' in column 'timestamp' is no time."),
        ("timestamp,a\n1,1\n2,2,2\n", "a.csv, line 3: 3 cells instead of 2."),
        ("timestamp,a\n1,1\n2\n", "a.csv, line 3: 1 cell instead of 2."),
        (
            "timestamp,a\n1,1\n\n2020-01-01,2\n",
            "a.csv, line 4: '2020-01-01' is no time like those before it.",
        ),
        ("timestamp,a\n1,1\nnan,2\n", "a.csv, line 3: 'nan' is no time"),
        ("timestamp,a\n1,1\ninf,2\n", "a.csv, line 3: 'inf' is no time"),
        ("timestamp,a\n1,1\n1e300,2\n", "a.csv, line 3: '1e300' is no time"),
        ("timestamp,a\nnan,1\n", "is no time"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_told_with_the_line(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refusal(write(tmp_path, text))


@pytest.mark.parametrize("cell", ["8;8", "8_8"])
def test_text_in_a_number_far_down_is_told_with_line_and_column(tmp_path: Path, cell: str) -> None:
    lines = [f"{i},{i}" for i in range(9000)]
    lines[8765] = f"8765,{cell}"
    path = write(tmp_path, "timestamp,a\n" + "\n".join(lines))
    assert f"a.csv, line 8767: {cell!r} in column 'a' is no number." in refusal(path)


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, PLAIN)
    assert "no column 'c'. It has 'timestamp', 'a', 'name', 'b'." in refusal(path, columns=["c"])


def test_a_missing_or_damaged_file_is_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "none.csv")
    assert "cannot be read" in refusal(tmp_path)
    damaged = tmp_path / "cut.csv.gz"
    numbers = "".join(f"{number},{number * number}\n" for number in range(10_000))
    damaged.write_bytes(gzip.compress(f"timestamp,a\n{numbers}".encode())[:-200])
    assert "is damaged" in refusal(damaged)
    no_gzip = write(tmp_path, PLAIN, "b.csv.gz")
    assert "is damaged, or is no CSV file" in refusal(no_gzip)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("timestamp,Öl\n1,2\n".encode("latin-1"))
    assert "is damaged, or is no CSV file" in refusal(latin)


def test_closing_twice_is_fine_and_ends_it(tmp_path: Path) -> None:
    sensor = opened(write(tmp_path, PLAIN))
    sensor.read()
    sensor.close()
    sensor.close()
    with pytest.raises(EndOfReadings):
        sensor.read()


@pytest.mark.skipif(not SKAB.exists(), reason="the SKAB recordings are not here")
def test_a_recording_of_a_real_pump_is_replayed() -> None:
    clock = FakeClock()
    sensor = opened(SKAB, clock, timestamp="datetime")
    assert sensor.channels[:3] == ("Accelerometer1RMS", "Accelerometer2RMS", "Current")
    blocks = all_of(sensor)
    count = len(SKAB.read_text().splitlines()) - 1
    assert sum(len(block.values) for block in blocks) == count
    stamps = np.concatenate([block.timestamps for block in blocks])
    assert clock.seconds == pytest.approx((stamps.max() - stamps[0]) / S)
    assert np.isfinite(np.concatenate([block.values for block in blocks])).all()


CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(
        ["", " ", " 7 ", "1_0", "1e400", "-0", "\u0663", "nan", "0x10", "x", '"2"', '"a,1"', '"', "1,2"]
    ),
    st.sampled_from(
        ["null", "true", "[1", "1],[2", "1]", "{}", "-0 ", "-0.0", "\t7", "+1", "01", "1.", ".5"]
    ),
    st.sampled_from(
        ["-0e1", "1E5", "1\r2", "\ufeff1", "1\u00a0", "9007199254740993", "3.4028235677973366e38"]
    ),
    st.integers(-(2**70), 2**70).map(str),
)
STAMPS = st.one_of(
    st.integers(10**12, 2 * 10**12).map(str),
    st.sampled_from(["", "1700000000000.5", " 1700000000001", "1_7", "1e12", "nan", "9" * 60, "2020-01-01"]),
    st.sampled_from(
        ["-1700000000000", "-0", str(2**63), str(2**63 // 10**6), str(-(2**63) // 10**6 - 1), "1.0"]
    ),
)


@given(
    st.lists(st.tuples(STAMPS.filter(bool), CELLS, CELLS), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
@example([("1700000000000", "-0", "1"), ("1700000000001", "1", "-0")], "\n")
@example([("1700000000000", "1", "-0")], "\r\n")
@example([("1700000000000", "2],[1700000000001", "1")], "\n")
def test_lines_taken_at_once_give_what_each_cell_gives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("".join(f"{','.join(row)}{end}" for row in [("t", "a", "b"), *rows]), newline="")

    def read() -> Any:
        try:
            file = CsvFile(path, ",", "t", ["a"])
            found = [(piece.timestamps, piece.values) for piece in file.pieces()]
        except InputError as error:
            return str(error)
        return [[array.tobytes() for array in piece if array is not None] for piece in found]

    at_once = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CsvFile, "_at_once", lambda *_: None)
        assert read() == at_once


def test_plain_lines_are_decoded_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    monkeypatch.setattr(CsvFile, "_as_table", lambda _, lines: tables.append(lines))
    path = tmp_path / "a.csv"
    for plain in ("1,1700000000000,2.5\n3,1700000000001,4\n", "1,1700000000000,2.5\r\n3, 1700000000001,4"):
        path.write_text(f"a,t,b\n{plain}", newline="")
        (piece,) = CsvFile(path, ",", "t", []).pieces()
        assert piece.values.tolist() == [[1, 2.5], [3, 4]]
        assert piece.timestamps is not None
        assert piece.timestamps.tolist() == [1_700_000_000_000_000_000, 1_700_000_000_001_000_000]
    assert not tables
    path.write_text("a,t,b\n1,1700000000000,2.5\n3,1700000000001,nan\n")
    assert len(list(CsvFile(path, ",", "t", []).pieces())) == 1
    assert len(tables) == 1
