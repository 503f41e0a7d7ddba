from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest
from collector_messages import SITE, batch, heartbeat, prediction, predictions, status
from collector_store_suite import Stored, StoreSuite

from lineside_collector import queries
from lineside_collector.export import find_columns
from lineside_collector.sqlite_store import MOST_REJECTED, SQLiteStore
from lineside_collector.store import Store, StoreUnavailable
from lineside_collector.stored import events, newest
from lineside_collector.stored import predictions as stored_predictions
from lineside_contract.errors import InputError, LinesideError
from lineside_contract.messages import Event, PreviousBoot


class TestSQLiteStore(StoreSuite):
    @pytest.fixture
    def store(self, path: Path) -> Store:
        return SQLiteStore(path, SITE)

    @pytest.fixture
    def stored(self, path: Path) -> Stored:
        def ids() -> list[tuple[str, str, int]]:
            database = queries.open_store(path)
            found = [(one.device, one.boot, one.seq) for one in stored_predictions(database)]
            database.close()
            return found

        return ids


def test_a_prediction_comes_back_as_it_was_sent(store: SQLiteStore, path: Path) -> None:
    sent = [
        prediction(0, label="1", probability=0.5, probabilities={"1": 0.5, "ü\u0000": None}),
        prediction(1, label=1, score=-0.25),
        prediction(2, label=None, value=float("nan")),
        prediction(3, label=None, values={"b": 1.5, "a": 2.5}, scores={"s": 0.0}, replayed=True),
        prediction(4, label=-(2**63), value=1e300),
    ]
    store.save(batch(*sent, received_ts=77))
    found = list(stored_predictions(queries.open_store(path)))
    assert all(one.received_ts == 77 for one in found)
    assert found[2].value is None
    for was, one in zip(sent, found, strict=True):
        for field in was.__struct_fields__:
            if field != "value":
                assert getattr(one, field) == getattr(was, field)
    assert [type(one.label) for one in found[:2]] == [str, int]


def test_a_prediction_without_a_label_is_kept_among_those_with_one(store: SQLiteStore, path: Path) -> None:
    more = {"label": ["ok", None], "probabilities": {"ok": [0.9, None]}, "probability": [0.9, None]}
    store.save(batch(predictions(0, 1, **more)))
    database = queries.open_store(path)
    found = list(stored_predictions(database))
    assert [(one.label, one.probability, one.probabilities) for one in found] == [
        ("ok", 0.9, {"ok": 0.9}),
        (None, None, {"ok": None}),
    ]
    assert find_columns(database, None).label_type is str
    (shape,) = database.execute("SELECT columns FROM models").fetchone()
    assert json.loads(shape)["label"] == "str"


def test_columns_and_single_predictions_store_the_same(store: SQLiteStore, path: Path) -> None:
    more = {"probabilities": {"ok": [0.9, 0.8], "bad": [0.1, 0.2]}, "probability": [0.9, None]}
    store.save(batch(predictions(0, 1, **more)))
    store.save(batch(prediction(0, "p", probabilities={"ok": 0.9, "bad": 0.1}, probability=0.9)))
    found = list(stored_predictions(queries.open_store(path)))
    assert found[1].probabilities == found[0].probabilities == {"ok": 0.9, "bad": 0.1}
    assert (found[1].probability, found[2].probability) == (0.9, None)


def test_nothing_of_a_batch_that_fails_is_kept(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.save(batch(prediction(0)))
    other.execute("ROLLBACK")
    assert store.save(batch(prediction(1))).stored == 1
    assert [one.seq for one in stored_predictions(queries.open_store(path))] == [1]


def test_a_full_disk_keeps_nothing_and_recovers(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0)))
    database = store._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreUnavailable, match="full"):
        store.save(batch(predictions(1, 20_000, "new-device")))
    database.execute("PRAGMA max_page_count = 1000000")
    assert store.save(batch(predictions(1, 20_000, "new-device"))).stored == 20_000
    assert len(list(stored_predictions(queries.open_store(path), "new-device"))) == 20_000


def test_a_store_that_is_removed_meanwhile_is_not_acknowledged(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0)))
    path.unlink()
    with pytest.raises(LinesideError, match="removed or replaced"):
        store.save(batch(prediction(1)))


@pytest.mark.parametrize("harm", ["log removed", "emptied"])
def test_a_store_that_others_could_not_read_is_not_acknowledged(
    store: SQLiteStore, path: Path, harm: str
) -> None:
    store.save(batch(prediction(0)))
    if harm == "emptied":
        os.truncate(path, 0)
    else:
        path.with_name(f"{path.name}-wal").unlink()
    with pytest.raises(LinesideError, match="removed or replaced"):
        store.save(batch(prediction(1)))


def test_a_damaged_store_is_one_sentence(path: Path) -> None:
    path.write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="damaged, or is not a database"):
        SQLiteStore(path, SITE)


