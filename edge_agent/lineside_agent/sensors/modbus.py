"""Registers of a Modbus device, over TCP or a serial line, asked for at a fixed rate.

MODBUS Application Protocol Specification V1.1b3, and MODBUS over Serial Line V1.02.
"""

from __future__ import annotations

import logging
import termios
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.binary import NUMBERS, Order
from lineside_agent.sensors.drivers import driver
from lineside_agent.sensors.polled import Polled, Rate
from lineside_contract.errors import SensorError

Table: TypeAlias = Literal["holding", "input", "coil", "discrete"]
Unit: TypeAlias = Annotated[int, Meta(ge=0, le=255)]

# What reads each table, the most that one request may ask for, and the code of the function.
_FUNCTIONS = {
    "holding": ("read_holding_registers", 125, 3),
    "input": ("read_input_registers", 125, 4),
    "coil": ("read_coils", 2000, 1),
    "discrete": ("read_discrete_inputs", 2000, 2),
}
_BITS = ("coil", "discrete")
_SCHEMES = {"tcp": 502, "rtu+tcp": 502, "rtu": 0}
_ADDRESS = "write url as tcp://host:502, rtu:///dev/ttyUSB0, or rtu+tcp://host:502 for a serial gateway"
# Where to look when a device is silent: TCP has no line to be set wrongly.
_SILENT = {
    "tcp": "Is a Modbus device at this host and port, and is unit right? Some gateways need rtu+tcp://.",
    "rtu+tcp": "Look at unit, and behind the gateway at cable, power, baud and parity.",
    "rtu": "Look at its cable and power, at unit, and at baud and parity.",
}
# What the exception codes of V1.1b3, section 7, mean to a person.
_EXCEPTIONS = {
    1: "it does not know this table",
    2: "it has no such address",
    3: "it takes no such request",
    4: "it has failed",
    5: "it needs longer",
    6: "it is busy",
    10: "the gateway has no way to it",
    11: "it does not answer the gateway",
}


class Register(Struct, frozen=True, kw_only=True):
    """A channel: `address` counts from 0, the value is number * scale + offset.

    `word_order` is that of the 16-bit registers of a longer number, `byte_order` that within each; the standard says
    big for both. `unit` is another device on the same line. Raises ValueError for what cannot be.
    """

    address: Annotated[int, Meta(ge=0, le=65535)]
    type: Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bool"] = (
        "uint16"
    )
    table: Table = "holding"
    word_order: Order = "big"
    byte_order: Order = "big"
    scale: float = 1.0
    offset: float = 0.0
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if (self.table in _BITS) != (self.type == "bool"):
            raise ValueError('type = "bool" goes with table = "coil" or "discrete", and only that')
        if self.address + self.count > 65536:
            raise ValueError("it ends after the last address, 65535")

    @property
    def count(self) -> int:
        """How many registers, or bits, it takes."""
        return 1 if self.type == "bool" else NUMBERS[self.type].size // 2

    def value(self, words: Sequence[int]) -> float:
        """Return the channel's value from its registers."""
        if self.type == "bool":
            return float(words[0]) * self.scale + self.offset
        ordered = words if self.word_order == "big" else list(reversed(words))
        data = b"".join(word.to_bytes(2, self.byte_order) for word in ordered)
        return NUMBERS[self.type].read(data) * self.scale + self.offset


