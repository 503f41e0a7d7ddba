"""MQTT 3.1.1 on the path that every prediction takes: PUBLISH packets out, PUBACK packets in; bytes, no socket.

Everything else (CONNECT, SUBSCRIBE, pings, what is published to us) is paho's. Section numbers are those of the
OASIS standard, "MQTT Version 3.1.1", 2014.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

_PUBLISH = 0x30
_PUBACK = b"\x40\x02"  # and two bytes of packet id: section 3.4
_PUBACK_BYTES = 4
_LONGEST_HEADER = 5


class Delivery(NamedTuple):
    """Where a message goes and how: quality of service 0 or 1, and whether the broker is to retain it."""

    topic: str
    qos: int = 1
    retain: bool = False


def publish_packets(delivery: Delivery, payloads: Iterable[bytes], ids: Iterable[int]) -> bytes:
    """Return a PUBLISH packet for each payload, one after the other, each with its packet id (section 3.3).

    `ids` count for quality of service 1 only; 0 has none.
    """
    pieces: list[bytes] = []
    if delivery.qos:
        for payload, packet_id in zip(payloads, ids, strict=True):
            pieces += (_head(delivery, len(payload)), packet_id.to_bytes(2, "big"), payload)
    else:
        for payload in payloads:
            pieces += (_head(delivery, len(payload)), payload)
    return b"".join(pieces)


@lru_cache(maxsize=1024)
def _head(delivery: Delivery, payload_bytes: int) -> bytes:
    """Return what comes before the packet id."""
    topic = delivery.topic.encode()
    first = _PUBLISH | delivery.qos << 1 | delivery.retain
    length = 2 + len(topic) + (2 if delivery.qos else 0) + payload_bytes
    return bytes([first, *_remaining_length(length)]) + struct.pack(">H", len(topic)) + topic


def _remaining_length(length: int) -> bytes:
    """Return a length as section 2.2.3 writes it: seven bits a byte, the lowest first."""
    digits = bytearray()
    while length > 0x7F:
        digits.append(0x80 | length & 0x7F)
        length >>= 7
    return bytes([*digits, length])


class Incoming:
    """What a broker sends, taken apart: packet ids that it acknowledges, and the bytes of all other packets.

    A packet of more than `limit` bytes is left out, whatever it is: nobody may make a small device hold it.
    """

    def __init__(self, limit: int) -> None:
        self.acknowledged: list[int] = []
        self.others = bytearray()
        self.left_out = 0  # how many packets were
        self.fed = False
        self._limit = limit
        self._cut = b""  # the beginning of a packet whose kind or length is still to come
        self._rest = 0  # how many bytes of the packet that has begun are still to come
        self._kept = True  # whether they go to `others`

    def feed(self, data: bytes) -> None:
        """Take in what came, wherever it was cut. Raises ValueError for a length that is none."""
        self.fed = True
        if self._cut:
            data, self._cut = self._cut + data, b""
        elif not self._rest and self._only_acknowledgements(data):
            return
        at = self._take_rest(data, 0)
        while at < len(data):
            if data.startswith(_PUBACK, at) and at + _PUBACK_BYTES <= len(data):
                self.acknowledged.append(int.from_bytes(data[at + 2 : at + _PUBACK_BYTES], "big"))
                at += _PUBACK_BYTES
                continue
            size = _packet_bytes(data[at : at + _LONGEST_HEADER])
            if size is None or data.startswith(_PUBACK, at):
                self._cut = data[at:]
                return
            self._rest, self._kept = size, size <= self._limit
            self.left_out += not self._kept
            at = self._take_rest(data, at)

    def take_acknowledged(self) -> list[int]:
        """Return the packet ids acknowledged since the last call."""
        taken, self.acknowledged = self.acknowledged, []
        return taken

    def take_others(self, most: int) -> bytes:
        """Return the next bytes, at most so many, of what are no acknowledgements."""
        taken = bytes(self.others[:most])
        del self.others[:most]
        return taken

    def _only_acknowledgements(self, data: bytes) -> bool:
        """Take in a run of whole PUBACK packets, which is what nearly always comes, at once."""
        if len(data) % _PUBACK_BYTES or data[::4].strip(_PUBACK[:1]) or data[1::4].strip(_PUBACK[1:]):
            return False
        self.acknowledged += struct.unpack(f">{len(data) // 2}H", data)[1::2]
        return True

    def _take_rest(self, data: bytes, at: int) -> int:
        """Deal with the packet that has begun, and return where the next one begins."""
        end = min(at + self._rest, len(data))
        if self._kept:
            self.others += data[at:end]
        self._rest -= end - at
        return end


def _packet_bytes(header: bytes) -> int | None:
    """Return how many bytes a packet takes, by its first five; None if that takes more of them."""
    length = 0
    for place, digit in enumerate(header[1:]):
        length |= (digit & 0x7F) << 7 * place
        if digit < 0x80:
            return 2 + place + length
    if len(header) == _LONGEST_HEADER:
        raise ValueError("a packet's length takes more than four bytes")
    return None
