"""Registers of devices on an I2C bus, read at a fixed rate as a map in agent.toml says."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.binary import NUMBERS, Order
from lineside_agent.sensors.drivers import driver
from lineside_agent.sensors.polled import Polled, Rate
from lineside_contract.errors import SensorError

# 7-bit addresses without the reserved ones (I2C-bus specification UM10204, table 4).
Address: TypeAlias = Annotated[int, Meta(ge=0x08, le=0x77)]
Byte: TypeAlias = Annotated[int, Meta(ge=0, le=255)]

_MOST_BYTES = 32  # of one SMBus block


class Register(Struct, frozen=True, kw_only=True):
    """A channel: the value is (number >> shift) * scale + offset; `address` is another device on the bus."""

    register: Byte
    type: Literal["int8", "uint8", "int16", "uint16", "int24", "uint24", "int32", "uint32", "float32"] = (
        "int16"
    )
    endian: Order = "big"
    shift: Annotated[int, Meta(ge=0, le=31)] = 0
    scale: float = 1.0
    offset: float = 0.0
    address: Address | None = None

    def __post_init__(self) -> None:
        if self.shift and self.type == "float32":
            raise ValueError("a float32 cannot be shifted")

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return NUMBERS[self.type].size

    def value(self, data: Sequence[int]) -> float:
        """Return the channel's value from its bytes, in the order in which the device sends them."""
        number = NUMBERS[self.type].read(bytes(data if self.endian == "big" else reversed(data)))
        shifted = int(number) >> self.shift if self.shift else number
        return shifted * self.scale + self.offset


class Write(Struct, frozen=True, kw_only=True):
    """Bytes that wake a device up: written to `register` once, when the bus is opened; then `wait_ms` pass."""

    register: Byte
    bytes: list[Byte]
    wait_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    address: Address | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.bytes) <= _MOST_BYTES:
            raise ValueError(f"bytes holds 1 to {_MOST_BYTES} of them")


class Settings(Struct, frozen=True, kw_only=True):
    """Which bus (1: /dev/i2c-1), which device on it, what to write first, and which registers are channels.

    `burst` reads registers that follow each other in one go, and so of one moment: for devices that count up by
    themselves. Raises ValueError if there is no register.
    """

    address: Address
    registers: dict[str, Register]
    bus: Annotated[int, Meta(ge=0, le=255)] = 1
    init: tuple[Write, ...] = ()
    burst: bool = False
    rate_hz: Rate = 1.0

    def __post_init__(self) -> None:
        if not self.registers:
            raise ValueError("registers names no channel")

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(self.registers)


def open(settings: Settings, clock: Clock, stop: Signal) -> Polled:
    """Open the bus and wake the devices. Raises InputError without smbus2, SensorError if one does not answer."""
    device = Device(settings, clock, stop)
    return Polled(device, settings.rate_hz, clock, stop)


class _Span(NamedTuple):
    """Bytes that are read at once."""

    address: int
    register: int
    size: int
    channels: list[tuple[str, Register]]


class Device:
    """A probe that reads I2C registers."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self.channels = tuple(settings.registers)
        self._spans = _spans(settings)
        self._name = f"/dev/i2c-{settings.bus}"
        self._bus = self._open(settings.bus)
        try:
            for write in settings.init:
                self._write(write, write.address or settings.address)
                clock.wait(write.wait_ms / 1000, stop)
        except BaseException:
            self._bus.close()
            raise

    def measure(self) -> list[float]:
        """Return a value a channel. Raises SensorError if a device does not answer."""
        found: dict[str, float] = {}
        for span in self._spans:
            try:
                data = self._bus.read_i2c_block_data(span.address, span.register, span.size)
            except OSError as error:
                raise self._silent(span.address, error) from error
            for channel, register in span.channels:
                start = register.register - span.register
                found[channel] = register.value(data[start : start + register.size])
        return [found[channel] for channel in self.channels]

    def close(self) -> None:
        """Close the bus. May be called twice."""
        self._bus.close()

    def _open(self, number: int) -> Any:
        smbus2 = driver("smbus2", "i2c", "smbus2")
        try:
            return smbus2.SMBus(number)
        except OSError as error:
            raise SensorError(
                f"The I2C bus {self._name} cannot be opened: {error.strerror or error}.", hint=_help(error)
            ) from error

    def _write(self, write: Write, address: int) -> None:
        try:
            self._bus.write_i2c_block_data(address, write.register, write.bytes)
        except OSError as error:
            raise self._silent(address, error) from error

    def _silent(self, address: int, error: OSError) -> SensorError:
        return SensorError(
            f"The device 0x{address:02x} on {self._name} does not answer ({error.strerror or error}).",
            hint="Look at its wires and power; `i2cdetect -y BUS` shows which addresses answer.",
        )


def _spans(settings: Settings) -> list[_Span]:
    spans: list[_Span] = []
    for channel, register in _in_order(settings.registers, settings.address):
        address = register.address or settings.address
        last = spans[-1] if spans else None
        grown = 0 if last is None else register.register + register.size - last.register
        touches = last is not None and (last.address, last.register + last.size) == (
            address,
            register.register,
        )
        if settings.burst and touches and last is not None and grown <= _MOST_BYTES:
            spans[-1] = last._replace(size=grown, channels=[*last.channels, (channel, register)])
        else:
            spans.append(_Span(address, register.register, register.size, [(channel, register)]))
    return spans


def _in_order(registers: Mapping[str, Register], address: int) -> list[tuple[str, Register]]:
    return sorted(registers.items(), key=lambda item: (item[1].address or address, item[1].register))


def _help(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "Add the agent's user to the group i2c: sudo usermod -aG i2c $USER, and log in again."
    there = ", ".join(sorted(path.name.removeprefix("i2c-") for path in Path("/dev").glob("i2c-*")))
    return f"Buses of this machine: {there or 'none'}. On a Raspberry Pi: sudo raspi-config nonint do_i2c 0"
