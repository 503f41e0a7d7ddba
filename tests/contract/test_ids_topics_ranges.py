from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lineside_contract.address import BrokerAddress
from lineside_contract.errors import InputError, nearest
from lineside_contract.ids import Boot
from lineside_contract.ranges import SeqRanges
from lineside_contract.topics import (
    Kind,
    check_name,
    collector_status_topic,
    device_topic,
    parse_device_topic,
)

NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}", fullmatch=True).filter(
    lambda name: name not in ("collectors", "models")
)


class RangesLikeASet(RuleBasedStateMachine):
    """Whatever is done to the ranges, they hold what a plain set would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = SeqRanges()
        self.model: set[int] = set()

    @rule(first=st.integers(0, 60), length=st.integers(1, 12))
    def add(self, first: int, length: int) -> None:
        self.ranges.add(first, first + length - 1)
        self.model.update(range(first, first + length))

    @rule()
    def add_at_the_end(self) -> None:
        self.ranges.add(self.ranges.end, self.ranges.end)
        self.model.add(max(self.model, default=-1) + 1)

    @rule(others=st.lists(st.integers(0, 60)))
    def update(self, others: list[int]) -> None:
        self.ranges.update((other, other) for other in others)
        self.model.update(others)

    @rule(first=st.integers(0, 80), length=st.integers(1, 30))
    def ask(self, first: int, length: int) -> None:
        asked = set(range(first, first + length))
        last = first + length - 1
        assert self.ranges.covers(first, last) == (asked <= self.model)
        assert _numbers(self.ranges.missing(first, last)) == sorted(asked - self.model)
        assert _numbers(self.ranges.covered(first, last)) == sorted(asked & self.model)

    @invariant()
    def same(self) -> None:
        assert _numbers(self.ranges) == sorted(self.model)
        assert self.ranges.count == len(self.model)
        assert self.ranges.end == max(self.model, default=-1) + 1
        assert bool(self.ranges) == bool(self.model)
        assert self.ranges == SeqRanges((number, number) for number in self.model)
        found = list(self.ranges)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(found))

    @rule(number=st.integers(0, 80))
    def contains(self, number: int) -> None:
        assert (number in self.ranges) == (number in self.model)


def _numbers(ranges: object) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]  # type: ignore[attr-defined]


TestRanges = RangesLikeASet.TestCase


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (1, 0), (-2, -1)])
def test_ranges_refuse_what_is_none(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        SeqRanges([(first, last)])


@given(NAMES, NAMES, st.sampled_from(Kind))
def test_topics_come_apart_as_they_were_made(site: str, device: str, kind: Kind) -> None:
    assert check_name(site, "site") == site
    assert parse_device_topic(device_topic(site, device, kind)) == (site, device, kind)


@pytest.mark.parametrize(
    "name", ["", "a/b", "+", "#", "a.b", "-a", "$SYS", "a b", "a\n", "é", "x" * 65, "collectors", "models"]
)
def test_names_that_would_change_a_topic_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be part of a topic"):
        check_name(name, "The device")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "lineside/v1/site/device",
        "lineside/v1/site/device/unknown",
        "lineside/v2/site/device/status",
        "other/v1/site/device/status",
        "lineside/v1/site/device/status/more",
        collector_status_topic("site", "main"),
    ],
)
def test_other_topics_are_no_devices_topics(topic: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_device_topic(topic)


@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.integers(0, 10**18 - 1))
def test_boots_are_read_as_they_are_written(lineage: str, counter: int) -> None:
    boot = Boot(lineage, counter)
    assert Boot.parse(str(boot)) == boot
    assert boot < boot.next()


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "a-", "a-b", "a-٣", "a-²", "a-01", "a-+1", "a- 1", "a-1\n", "a-" + "9" * 5000]
)
def test_other_texts_are_no_boots(text: str) -> None:
    with pytest.raises(InputError, match="not a boot id"):
        Boot.parse(text)


@given(st.text())
def test_every_boot_has_one_id(text: str) -> None:
    try:
        boot = Boot.parse(text)
    except InputError:
        return
    assert str(boot) == text


def test_two_lineages_differ() -> None:
    assert Boot.first().lineage != Boot.first().lineage


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://localhost", BrokerAddress("localhost", 1883, False)),
        ("mqtts://broker.example", BrokerAddress("broker.example", 8883, True)),
        ("mqtt://10.0.0.1:1884/", BrokerAddress("10.0.0.1", 1884, False)),
        ("mqtts://[::1]:1", BrokerAddress("::1", 1, True)),
    ],
)
def test_addresses(url: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == address
    assert BrokerAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:1883",
        "http://a",
        "mqtt://",
        "mqtt://a:b",
        "mqtt://a:0",
        "mqtt://a:65536",
        "mqtt://a/topic",
        "mqtt://a?x=1",
        "mqtt://[::1",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="Write it like mqtt://localhost:1883"):
        BrokerAddress.parse(url)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError, match="no user and no password") as refused:
        BrokerAddress.parse("mqtt://me:secret@broker")
    assert "secret" not in str(refused.value)


def test_nearest() -> None:
    assert nearest("colector", ["agent", "collector"]) == "Did you mean 'collector'?"
    assert nearest("xyz", ["agent", "collector"]) == ""
