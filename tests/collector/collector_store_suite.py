"""What every Store must do: inherit from StoreSuite and give it the two fixtures `store` and `stored`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from collector_messages import batch, heartbeat, prediction, predictions, status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineside_collector.store import Saved, Store

Stored = Callable[[], list[tuple[str, str, int]]]
Pieces = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["aa-1", "aa-2"]),
            st.integers(0, 30),
            st.integers(0, 9),
        ),
        max_size=5,
    ),
    max_size=6,
)

_EXAMPLES = count()


class StoreSuite:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def stored(self) -> Stored:
        """The (device, boot, seq) of every prediction in the store, as a function."""
        raise NotImplementedError

    def test_what_is_saved_is_there(self, store: Store, stored: Stored) -> None:
        assert store.save(batch(predictions(0, 4), prediction(5))) == Saved(6, 0)
        assert stored() == [("press-4", "aa-1", seq) for seq in range(6)]

    def test_an_empty_batch_is_no_trouble(self, store: Store, stored: Stored) -> None:
        assert store.save(batch()) == Saved(0, 0)
        assert stored() == []

    def test_repeats_are_counted_and_ignored(self, store: Store, stored: Stored) -> None:
        store.save(batch(predictions(0, 4)))
        assert store.save(batch(predictions(3, 6), prediction(6))) == Saved(2, 3)
        assert stored() == [("press-4", "aa-1", seq) for seq in range(7)]

    def test_the_same_number_of_another_boot_or_device_is_another_message(
        self, store: Store, stored: Stored
    ) -> None:
        store.save(batch(prediction(0), prediction(0, boot="aa-2"), prediction(0, device="press-5")))
        assert len(stored()) == 3

    def test_a_batch_may_hold_every_kind(self, store: Store, stored: Stored) -> None:
        saved = store.save(batch(status("online"), heartbeat(0, 1), prediction(0), ("nonsense", b"")))
        assert saved == Saved(1, 0)
        assert stored() == [("press-4", "aa-1", 0)]

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(pieces=Pieces)
    def test_any_order_of_repeats_and_parts_gives_each_id_once(
        self, store: Store, stored: Stored, pieces: list[list[tuple[str, str, int, int]]]
    ) -> None:
        # One store for all examples: the devices' names keep them apart.
        example = f"-{next(_EXAMPLES)}"
        sent: set[tuple[str, str, int]] = set()
        for group in pieces:
            named = [(device + example, boot, first, more) for device, boot, first, more in group]
            ids = [(d, b, seq) for d, b, first, more in named for seq in range(first, first + more + 1)]
            saved = store.save(batch(*(predictions(f, f + more, d, b) for d, b, f, more in named)))
            assert saved == Saved(len(set(ids) - sent), len(ids) - len(set(ids) - sent))
            sent |= set(ids)
        assert [one for one in stored() if one[0].endswith(example)] == sorted(sent)
