"""Real processes for tests: started, watched, killed, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lineside_cli.broker import die_with_parent

LINESIDE = (sys.executable, "-m", "lineside_cli.main")


class Process:
    """A program that runs beside the test, with everything that it prints (stdout and stderr) as lines.

    It is killed when the test process dies. The kernel ties that to the thread that started it: start
    processes from the test's own thread.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._popen = subprocess.Popen(
            self.command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (it only calls prctl)
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        with self._news:
            return "\n".join(self.lines)

    def wait_for(self, text: str, *, after: int = 0, timeout: float = 20.0) -> str:
        """Return the first line with `text` in it, from line number `after` on; fail if none comes in time."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for line in self.lines[after:]:
                    if text in line:
                        return line
                after = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._news.wait(left)
        what = "ended without" if self._ended else f"did not within {timeout} s print"
        raise AssertionError(f"{' '.join(self.command)} {what} {text!r}. It printed:\n{self.output}")

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for the end and return the exit code (-9 for SIGKILL)."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{' '.join(self.command)} runs on after {timeout} s. It printed:\n{self.output}"
            ) from None
        self._reader.join(timeout)
        return code

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 20.0) -> int:
        """Ask the process to end and return its exit code."""
        self.send(number)
        return self.wait(timeout)

    def kill(self) -> None:
        """End the process as a power cut would: SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait(10)
        self._reader.join(10)

    def close(self) -> None:
        """Leave nothing behind: neither the process, stopped or not, nor what it started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(10)
        self._reader.join(10)


class Processes:
    """Starts processes and, at the end of the test, kills those that still run."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def start(
        self, *command: str, folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        process = Process(command, folder=folder, env=env)
        self._started.append(process)
        return process

    def lineside(
        self, *arguments: str, folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start `lineside ARGUMENTS...` as a process of its own."""
        return self.start(*LINESIDE, *arguments, folder=folder, env=env)

    def close(self) -> None:
        for process in self._started:
            process.close()
