"""Put programs through a scenario, all at the same time, and account for every reading."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from lineside_benchmarks.outage.account import Given, Outcome, account
from lineside_benchmarks.outage.device import Device, Wants
from lineside_benchmarks.outage.faults import ACTIONS, Site
from lineside_benchmarks.outage.feed import Feed
from lineside_benchmarks.outage.link import Link
from lineside_benchmarks.outage.scenario import Scenario, events
from lineside_benchmarks.outage.server import Server
from lineside_benchmarks.outage.systems import SYSTEMS

_START_S = 60.0
_LOOK_S = 0.5
# After the sensor's end: so long without anything new means that nothing more comes.
_QUIET_S = 10.0
# What has not arrived by then is lost. Lineside's agents end by themselves when everything is acknowledged.
_LONGEST_END_S = 60.0


class Result(Struct, frozen=True, kw_only=True):
    """A program's account in one scenario, with the most it took (MB of 1,000,000 bytes), or why there is none.

    restarts: how often it had ended by itself, and was started again.
    """

    outcome: Outcome | None = None
    memory_mb: float = 0.0
    disk_mb: float = 0.0
    restarts: int = 0
    missing: str = ""


def play(scenario: Scenario, names: Sequence[str], folder: Path, time_scale: float) -> dict[str, Result]:
    """Run one scenario with these systems. `folder` is new, and beside it is the counting model.

    Raises Failed if broker or collectors do not start.
    """
    found = {name: Result(missing=why) for name in names if (why := SYSTEMS[name].missing())}
    with _site(scenario, [name for name in names if name not in found], folder) as site:
        for device in list(site.devices):
            if why := _first_word(site, device):
                found[device.name] = Result(missing=why)
                site.devices.remove(device)
                device.close()
        mended_ms = _run(site, scenario, time_scale)
        for device in site.devices:
            # Numbers below 0 were only there to see that it runs.
            at_ms = {number: at for number, at in device.pipe.given.items() if number >= 0}
            arrivals = [each for each in site.server.arrivals(device.name) if each.number >= 0]
            found[device.name] = Result(
                outcome=account(Given(at_ms, device.pipe.refused), arrivals, device.killed_ms, mended_ms),
                memory_mb=device.peak.memory_mb,
                disk_mb=device.peak.disk_mb,
                restarts=device.restarts,
            )
    return {name: found[name] for name in names}


@contextlib.contextmanager
def _site(scenario: Scenario, names: Sequence[str], folder: Path) -> Iterator[Site]:
    kinds = {fault.kind for fault in scenario.faults}
    wants = Wants(disk=bool(kinds & {"power_cut", "disk_full"}), clock="clock_back" in kinds)
    with contextlib.ExitStack() as stack:
        server = Server(folder, scenario.broker)
        stack.callback(server.close)
        server.broker.start()
        server.start_collectors(wait=True)
        link = Link(server.broker.port)
        stack.callback(link.close)
        devices: list[Device] = []
        for number, name in enumerate(names):
            device = Device(name, folder / f"device-{number}", folder.parent, link, wants)
            stack.callback(device.close)
            devices.append(device)
        yield Site(devices, link, server)


def _first_word(site: Site, device: Device) -> str:
    """Start a device and give it readings, numbered below 0, until one arrives; return why none does, or nothing."""
    device.start()
    deadline = time.monotonic() + _START_S
    number = 0
    while not site.server.arrivals(device.name):
        if device.ended() or time.monotonic() > deadline:
            last = device.output().strip().splitlines()[-1:]
            return f"it did not start: {' '.join(last) or 'it said nothing'}"
        number -= 1
        device.pipe.give(number)
        time.sleep(0.05)
    device.disk.sync()
    return ""


def _run(site: Site, scenario: Scenario, time_scale: float) -> float:
    """Give readings while things fail, and wait for what still comes. Return when the last fault ended (Unix ms)."""
    stop = threading.Event()
    looking = threading.Thread(target=_look, args=(site, stop), daemon=True)
    looking.start()
    feed = Feed([device.pipe for device in site.devices], scenario.readings_per_s)
    start = time.monotonic()
    mended_ms = time.time_ns() / 1e6
    try:
        for event in events(scenario, time_scale):
            time.sleep(max(0.0, start + event.at_s - time.monotonic()))
            action = ACTIONS[event.fault.kind]
            (action.begin if event.begins else action.end)(site, event.fault)
            mended_ms = time.time_ns() / 1e6
        time.sleep(scenario.after_s)
    finally:
        feed.stop()
    for device in site.devices:
        device.finish()
    _wait_until_quiet(site)
    stop.set()
    looking.join()
    return mended_ms


def _look(site: Site, stop: threading.Event) -> None:
    while not stop.wait(_LOOK_S):
        for device in site.devices:
            device.look()


def _wait_until_quiet(site: Site) -> None:
    deadline = time.monotonic() + _LONGEST_END_S
    changed, before = time.monotonic(), [-1]
    while time.monotonic() < deadline:
        time.sleep(0.5)
        rows = [len(site.server.arrivals(device.name)) for device in site.devices]
        if rows != before:
            changed, before = time.monotonic(), rows
        unfinished = [
            device for device in site.devices if SYSTEMS[device.name].lineside and not device.ended()
        ]
        if not unfinished and all(_complete(site, device) for device in site.devices):
            return
        if not unfinished and time.monotonic() - changed > _QUIET_S:
            return
    print("  not everything had ended in time", file=sys.stderr)


def _complete(site: Site, device: Device) -> bool:
    there = {arrival.number for arrival in site.server.arrivals(device.name)}
    return device.pipe.given.keys() <= there