def test_foreign_newer_and_other_sites_stores_are_refused(path: Path, tmp_path: Path) -> None:
    SQLiteStore(path, SITE).close()
    with pytest.raises(InputError, match="belongs to the site"):
        SQLiteStore(path, "site-2")
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InputError, match="newer Lineside"):
        SQLiteStore(path, SITE)
    with pytest.raises(InputError, match="newer Lineside"):
        queries.open_store(path)
    foreign = tmp_path / "foreign.sqlite"
    database = sqlite3.connect(foreign)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(InputError, match="not a collector's store"):
        SQLiteStore(foreign, SITE)
    with pytest.raises(InputError, match="no folder"):
        SQLiteStore(tmp_path / "no" / "store", SITE)


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([status("online")], "online"),
        ([status("online"), status("offline")], "offline"),
        ([status("online", connection=2), status("offline", connection=1)], "online"),
        ([status("online", boot="aa-2"), status("offline", boot="aa-1", connection=9)], "online"),
        ([status("online", boot="aa-10"), status("offline", boot="aa-9")], "online"),
        ([status("online"), status("stopped"), status("offline")], "stopped"),
        ([status("online"), status("stopped"), status("online", boot="aa-2")], "online"),
        ([status("online"), status("offline"), status("online")], "online"),
        # A wiped device begins a new lineage; the old one's will comes late.
        (
            [status("online", boot="aa-7"), status("online", boot="bb-1"), status("offline", boot="aa-7")],
            "online",
        ),
        ([status("offline")], "offline"),
    ],
)
def test_the_newest_status_is_kept(
    store: SQLiteStore, path: Path, messages: list[object], state: str
) -> None:
    for message in messages:
        store.save(batch(message))
    assert [one.state for one in queries.devices(queries.open_store(path))] == [state]


def test_devices_tell_what_is_known(store: SQLiteStore, path: Path) -> None:
    store.save(batch(status("online", model="m", model_version="2", promise="collector"), received_ts=5))
    store.save(batch(heartbeat(3, 9, outbox_messages=4), heartbeat(2, 8), predictions(0, 6), received_ts=6))
    store.save(batch(predictions(0, 1), status("online", device="a"), received_ts=7))
    other, one = queries.devices(queries.open_store(path))
    assert (other.device, other.heartbeat, other.messages) == ("a", None, 0)
    assert (one.model_version, one.promise, one.boot, one.boots) == ("2", "collector", "aa-1", 1)
    assert (one.messages, one.repeated, one.first_seen, one.last_seen) == (7, 2, 5, 7)
    assert one.heartbeat is not None
    assert (one.heartbeat.seq, one.heartbeat.outbox_messages) == (3, 4)


def test_a_will_says_nothing_of_the_model_and_takes_nothing_away(store: SQLiteStore, path: Path) -> None:
    store.save(batch(status("online", model="m", model_version="2", agent_version="1.0", promise="broker")))
    store.save(batch(status("offline")))
    (one,) = queries.devices(queries.open_store(path))
    found = (one.state, one.model, one.model_version, one.agent_version, one.promise)
    assert found == ("offline", "m", "2", "1.0", "broker")


def test_boots_are_in_the_order_of_their_starts(store: SQLiteStore, path: Path) -> None:
    for boot in ("zz-2", "zz-10", "aa-1", "zz-9"):
        store.save(batch(prediction(0, boot=boot)))
    assert [one.boot for one in queries.boots(queries.open_store(path))] == ["zz-2", "zz-9", "zz-10", "aa-1"]


def test_newest_are_the_last_of_each_device_over_its_boots(store: SQLiteStore, path: Path) -> None:
    store.save(batch(predictions(0, 9), predictions(0, 1, boot="aa-2"), predictions(0, 0, "other")))
    found = [(one.device, one.boot, one.seq) for one in newest(queries.open_store(path), count=3)]
    assert found == [
        ("other", "aa-1", 0),
        ("press-4", "aa-1", 9),
        ("press-4", "aa-2", 0),
        ("press-4", "aa-2", 1),
    ]


def test_events_come_back(store: SQLiteStore, path: Path) -> None:
    sent = Event(
        ts=1, device="d", boot="aa-2", seq=0, event="outbox_dropped", sensor="s", dropped={"aa-1": [(2, 4)]}
    )
    store.save(
        batch(sent, sent, status("online", "aa-2", device="d", previous=PreviousBoot(boot="aa-1", end=9)))
    )
    (found,) = events(queries.open_store(path))
    assert (found.event, found.sensor, found.dropped) == ("outbox_dropped", "s", {"aa-1": [(2, 4)]})


def test_rejected_messages_are_kept_up_to_a_bound(store: SQLiteStore, path: Path) -> None:
    for _ in range(3):
        store.save(batch(*((f"lineside/v1/{SITE}/d/event", b"{" * 9000) for _ in range(600))))
    database = queries.open_store(path)
    assert queries.rejected_ever(database) == 1800
    found = queries.rejected(database)
    assert len(found) == MOST_REJECTED
    assert len(found[0].payload) == 4096


def test_readers_work_after_a_clean_close_and_see_what_is_committed_meanwhile(
    store: SQLiteStore, path: Path
) -> None:
    database = queries.open_store(path)
    store.save(batch(prediction(0)))
    assert len(list(stored_predictions(database))) == 1
    database.close()
    store.close()
    assert not path.with_name(path.name + "-wal").exists()
    assert len(list(stored_predictions(queries.open_store(path)))) == 1


def test_columns_are_stored_quickly(store: SQLiteStore) -> None:
    parts = {"probabilities": {name: [0.25] * 100 for name in "abcd"}, "probability": [0.25] * 100}
    messages = [predictions(first, first + 99, **parts) for first in range(0, 50_000, 100)]
    began = time.process_time()
    store.save(batch(*messages))
    # 100,000 a second is what one core gives; a machine busy with other things is given a third of it.
    assert 50_000 / (time.process_time() - began) > 30_000
