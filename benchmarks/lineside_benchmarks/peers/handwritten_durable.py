"""What an expert writes by hand for the same promise: one loop, a log on disk, QoS 1, nothing that is not needed.

Lines in, predictions out. Each is appended to a log before it is published, the log is synced every 100 ms, and
how far the broker has acknowledged is noted every second: so a kill loses nothing and a power cut 100 ms. What it
lacks is everything that happens when something fails: it reads no log after a restart, does not reconnect, bounds
nothing, tells of nothing.

    python handwritten_durable.py MODEL PORT TOPIC FOLDER < readings.jsonl
"""

import itertools
import os
import select
import struct
import sys
import time
import zlib
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

IN_FLIGHT = 128
SYNC_S = 0.1
NOTE_S = 1.0
MOST_ROWS = 1000


def main(model: str, port: int, topic: str, folder: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.connect("127.0.0.1", port)
    Loop(session, client, topic, folder).run()
    client.disconnect()


class Loop:
    def __init__(self, session: Any, client: Any, topic: str, folder: str) -> None:
        self.session, self.client, self.topic = session, client, topic
        self.log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.cursor = os.open(f"{folder}/cursor", os.O_WRONLY | os.O_CREAT)
        self.encode = msgspec.json.Encoder().encode
        self.decode = msgspec.json.Decoder(dict[str, float]).decode
        self.seq = self.synced = self.taken = 0
        self.lines: list[bytes] = []
        self.rest, self.ended = b"", False
        self.sync_at = self.note_at = time.monotonic()
        client.on_publish = self.on_publish

    def on_publish(self, *_: object) -> None:
        self.taken += 1

    def run(self) -> None:
        while not (self.ended and not self.lines and self.taken == self.seq):
            self.wait(self.keep(time.monotonic()))
            room = min(MOST_ROWS, IN_FLIGHT - (self.seq - self.taken))
            if self.lines and room > 0:
                some, self.lines = self.lines[:room], self.lines[room:]
                self.predict(some)
        os.fdatasync(self.log)

    def keep(self, now: float) -> float:
        if now >= self.sync_at and self.synced < self.seq:
            os.fdatasync(self.log)
            self.sync_at, self.synced = now + SYNC_S, self.seq
        if now >= self.note_at:
            os.pwrite(self.cursor, struct.pack("<Q", self.taken), 0)
            self.note_at = now + NOTE_S
        self.client.loop_misc()
        if self.lines and self.seq - self.taken < IN_FLIGHT:
            return 0.0
        return max(0.0, min(self.sync_at if self.synced < self.seq else self.note_at, self.note_at) - now)

    def wait(self, seconds: float) -> None:
        sock = self.client.socket()
        readers = [sock] if self.ended or self.lines else [sock, sys.stdin]
        writers = [sock] if self.client.want_write() else []
        readable, _, _ = select.select(readers, writers, [], seconds)
        if sock in readable:
            self.client.loop_read()
        if self.client.want_write():
            self.client.loop_write()
        if sys.stdin in readable:
            data = os.read(0, 65536)
            self.ended = not data
            *self.lines, self.rest = (self.rest + data).split(b"\n")

    def predict(self, lines: list[bytes]) -> None:
        readings = np.array([list(self.decode(line).values()) for line in lines], np.float32)
        labels, probabilities = self.session.run(None, {"input": readings})
        stamp = time.time_ns() // 1_000_000
        bodies = [
            self.encode({"ts": stamp, "seq": seq, "label": label, "probabilities": row})
            for seq, label, row in zip(
                itertools.count(self.seq), labels.tolist(), probabilities.tolist(), strict=False
            )
        ]
        self.seq += len(bodies)
        os.write(
            self.log, b"".join(struct.pack("<II", len(body), zlib.crc32(body)) + body for body in bodies)
        )
        for body in bodies:
            self.client.publish(self.topic, body, qos=1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
