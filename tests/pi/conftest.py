"""A Raspberry Pi's system, emulated, with Lineside installed in it as a person would."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "system"))

import brokers
from brokers import Broker
from pi_bundles import make_bundles
from pi_userland import CACHE, VENV, Userland, check_machine
from pi_wheels import wheels
from processes import Processes

_LONGEST_S = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.pi)
        item.add_marker(pytest.mark.timeout(_LONGEST_S))


@pytest.fixture(scope="session")
def userland() -> Iterator[Userland]:
    """The userland of a Raspberry Pi with the agent in a virtual environment under /home, where pipx puts it."""
    check_machine()
    folder = CACHE / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        made = Userland.open(folder)
        made.run("python3", "-m", "venv", VENV)
        install = ("pip", "install", "--quiet", "--no-index", "--find-links=/wheels", "lineside[agent]")
        made.run(f"{VENV}/bin/python", "-m", *install, binds={wheels(): "/wheels"})
        yield made
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for every way in which the exporter writes a model, made on this machine."""
    return make_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """nats-server, on this machine."""
    folder = tmp_path / "broker"
    folder.mkdir()
    made = brokers.nats(folder)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Starts processes that end with the test."""
    started = Processes()
    yield started
    started.close()
