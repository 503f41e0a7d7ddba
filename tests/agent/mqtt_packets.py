"""MQTT 3.1.1 packets for tests, read by the letter of the standard, and a broker that does what a test says."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any, NamedTuple

WAIT_S = 10.0


class Packet(NamedTuple):
    """`first` is the byte with kind and flags, `body` all that comes after the length."""

    first: int
    body: bytes

    def encoded(self) -> bytes:
        """The packet as it goes over the wire."""
        digits, left = b"", len(self.body)
        while True:
            left, digit = divmod(left, 128)
            digits += bytes([digit | (128 if left else 0)])
            if not left:
                return bytes([self.first]) + digits + self.body

    def published(self) -> tuple[str, int, bool, int | None, bytes]:
        """Topic, quality of service, retained, packet id and payload of a PUBLISH packet."""
        assert self.first >> 4 == 3
        size = int.from_bytes(self.body[:2], "big")
        topic, rest = self.body[2 : 2 + size].decode(), self.body[2 + size :]
        qos = self.first >> 1 & 3
        packet_id = int.from_bytes(rest[:2], "big") if qos else None
        return topic, qos, bool(self.first & 1), packet_id, rest[2:] if qos else rest


def packets_of(stream: bytes) -> tuple[list[Packet], bytes]:
    """Take whole packets off a stream; return them and what is left."""
    found = []
    while True:
        length, place = 0, 1
        while place < len(stream) and stream[place] & 128:
            length += (stream[place] & 127) << 7 * (place - 1)
            place += 1
        if place >= len(stream):
            return found, stream
        length += stream[place] << 7 * (place - 1)
        end = place + 1 + length
        if end > len(stream):
            return found, stream
        found.append(Packet(stream[0], stream[place + 1 : end]))
        stream = stream[end:]


class ScriptedBroker:
    """Accepts connections by itself, and afterwards does nothing that the test does not make it do."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Small, so that little is enough to fill it.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.settimeout(WAIT_S)
        self.port: int = self._listener.getsockname()[1]
        self.connection: Any = None
        self._left = b""

    def accept(self) -> threading.Thread:
        """Take the next connection and its CONNECT, and say welcome, in a thread to be joined."""
        thread = threading.Thread(target=self._accept)
        thread.start()
        return thread

    def _accept(self) -> None:
        self.connection, _ = self._listener.accept()
        if self._tls is not None:
            self.connection = self._tls.wrap_socket(self.connection, server_side=True)
        self.connection.settimeout(WAIT_S)
        self._left = b""
        (connect,) = self.read(1)
        assert connect.first == 0x10
        self.send(Packet(0x20, b"\0\0"))

    def read(self, count: int) -> list[Packet]:
        """Wait until so many packets have come, and return all that have."""
        found: list[Packet] = []
        while len(found) < count:
            data = self.connection.recv(1 << 20)
            assert data, "the connection has ended"
            packets, self._left = packets_of(self._left + data)
            found += packets
        return found

    def send(self, *packets: Packet) -> None:
        """Send packets."""
        self.connection.sendall(b"".join(packet.encoded() for packet in packets))

    def acknowledge(self, *ids: int | None) -> None:
        """Send a PUBACK for each packet id."""
        self.send(*(Packet(0x40, (packet_id or 0).to_bytes(2, "big")) for packet_id in ids))

    def hang_up(self) -> None:
        """End the connection."""
        self.connection.close()

    def close(self) -> None:
        """End everything."""
        if self.connection is not None:
            self.connection.close()
        self._listener.close()
