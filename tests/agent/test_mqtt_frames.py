"""PUBLISH out and PUBACK in, whatever is sent and wherever the stream is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_packets import Packet, packets_of

from lineside_agent.mqtt_frames import Delivery, Incoming, publish_packets

LIMIT = 300
IDS = st.integers(1, 65535)
DELIVERIES = st.builds(Delivery, st.text(min_size=1, max_size=40), st.sampled_from([0, 1]), st.booleans())


@given(DELIVERIES, st.lists(st.tuples(st.binary(max_size=400), IDS), max_size=6))
def test_packets_say_what_was_published(delivery: Delivery, messages: list[tuple[bytes, int]]) -> None:
    payloads, ids = [payload for payload, _ in messages], [packet_id for _, packet_id in messages]
    stream = publish_packets(delivery, payloads, ids)
    packets, rest = packets_of(stream)
    assert rest == b""
    assert [packet.published() for packet in packets] == [
        (delivery.topic, delivery.qos, delivery.retain, packet_id if delivery.qos else None, payload)
        for payload, packet_id in messages
    ]


@pytest.mark.parametrize("size", [0, 120, 121, 16_376, 16_377, 2_097_144, 2_097_145])
def test_lengths_at_the_borders_of_their_digits(size: int) -> None:
    (packet,), rest = packets_of(publish_packets(Delivery("t"), [b"x" * size], [7]))
    assert rest == b""
    assert packet.published() == ("t", 1, False, 7, b"x" * size)


OTHERS = st.builds(
    Packet, st.sampled_from([0x20, 0x30, 0x31, 0x32, 0x90, 0xB0, 0xD0]), st.binary(max_size=LIMIT - 3)
)
LARGE = st.builds(Packet, st.just(0x30), st.binary(min_size=LIMIT, max_size=2 * LIMIT))
ACKNOWLEDGEMENTS = st.builds(lambda packet_id: Packet(0x40, packet_id.to_bytes(2, "big")), IDS)


@given(
    st.lists(st.one_of(ACKNOWLEDGEMENTS, ACKNOWLEDGEMENTS, OTHERS, LARGE), max_size=20),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_a_stream_is_taken_apart_wherever_it_is_cut(packets: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(packet.encoded() for packet in packets)
    incoming = Incoming(LIMIT)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in itertools.pairwise(places):
        incoming.feed(stream[start:end])
    assert incoming.take_acknowledged() == [
        int.from_bytes(packet.body, "big") for packet in packets if packet.first == 0x40
    ]
    others = [packet for packet in packets if packet.first != 0x40]
    kept = [packet for packet in others if len(packet.encoded()) <= LIMIT]
    assert incoming.take_others(10**6) == b"".join(packet.encoded() for packet in kept)
    assert incoming.left_out == len(others) - len(kept)
    assert incoming.take_acknowledged() == []
    assert incoming.take_others(10**6) == b""


def test_a_length_that_never_ends_is_no_mqtt() -> None:
    with pytest.raises(ValueError, match="length"):
        Incoming(LIMIT).feed(b"\x30\xff\xff\xff\xff\x01")
