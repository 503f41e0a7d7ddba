"""A program of yours whose lines are readings: started by the agent, and ended with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from lineside_agent.clock import Clock, Signal
from lineside_agent.sensors.line_feed import Format, LineFeed, LineParser, await_first, lines_like
from lineside_agent.sensors.lines import Lines
from lineside_agent.sensors.patterns import RegexLines
from lineside_agent.sensors.sensor import Block
from lineside_agent.sensors.stamps import Stamps
from lineside_agent.tables import Seconds
from lineside_contract.categories import Codes
from lineside_contract.errors import InputError, SensorError

_LAST_LINES = 3  # of what it wrote to standard error, in the message of its end
_LONGEST_WORDS = 500
_TO_END_S = 0.5  # after SIGTERM, before SIGKILL
# The kernel ends the program with the agent, however that dies (PR_SET_PDEATHSIG, prctl(2)). Asked for in the new
# process by a Python of its own: code between fork and exec may deadlock in a process that has threads.
_LAUNCH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Settings(Struct, frozen=True, kw_only=True):
    """Which program, and how its lines are written.

    `command` is the program and its arguments; no shell stands between. It runs in `folder`. With `every_s` it is run
    again and again, each time for the lines that it prints until it ends; otherwise it is to run on. `format` "regex"
    takes `pattern`, whose named groups are the columns. `timestamp` and `columns` are as for standard input.

    Raises ValueError for an empty command or a pattern that cannot be used.
    """

    command: tuple[str, ...]
    folder: Path = Path()
    every_s: Seconds | None = None
    format: Format = "auto"
    pattern: str = ""
    timestamp: str = "timestamp"
    columns: list[str] = []

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError("command names no program")
        if any("\0" in each for each in self.command):
            raise ValueError("command has a null character, which no program can be given")
        if self.format == "regex":
            RegexLines(self.pattern, self.timestamp, self.columns)
        elif self.pattern:
            raise ValueError('pattern needs format = "regex"')

    @property
    def known_channels(self) -> tuple[str, ...]:
        """The channels, if they are known before a line has come."""
        if self.format == "regex":
            return RegexLines(self.pattern, self.timestamp, self.columns).channels
        return tuple(self.columns)


def open(settings: Settings, clock: Clock, stop: Signal) -> Exec:
    """Start the program and wait for its first line, which names the channels.

    Raises InputError if there is no such program, SensorError if it ends or `stop` is raised before a line comes.
    """
    return Exec(settings, clock, stop)


class Exec:
    """A sensor that is a program."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._stamps = Stamps(clock)
        self._again_at = 0.0
        self._codes: Mapping[str, Codes] = {}
        self._program = self._start()
        try:
            self._parser = LineParser(self._name, self._lines(), self._stamps)
        except BaseException:
            self._program.end()
            raise
        self._chosen = self.channels

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the values' columns."""
        return self._parser.lines.channels

    def read(self) -> Block:
        """Wait for a line and return the readings of all that are there.

        Raises BadReading for a line that is none, SensorError with its last words if the program has ended.
        """
        while True:
            feed = self._program.feed
            feed.wait()
            if not feed.waiting and feed.ended:
                self._run_again()
            block = self._parser.block(self._program.feed.waiting)
            if len(block.timestamps) or self._stop.raised:
                return block

    def choose(self, channels: Sequence[str]) -> None:
        """Give only these channels: what stands in other columns is not looked at."""
        self._chosen = tuple(channels)
        self._parser.lines.choose(channels)

    def translate(self, columns: Mapping[str, Codes]) -> None:
        """Read these columns, if there are such, as text, and have them among the channels."""
        self._codes = columns
        self._parser.lines.translate(columns)

    def close(self) -> None:
        """End the program, and whatever it has started. May be called twice."""
        self._program.end()

    @property
    def _name(self) -> str:
        return f"The program {self._settings.command[0]!r}"

    def _start(self) -> _Program:
        self._again_at = self._clock.monotonic() + (self._settings.every_s or 0.0)
        return _Program(self._settings, self._clock, self._stop)

    def _run_again(self) -> None:
        """Start the program anew when its time has come. Raises SensorError if that was not its plan, or failed."""
        code = self._program.end()
        if self._settings.every_s is None or code:
            raise self._ended("")
        if self._clock.wait(self._again_at - self._clock.monotonic(), self._stop):
            return
        self._program = self._start()
        lines = self._lines()
        lines.translate(self._codes)
        lines.choose(self._chosen)
        self._parser.lines = lines

    def _ended(self, manner: str) -> SensorError:
        code, words = self._program.end(), self._program.last_words
        return SensorError(
            f"{self._name} {_how(code)}{manner}" + (f"; it wrote: {words}." if words else "."),
            hint="Run it by hand as the agent's user.",
        )

    def _lines(self) -> Lines:
        settings, feed = self._settings, self._program.feed
        if settings.format == "regex":
            return RegexLines(settings.pattern, settings.timestamp, settings.columns)
        feed.wait()
        if not feed.waiting and feed.ended:
            raise self._ended(" without a line")
        first = await_first(feed, self._name)
        try:
            lines = lines_like(settings.format, first, settings.timestamp, settings.columns)
        except ValueError as error:
            raise SensorError(
                f"The first line of the program {settings.command[0]!r} cannot be used: {error}.",
                hint='It must name the columns (CSV) or be an object (JSON); for other lines set format = "regex".',
            ) from error
        if lines.header:
            feed.waiting.popleft()
        return lines


class _Program:
    """A running program in a process group of its own, its lines, and its last words."""

    def __init__(self, settings: Settings, clock: Clock, stop: Signal) -> None:
        if not _runnable(settings.command[0], settings.folder):
            raise InputError(
                f"There is no program {settings.command[0]!r} that this user may run.",
                hint="Write its whole path, and make it executable (chmod +x).",
            )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *settings.command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=settings.folder,
                start_new_session=True,
            )
        except OSError as error:
            raise SensorError(
                f"{settings.command[0]!r} cannot be started in {settings.folder}: {error.strerror}.",
                hint="Look at the setting folder, and at the machine's memory.",
            ) from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.feed = LineFeed(self._process.stdout.fileno(), clock, stop)
        self._words: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(
            target=_listen, args=(self._process.stderr, self._words), name="exec-stderr", daemon=True
        )
        self._listener.start()

    @property
    def last_words(self) -> str:
        """What it wrote to standard error at last, on one line."""
        return " / ".join(self._words)[-_LONGEST_WORDS:].rstrip(".")

    def end(self) -> int:
        """End it if it runs, and what it has started; return its exit code, negative for a signal."""
        process = self._process
        if process.stdout is not None and not process.stdout.closed:
            if self.feed.ended:
                self._wait(_TO_END_S)
            for number in (signal.SIGTERM, signal.SIGKILL):
                self._signal(number)
                if self._wait(_TO_END_S):
                    break
            self._signal(signal.SIGKILL)  # what it has started and left behind
            self._listener.join(_TO_END_S)
            process.stdout.close()
        return process.returncode or 0

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left


def _runnable(program: str, folder: Path) -> bool:
    if os.sep not in program:
        return shutil.which(program) is not None
    return (folder / program).is_file() and os.access(folder / program, os.X_OK)


def _listen(stream: IO[bytes], words: deque[str]) -> None:
    """Keep a stream's last lines until it ends, so that a program which writes many never waits for us."""
    with stream:
        while line := stream.readline(_LONGEST_WORDS):
            if text := line.decode(errors="replace").strip():
                words.append(text)


def _how(code: int) -> str:
    if code >= 0:
        return f"has ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
