"""Brokers, a network that fails on demand, and processes, for tests of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import brokers
import pytest
import trustme
from brokers import Broker, Certificates
from processes import Processes

from lineside_benchmarks.proxy import Proxy


@contextmanager
def _running(broker: Broker) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Broker]:
    """nats-server from broker-config/nats/plain.conf."""
    with _running(brokers.nats(_folder(tmp_path, "nats"))) as broker:
        yield broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """Mosquitto from broker-config/mosquitto/plain.conf."""
    with _running(brokers.mosquitto(_folder(tmp_path, "mosquitto"))) as broker:
        yield broker


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker, without password and encryption."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority, and what it certified for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    own = authority.issue_cert("localhost", "127.0.0.1")
    files = Certificates(folder / "ca.crt", folder / "broker.crt", folder / "broker.key")
    authority.cert_pem.write_to_path(files.ca)
    own.private_key_pem.write_to_path(files.key)
    for blob in own.cert_chain_pems:
        blob.write_to_path(files.certificate, append=True)
    return files


@pytest.fixture
def nats_tls(tmp_path: Path, certificates: Certificates) -> Iterator[Broker]:
    """nats-server from broker-config/nats/tls.conf, with the users of brokers.PASSWORDS."""
    with _running(brokers.nats_tls(_folder(tmp_path, "nats-tls"), certificates)) as broker:
        yield broker


@pytest.fixture
def mosquitto_tls(tmp_path: Path, certificates: Certificates) -> Iterator[Broker]:
    """Mosquitto from broker-config/mosquitto/tls.conf, with the users of brokers.PASSWORDS."""
    with _running(brokers.mosquitto_tls(_folder(tmp_path, "mosquitto-tls"), certificates)) as broker:
        yield broker


@pytest.fixture(params=["nats_tls", "mosquitto_tls"])
def tls_broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker, with TLS, users and permissions."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts processes that end with the test."""
    started = Processes()
    yield started
    started.close()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    """The network between the test and `broker`."""
    between = Proxy(broker.port)
    yield between
    between.close()
