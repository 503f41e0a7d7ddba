"""The whole path from sensor to broker in one process, for as long as asked; prints what memory it takes.

    python memory_load.py ROUNDS LEAKING     100 predictions and a heartbeat a round

Every hundredth round the sensor fails and the connection breaks. In the last LEAKING rounds four bytes a prediction
are kept, so that a test can show that it would see a leak. Sensor, broker, collector and clock are the test's,
everything else is the agent's.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fake_broker import FakeBroker, ManualClock
from onnx import TensorProto, helper, numpy_helper

from lineside_agent.clock import Signal
from lineside_agent.counters import Counters
from lineside_agent.deliver import Address, Deliver
from lineside_agent.encode import Encoder, Identity
from lineside_agent.heartbeat import Heartbeats
from lineside_agent.model import Model
from lineside_agent.mqtt_frames import Delivery
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.presence import Presence
from lineside_agent.reader import Reader
from lineside_agent.reconnect import Reconnect
from lineside_agent.sense import Sense
from lineside_agent.sensors import Block
from lineside_agent.settings import BrokerSettings, DeliverySettings, SensorSettings
from lineside_agent.windows import Windows
from lineside_contract.errors import SensorError
from lineside_contract.manifest import Channel, Manifest, Outputs
from lineside_contract.messages import Ack, CollectorStatus, encode

BLOCK = 100
_MISHAP_EVERY = 100  # rounds
_SAMPLE_EVERY = 100
_PAGE_BYTES = 4096
_CHANNELS = [Channel(name="a"), Channel(name="b")]
_OUTPUTS = Outputs(values="sum", targets=["sum"])
_MANIFEST = Manifest(
    name="adder",
    version="1.0.0",
    created="",
    task="regression",
    estimator="",
    input="input",
    channels=_CHANNELS,
    outputs=_OUTPUTS,
)


class ForgetfulBroker(FakeBroker):
    """Acknowledges, and keeps nothing of what was published but how much it was."""

    count = 0

    def publish(self, delivery: Delivery, payloads: Sequence[bytes]) -> list[int]:
        tokens = super().publish(delivery, payloads)
        self.count += len(payloads)
        self.published.clear()
        self.subscriptions.clear()
        self.wills.clear()
        self.attempts.clear()
        return tokens


class FailingSensor:
    """Gives blocks of noise, and fails when it is told to."""

    channels = ("a", "b")

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._time = 0
        self.fail_next = False

    def read(self) -> Block:
        if self.fail_next:
            self.fail_next = False
            raise SensorError("The line is dead.")
        self._time += BLOCK
        times = np.arange(self._time, self._time + BLOCK, dtype=np.int64) * 1_000_000
        return Block(times, self._random.random((BLOCK, 2), np.float32))

    def close(self) -> None:
        """Stay as it is: the test has only one."""


class Load:
    """An agent without threads."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.broker = ForgetfulBroker(self.clock)
        self.sensor = FailingSensor()
        self.outbox = Outbox(folder, Limits(), self.clock.monotonic)
        counters, identity = Counters("main"), Identity("dev", self.outbox.boot, "adder", "1.0.0")
        reader = Reader(
            SensorSettings(kind="replay"), _CHANNELS, "skip", counters.sensors["main"], self.clock, Signal()
        )
        reader._open = lambda: reader._arrange(self.sensor)  # type: ignore[method-assign]
        self.deliver = Deliver(
            Address("site", "dev"),
            self.broker,
            self.outbox,
            Presence("site", identity, "collector", None),
            Heartbeats(identity, counters, folder, 10, self.clock),
            (DeliverySettings(promise="collector"), Reconnect(BrokerSettings())),
            self.clock,
        )
        self.sense = Sense(
            ("main", reader),
            Windows(2, 4, 1),
            (Model(_adder(8), "input", _OUTPUTS), Encoder(identity, _MANIFEST, "single")),
            (self.outbox, self.deliver.offer),
            identity,
            counters,
            self.clock,
        )
        self.counters = counters
        self.deliver.deliver_once()
        status = CollectorStatus(ts=0, collector="c", run="r", state="online")
        self.broker.receive("lineside/v1/site/collectors/c/status", encode(status))

    def round(self, number: int) -> None:
        """Read, predict and deliver a block, have it committed, and beat."""
        if number % _MISHAP_EVERY == 0:
            self.sensor.fail_next = True
            self.broker.lose()
        first = self.outbox.next_seq
        self.sense.sense_once()
        for _ in range(3):
            self.deliver.deliver_once()
        committed = {self.outbox.boot: [(first, self.outbox.next_seq - 1)]}
        self.broker.receive("lineside/v1/site/dev/ack", encode(Ack(ts=0, collector="c", committed=committed)))
        self.deliver.deliver_once()
        self.clock.time += 10


def _adder(width: int) -> bytes:
    weights = numpy_helper.from_array(np.ones((width, 1), np.float32), "ones")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "ones"], ["sum"])],
        "adder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=9)
    return bytes(model.SerializeToString())


def run(folder: Path, rounds: int, leaking: int) -> None:
    load, leak, samples = Load(folder), [], []
    for number in range(rounds + leaking):
        load.round(number)
        if number >= rounds:
            leak.append(b"leak" * BLOCK)
        if (number + 1) % _SAMPLE_EVERY == 0:
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            samples.append((load.counters.predictions, sys.getallocatedblocks(), pages * _PAGE_BYTES))
    json.dump(
        {"samples": samples, "published": load.broker.count, "waiting": load.outbox.waiting()}, sys.stdout
    )


if __name__ == "__main__":
    memory = Path("/dev/shm")  # the disk is not what is measured
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        run(Path(name), int(sys.argv[1]), int(sys.argv[2]))