class Settings(Struct, frozen=True, kw_only=True):
    """Where the device is, and which of its registers are channels.

    `url` is tcp://host:port, rtu:///dev/ttyUSB0, or rtu+tcp://host:port for a gateway that passes serial frames on.
    `baud`, `parity` and `stop_bits` are those of the serial line. A request waits `timeout_s` for its answer and is
    made `retries` times more. Raises ValueError for a URL that is none, or no register.
    """

    url: str
    registers: dict[str, Register]
    unit: Unit = 1
    rate_hz: Rate = 1.0
    baud: Annotated[int, Meta(ge=50, le=10_000_000)] = 19200
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 0.4
    retries: Annotated[int, Meta(ge=0, le=10)] = 1

    def __post_init__(self) -> None:
        if not self.registers:
            raise ValueError("registers names no channel")
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{self.url!r} has no valid port; {_ADDRESS}") from error
        where = parts.path if parts.scheme == "rtu" else parts.hostname
        if parts.scheme not in _SCHEMES or not where or port == 0:
            raise ValueError(f"{self.url!r} is no Modbus address; {_ADDRESS}")

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels."""
        return tuple(self.registers)


def open(settings: Settings, clock: Clock, stop: Signal) -> Polled:
    """Connect. Raises InputError without pymodbus, SensorError if the device cannot be reached now."""
    return Polled(Device(settings), settings.rate_hz, clock, stop)


class _Request(NamedTuple):
    """Registers that follow each other without a hole, read at once."""

    unit: int
    table: Table
    first: int
    channels: list[tuple[str, Register]]

    @property
    def end(self) -> int:
        return max(register.address + register.count for _, register in self.channels)


class Device:
    """A probe that reads Modbus registers, neighbours in one request and so of one moment."""

    def __init__(self, settings: Settings) -> None:
        self.channels = tuple(settings.registers)
        self._url = settings.url
        self._requests = list(requests(settings.registers, settings.unit))
        self._client = _client(settings)
        try:
            connected = self._client.connect()
        except (OSError, ValueError, termios.error):  # of a serial port that cannot be set so
            connected = False
        if not connected:
            raise SensorError(f"The Modbus device {self._url} cannot be reached.", hint=_help(settings))

    def measure(self) -> list[float]:
        """Return a value a channel. Raises SensorError if the device does not answer, or refuses."""
        found = dict(pair for request in self._requests for pair in self._ask(request))
        return [found[channel] for channel in self.channels]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(self, request: _Request) -> Iterator[tuple[str, float]]:
        exceptions = driver("pymodbus.exceptions", "modbus", "pymodbus")
        read = getattr(self._client, _FUNCTIONS[request.table][0])
        what = f"unit {request.unit} of {self._url}"
        try:
            answer = read(request.first, count=request.end - request.first, device_id=request.unit)
        except (exceptions.ModbusException, OSError) as error:
            raise SensorError(
                f"The Modbus {what} does not answer.",
                hint=_SILENT[urlsplit(self._url).scheme],
            ) from error
        if answer.isError():
            why = _EXCEPTIONS.get(getattr(answer, "exception_code", 0), "it refuses")
            raise SensorError(
                f"The Modbus {what} does not give {request.table} {request.first} to {request.end - 1}: {why}.",
                hint="Look at address (from 0: what manuals call 40001 is 0 of the holding table), type and table.",
            )
        words = _words(answer, request)
        if words is None:
            raise SensorError(
                f"The Modbus {what} answers something else than was asked.",
                hint="A late answer is taken for that to the next request: raise timeout_s; or look at unit and url.",
            )
        for channel, register in request.channels:
            start = register.address - request.first
            yield channel, register.value(words[start : start + register.count])


def _words(answer: Any, request: _Request) -> Sequence[int] | None:
    """Return the registers, or bits, of an answer; None if it is not that to the request."""
    bits = request.table in _BITS
    words: Sequence[int] = answer.bits if bits else answer.registers
    count = request.end - request.first
    whole = len(words) >= count if bits else len(words) == count  # bits may be filled up to whole bytes
    return words if whole and answer.function_code == _FUNCTIONS[request.table][2] else None


def requests(registers: Mapping[str, Register], unit: int) -> Iterator[_Request]:
    """Yield what to ask for. Only what touches is read together: many devices refuse a range with a hole."""

    def place(item: tuple[str, Register]) -> tuple[int, Table, int]:
        register = item[1]
        return (unit if register.unit is None else register.unit, register.table, register.address)

    current: _Request | None = None
    for item in sorted(registers.items(), key=place):
        on, table, address = place(item)
        if (
            current is not None
            and (current.unit, current.table) == (on, table)
            and address <= current.end
            and address + item[1].count - current.first <= _FUNCTIONS[table][1]
        ):
            current.channels.append(item)
            continue
        if current is not None:
            yield current
        current = _Request(on, table, address, [item])
    if current is not None:
        yield current


def _client(settings: Settings) -> Any:
    pymodbus = driver("pymodbus", "modbus", "pymodbus")
    client = driver("pymodbus.client", "modbus", "pymodbus")
    # It would log each failure with a trace; ours are told once, as events.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    parts = urlsplit(settings.url)
    waiting = {"timeout": settings.timeout_s, "retries": settings.retries}
    if parts.scheme == "rtu":
        driver("serial", "modbus", "pyserial")
        return client.ModbusSerialClient(
            parts.path,
            baudrate=settings.baud,
            parity=settings.parity[0].upper(),
            stopbits=settings.stop_bits,
            **waiting,
        )
    framer = pymodbus.FramerType.RTU if parts.scheme == "rtu+tcp" else pymodbus.FramerType.SOCKET
    port = parts.port or _SCHEMES[parts.scheme]
    return client.ModbusTcpClient(parts.hostname, port=port, framer=framer, **waiting)


def _help(settings: Settings) -> str:
    if settings.url.startswith("rtu:"):
        return "Is the port there, and may the agent's user use it (group dialout)?"
    return "Is it switched on, is url right, and does a firewall let the port through?"
