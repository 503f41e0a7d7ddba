from __future__ import annotations

from itertools import count
from pathlib import Path

from collector_messages import batch, heartbeat, prediction, predictions, status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineside_collector import queries
from lineside_collector.gaps import Gaps, gaps
from lineside_collector.sqlite_store import SQLiteStore
from lineside_contract.messages import Event, PreviousBoot

_EXAMPLES = count()


def found(path: Path, boot: str = "aa-1") -> Gaps:
    (one,) = [one for one in gaps(queries.open_store(path)) if one.boot == boot]
    return one


def dropped(seq: int, ranges: dict[str, list[tuple[int, int]]]) -> Event:
    return Event(ts=1, device="press-4", boot="aa-1", seq=seq, event="outbox_dropped", dropped=ranges)


def test_nothing_is_missing_of_an_unbroken_sequence(store: SQLiteStore, path: Path) -> None:
    store.save(batch(predictions(0, 9), heartbeat(0, 10)))
    assert found(path).missing == []


def test_holes_and_the_beginning_are_missing(store: SQLiteStore, path: Path) -> None:
    store.save(batch(predictions(2, 4), prediction(7)))
    assert found(path).missing == [(0, 1), (5, 6)]


def test_events_share_the_sequence(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0), dropped(1, {}), prediction(2)))
    assert found(path).missing == []


def test_the_heartbeat_tells_that_the_newest_are_missing(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0), heartbeat(0, 5)))
    assert found(path).missing == [(1, 4)]


def test_a_clean_stop_tells_that_the_last_are_missing(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0), status("stopped", end=3)))
    assert found(path).missing == [(1, 2)]


def test_a_boot_of_which_nothing_came_is_missing_as_a_whole(store: SQLiteStore, path: Path) -> None:
    store.save(batch(status("online", boot="aa-2", previous=PreviousBoot(boot="aa-1", end=4))))
    assert found(path).missing == [(0, 3)]
    assert found(path, "aa-2").missing == []


def test_what_never_reached_the_disk_is_not_missing(store: SQLiteStore, path: Path) -> None:
    store.save(batch(predictions(0, 2), prediction(6), heartbeat(0, 9)))
    assert found(path).missing == [(3, 5), (7, 8)]
    store.save(batch(status("online", boot="aa-2", previous=PreviousBoot(boot="aa-1", end=5))))
    one = found(path)
    assert (one.missing, one.unwritten, one.numbered) == ([(3, 4)], [(5, 5), (7, 8)], 9)


def test_what_was_dropped_is_told_apart_and_may_still_have_arrived(store: SQLiteStore, path: Path) -> None:
    store.save(batch(predictions(0, 4), prediction(20), dropped(21, {"aa-1": [(3, 9)], "aa-0": [(0, 5)]})))
    one = found(path)
    assert (one.dropped, one.missing) == ([(5, 9)], [(10, 19)])
    assert found(path, "aa-0").dropped == [(0, 5)]


def test_a_late_message_closes_its_gap(store: SQLiteStore, path: Path) -> None:
    store.save(batch(prediction(0), prediction(2)))
    store.save(batch(prediction(1, replayed=True)))
    assert found(path).missing == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrived=st.sets(st.integers(0, 40)),
    lost=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8))),
    numbered=st.integers(0, 45),
    on_disk=st.none() | st.integers(0, 45),
)
def test_every_number_is_exactly_one_of_received_missing_dropped_unwritten(
    store: SQLiteStore,
    path: Path,
    arrived: set[int],
    lost: list[tuple[int, int]],
    numbered: int,
    on_disk: int | None,
) -> None:
    device = f"device-{next(_EXAMPLES)}"  # hypothesis keeps the store for all examples
    said = {seq for first, more in lost for seq in range(first, first + more + 1)}
    messages = [prediction(seq, device) for seq in sorted(arrived, key=hash)]
    store.save(batch(*messages, heartbeat(0, numbered, device)))
    if lost:
        ranges = {"aa-1": [(first, first + more) for first, more in lost]}
        store.save(
            batch(Event(ts=1, device=device, boot="aa-2", seq=0, event="outbox_dropped", dropped=ranges))
        )
    if on_disk is not None:
        before = PreviousBoot(boot="aa-1", end=on_disk)
        store.save(batch(status("online", boot="aa-2", device=device, previous=before)))
    (one,) = [one for one in gaps(queries.open_store(path), device) if one.boot == "aa-1"]
    end = max([numbered, on_disk or 0, *(seq + 1 for seq in arrived | said)])
    disk = end if on_disk is None else on_disk

    def numbers(ranges: list[tuple[int, int]]) -> set[int]:
        return {seq for first, last in ranges for seq in range(first, last + 1)}

    absent = set(range(end)) - arrived
    assert one.numbered == end
    assert one.received == len(arrived)
    assert numbers(one.dropped) == absent & said
    assert numbers(one.missing) == {seq for seq in absent - said if seq < disk}
    assert numbers(one.unwritten) == {seq for seq in absent - said if seq >= disk}
