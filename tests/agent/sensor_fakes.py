"""Sources for which only the hardware is not real: what stands in for the driver answers as it does."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import smbus2
from sensor_source import Source


class I2cBus(Source):
    """Only the bus is not real: what stands in for smbus2.SMBus answers as a TMP102 and an LIS3DH would."""

    kind = "i2c"
    channels = ("temperature_c", "x_g")
    wrong: ClassVar[dict[str, Any]] = {"address": 0x78}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        FakeBus.reset()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(smbus2, "SMBus", FakeBus)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "address": 0x48,
            "rate_hz": 200,
            "init": [{"register": 1, "bytes": [0x60, 0xA0], "wait_ms": 1}],
            "registers": {
                "temperature_c": {"register": 0, "shift": 4, "scale": 0.0625},
                "x_g": {"address": 0x18, "register": 0xA8, "endian": "little", "scale": 0.001},
            },
        }

    def start(self) -> None:
        FakeBus.devices = {0x48: {0: [0x19, 0x00]}, 0x18: {0xA8: [0x18, 0xFC]}}

    def kill(self) -> None:
        FakeBus.devices = {}

    def stop(self) -> None:
        self._patch.undo()


class FakeBus:
    """What the sensor uses of smbus2.SMBus. `devices`: address, then register, then the bytes from there."""

    devices: ClassVar[dict[int, dict[int, list[int]]]] = {}
    written: ClassVar[list[tuple[int, int, list[int]]]] = []
    reads: ClassVar[list[tuple[int, int, int]]] = []

    @classmethod
    def reset(cls) -> None:
        cls.devices, cls.written, cls.reads = {}, [], []

    def __init__(self, bus: int) -> None:
        if bus != 1:
            raise FileNotFoundError(2, "No such file or directory")

    def _device(self, address: int) -> dict[int, list[int]]:
        if address not in self.devices:
            raise OSError(121, "Remote I/O error")
        return self.devices[address]

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        self.reads.append((address, register, length))
        return self._device(address)[register][:length]

    def write_i2c_block_data(self, address: int, register: int, data: list[int]) -> None:
        self._device(address)
        self.written.append((address, register, data))

    def close(self) -> None:
        pass


class SoundCard(Source):
    """Only PortAudio is not real: what stands in for sounddevice calls back with blocks, as it does."""

    kind = "audio"
    channels = ("audio_1", "audio_2")
    wrong: ClassVar[dict[str, Any]] = {"inputs": 0}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._patch = pytest.MonkeyPatch()
        self.there = self.speaking = True
        self.streams: list[FakeStream] = []
        module = types.ModuleType("sounddevice")
        module.InputStream = lambda **options: FakeStream(self, **options)  # type: ignore[attr-defined]
        module.PortAudioError = FakePortAudioError  # type: ignore[attr-defined]
        self._patch.setitem(sys.modules, "sounddevice", module)

    @property
    def options(self) -> dict[str, Any]:
        return {"inputs": 2, "sample_rate_hz": 8000, "block_s": 0.01, "device": "USB"}

    def start(self) -> None:
        self.there = self.speaking = True

    def silence(self) -> None:
        self.speaking = False

    def kill(self) -> None:
        self.there = False

    def stop(self) -> None:
        self._patch.undo()


class FakePortAudioError(Exception):
    pass


class FakeStream:
    """What the sensor uses of sounddevice.InputStream: a thread that calls back until the card is gone."""

    def __init__(self, card: SoundCard, **options: Any) -> None:
        if not card.there:
            raise FakePortAudioError("Error querying device 'USB'")
        self._card = card
        self._options = options
        self._closing = threading.Event()
        self._memory = np.empty((options["blocksize"], options["channels"]), np.float32)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(0.005) and self._card.there:
            if self._card.speaking:
                self._memory[:] = 0.25
                self._options["callback"](self._memory, len(self._memory), None, None)
                self._memory[:] = np.nan  # PortAudio uses the memory again
        self._options["finished_callback"]()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
