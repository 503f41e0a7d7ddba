"""A device on a serial port, RS-232, RS-485 or USB, that writes a line for each reading."""

from __future__ import annotations

import csv
import errno
import io
import json
import termios
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.drivers import driver
from lineside_agent.sensors.line_feed import LineFeed, LineParser, await_first, lines_like
from lineside_agent.sensors.lines import Lines
from lineside_agent.sensors.patterns import RegexLines
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps
from lineside_contract.categories import Codes
from lineside_contract.errors import SensorError

if TYPE_CHECKING:
    from serial import Serial

_ENDS = {"lf": b"\n", "cr": b"\r"}


class Settings(Struct, frozen=True, kw_only=True):
    """Which port, and how the device writes.

    `format` "csv" is cells that `columns` names in their order; "json" an object a line; "regex" takes `pattern`,
    whose named groups are the columns. `send` is written to the device when the port is opened. The first `skip`
    lines are left out: what comes first may be the end of a line. Raises ValueError for what cannot go together.
    """

    port: str
    baud: Annotated[int, Meta(ge=50, le=10_000_000)] = 9600
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    flow: Literal["none", "rts_cts", "xon_xoff"] = "none"
    line_end: Literal["lf", "cr"] = "lf"
    format: Literal["csv", "json", "regex"] = "csv"
    pattern: str = ""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    timestamp: str = "timestamp"
    columns: list[str] = []
    send: str = ""
    skip: Annotated[int, Meta(ge=0, le=1000)] = 1

    def __post_init__(self) -> None:
        if self.format == "csv" and not self.columns:
            raise ValueError("csv needs columns, such as columns = ['temperature_c', 'humidity']")
        if self.pattern and self.format != "regex":
            raise ValueError('pattern needs format = "regex"')
        self.lines()

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels, if they are known before a line has come."""
        lines = self.lines()
        return () if lines is None else lines.channels

    def lines(self) -> Lines | None:
        """Return what reads the lines, or None if only the first one can tell. Raises ValueError."""
        if self.format == "regex":
            return RegexLines(self.pattern, self.timestamp, self.columns)
        if self.format == "csv":
            header = io.StringIO()
            csv.writer(header, delimiter=self.delimiter).writerow(self.columns)
            return lines_like("csv", header.getvalue().strip().encode(), self.timestamp, [])
        if self.columns:
            return lines_like("json", json.dumps(dict.fromkeys(self.columns, 0)).encode(), self.timestamp, [])
        return None


def open(settings: Settings, clock: Clock, stop: Signal) -> SerialLines:
    """Open the port. Raises InputError without pyserial, SensorError if the port cannot be opened now."""
    return SerialLines(settings, clock, stop)


class SerialLines:
    """A sensor that reads a serial port."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self._settings = settings
        self._stop = stop
        self._port = _open_port(settings)
        self._skip = settings.skip
        self._name = f"The device at {settings.port}"
        self._feed = LineFeed(self._port.fileno(), clock, stop, _ENDS[settings.line_end])
        try:
            if settings.send:
                self._port.write(settings.send.encode())
            self._parser = LineParser(self._name, settings.lines() or self._by_first_line(), Stamps(clock))
        except OSError as error:
            self._port.close()
            raise self._gone(error) from error
        except BaseException:
            self._port.close()
            raise

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._parser.lines.channels

    def read(self) -> Block:
        """Wait for a line and return the readings of all that are there.

        Raises BadReading for a line that is none, SensorError if the device has gone.
        """
        while True:
            try:
                self._wait()
            except OSError as error:
                raise self._gone(error) from error
            if self._feed.ended:
                raise self._gone(None)
            block = self._parser.block(self._feed.waiting)
            if len(block.timestamps) or self._stop.raised:
                return block

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels: what stands in other columns is not looked at."""
        self._parser.lines.choose(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._parser.lines.translate(columns)

    def close(self) -> None:
        """Close the port. May be called twice."""
        try:
            self._port.close()
        except OSError:
            pass  # it has gone already

    def _wait(self) -> None:
        self._feed.wait()
        while self._skip and self._feed.waiting:
            self._feed.waiting.popleft()
            self._skip -= 1

    def _by_first_line(self) -> Lines:
        while self._skip:
            before = self._skip
            self._wait()
            if self._skip == before:
                break
        first = await_first(self._feed, self._name)
        try:
            return lines_like("json", first, self._settings.timestamp, [])
        except ValueError as error:
            raise SensorError(
                f"{self._name} gave a line that cannot be used: {error}.",
                hint="Look at baud, parity and format: `lineside sensor test serial` shows what comes.",
            ) from error

    def _gone(self, error: OSError | None) -> SensorError:
        why = f": {error.strerror or error}" if error is not None else ""
        return SensorError(f"{self._name} is gone{why}.", hint="Look at its cable.")


def _open_port(settings: Settings) -> Serial:
    serial = driver("serial", "serial", "pyserial")
    try:
        port: Serial = serial.Serial(
            settings.port,
            settings.baud,
            bytesize=settings.bits,
            parity=settings.parity[0].upper(),
            stopbits=settings.stop_bits,
            rtscts=settings.flow == "rts_cts",
            xonxoff=settings.flow == "xon_xoff",
            exclusive=True,
            write_timeout=0.5,
        )
        return port
    except (OSError, ValueError, termios.error) as error:
        raise SensorError(
            f"The serial port {settings.port} cannot be opened: {_why(error)}.", hint=_help(error)
        ) from error


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    known = {
        errno.ENOENT: "there is no such port",
        errno.EACCES: "this user may not",
        errno.EAGAIN: "another program uses it",
        errno.EBUSY: "another program uses it",
    }
    return known.get(number or 0, str(error))


def _help(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EACCES:
        return "Add the agent's user to the group dialout: sudo usermod -aG dialout $USER, and log in again."
    ports = driver("serial.tools.list_ports", "serial", "pyserial").comports()
    there = ", ".join(sorted(port.device for port in ports))
    return f"Ports of this machine: {there or 'none'}. /dev/serial/by-id/... names a device, not a place."
