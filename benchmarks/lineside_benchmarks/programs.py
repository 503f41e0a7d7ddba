"""Real programs, each on a core of its own, with what they cost: time, CPU, memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from lineside_contract.errors import LinesideError

LINESIDE = [str(Path(sys.executable).parent / "lineside")]
PEERS = Path(__file__).parent / "peers"
HANDWRITTEN = [sys.executable, str(PEERS / "handwritten.py")]
HANDWRITTEN_COLLECTOR = [sys.executable, str(PEERS / "handwritten_collector.py")]

# The measured program has the last core, everything else the first: with one core they share it.
CORES = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = CORES[-1], CORES[0]


class Failed(LinesideError):
    """A program did not do what the benchmark needs: its numbers would mean nothing."""


class Cost(Struct, frozen=True):
    """What a program took from its start to its end, in seconds."""

    wall_s: float
    cpu_s: float


def use_bytecode_cache(folder: Path) -> None:
    """Let every program started from now on keep and find compiled modules, as an installed one does."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


class Program:
    """A running program. What it prints goes into a file, so that nothing has to read it meanwhile."""

    def __init__(
        self,
        command: Sequence[str],
        core: int,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = list(command)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        before = os.sched_getaffinity(0)
        # A child inherits the affinity of the thread that starts it: no wrapper to pay for.
        os.sched_setaffinity(0, {core})
        try:
            self.started_ns = time.monotonic_ns()
            self._popen = subprocess.Popen(
                self.command,
                stdin=stdin,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=folder,
                process_group=0,  # what it starts can be ended with it
            )
        finally:
            os.sched_setaffinity(0, before)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def write(self, data: bytes) -> None:
        """Write to the program's standard input, which must be a pipe."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(data)
        self._popen.stdin.flush()

    def output(self) -> str:
        return os.pread(self._output.fileno(), 1_000_000, 0).decode(errors="replace")

    def wait_for(self, text: str, timeout_s: float = 20.0) -> None:
        """Wait until it has printed `text`. Raises Failed."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            if (not self.running and text not in self.output()) or time.monotonic() > deadline:
                raise Failed(f"{' '.join(self.command)} did not print {text!r}:\n{self.output()}")
            time.sleep(0.002)

    def end(self, timeout_s: float = 120.0) -> Cost:
        """Wait until it ends by itself, and return what it took. Raises Failed if it does not end well."""
        deadline = time.monotonic() + timeout_s
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            ended_ns = time.monotonic_ns()
            if pid:
                break
            if time.monotonic() > deadline:
                raise Failed(f"{' '.join(self.command)} does not end:\n{self.output()}")
            time.sleep(0.002)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        if self._popen.returncode:
            raise Failed(f"{' '.join(self.command)} failed:\n{self.output()}")
        return Cost((ended_ns - self.started_ns) / 1e9, usage.ru_utime + usage.ru_stime)

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Return its resident memory in MB of 1,000,000 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it, and what it has started, as a crash does."""
        self.send(signal.SIGKILL)
        self._popen.wait()

    def stop(self) -> None:
        """End it, kindly if it listens."""
        if self.running:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
        self._output.close()


@contextlib.contextmanager
def running(
    command: Sequence[str], core: int, stdin: int | IO[bytes] = subprocess.DEVNULL
) -> Iterator[Program]:
    """Run a program and end it, whatever happens."""
    program = Program(command, core, stdin)
    try:
        yield program
    finally:
        program.stop()
