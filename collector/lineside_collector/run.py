"""`lineside collector run`: put the parts together, and take them apart in order."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineside_collector.collect import Collector, collect
from lineside_collector.connection import Settings
from lineside_collector.credentials import Credentials, check_credentials, read_password
from lineside_collector.inbox import MqttInbox
from lineside_collector.progress import Progress
from lineside_collector.sqlite_store import SQLiteStore
from lineside_collector.stop import Stop, stop_on_signals
from lineside_collector.store import default_store
from lineside_collector.store_lock import locked
from lineside_contract.address import BrokerAddress
from lineside_contract.errors import InputError
from lineside_contract.topics import check_name

INTERRUPTED = 130


def run(options: argparse.Namespace) -> int:
    """Collect until a signal says stop. Raises LinesideError if a person has to do something first."""
    settings = _settings(options)
    path = _writable_store(options.store)
    with _log_to_stderr(), stop_on_signals() as stop:
        store = SQLiteStore(path, settings.site)
        try:
            # After the store is opened, which says more clearly what cannot be one, and leaves no lock beside it.
            with locked(path):
                _collect(settings, store, stop)
        finally:
            store.close()
        return INTERRUPTED if stop.interrupted else 0


def _collect(settings: Settings, store: SQLiteStore, stop: Stop) -> None:
    inbox = MqttInbox(settings, stop)
    progress = Progress(sys.stderr)
    try:
        collect(Collector(inbox, store, site=settings.site, collector=settings.collector), stop, progress.add)
    finally:
        inbox.close("stopped")
        progress.close()


def _settings(options: argparse.Namespace) -> Settings:
    address = BrokerAddress.parse(options.broker)
    # The variable may be there for another program: it counts only together with a user name.
    asked = options.username is not None or options.password_file is not None
    credentials = Credentials(
        username=options.username,
        password=read_password(options.password_file) if asked else None,
        ca_file=options.ca_file,
        certificate=options.certificate,
        key=options.key,
    )
    name = options.id or socket.gethostname().partition(".")[0]
    return Settings(
        address,
        check_credentials(address, credentials),
        check_name(options.site, "The site"),
        check_name(name, "The collector's id"),
    )


def _writable_store(path: Path | None) -> Path:
    if path is not None:
        return path
    path = default_store()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be made: {error.strerror}.", hint="Give a --store."
        ) from error
    return path


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    # On a terminal, progress may have left a half-written line.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("\r\x1b[K%(message)s" if sys.stderr.isatty() else "%(message)s"))
    logger = logging.getLogger("lineside_collector")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
