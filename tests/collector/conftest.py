"""A store to fill, a real broker, devices and collectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector_messages import SITE
from collector_processes import Broker, Peer, Running

from lineside_collector.sqlite_store import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "collector.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, SITE, lock_wait_s=0.05)
    yield store
    store.close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("mosquitto is not installed")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()


@pytest.fixture
def peer(broker: Broker) -> Iterator[Callable[[str], Peer]]:
    made: list[Peer] = []

    def make(topic: str, port: int = broker.port) -> Peer:
        made.append(Peer(port, topic))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(*arguments: str, **environment: str) -> Running:
        made.append(Running(*arguments, **environment))
        return made[-1]

    yield make
    for one in made:
        one.end()
