"""What can fail, how it is done, and what that needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lineside_benchmarks.outage.device import Device, fake_time_library
from lineside_benchmarks.outage.disk import may_mount
from lineside_benchmarks.outage.link import Link, may_lose_packets
from lineside_benchmarks.outage.scenario import Fault, Kind
from lineside_benchmarks.outage.server import Server


class Site(NamedTuple):
    """Everything that may fail."""

    devices: list[Device]
    link: Link
    server: Server


class Action(NamedTuple):
    """How a fault begins and ends."""

    begin: Callable[[Site, Fault], None]
    end: Callable[[Site, Fault], None]


def _every(method: Callable[[Device], None]) -> Callable[[Site, Fault], None]:
    def act(site: Site, _fault: Fault) -> None:
        for device in site.devices:
            method(device)

    return act


def _set_clocks(site: Site, fault: Fault) -> None:
    for device in site.devices:
        device.set_clock(-fault.amount)


def _leave(_site: Site, _fault: Fault) -> None:
    """A clock that was set stays so."""


ACTIONS: dict[Kind, Action] = {
    "agent_killed": Action(_every(Device.kill), _every(Device.restart)),
    "broker_killed": Action(
        lambda site, _: site.server.broker.kill(), lambda site, _: site.server.broker.start()
    ),
    "broker_stopped": Action(
        lambda site, _: site.server.broker.stop(), lambda site, _: site.server.broker.start()
    ),
    "clock_back": Action(_set_clocks, _leave),
    "collector_stopped": Action(
        lambda site, _: site.server.stop_collectors(),
        lambda site, _: site.server.start_collectors(wait=False),
    ),
    "disk_full": Action(_every(lambda device: device.disk.fill()), _every(lambda device: device.disk.free())),
    "link_cut": Action(lambda site, _: site.link.cut(), lambda site, _: site.link.mend()),
    "link_delay": Action(lambda site, fault: site.link.delay(fault.amount), lambda site, _: site.link.mend()),
    "link_loss": Action(lambda site, fault: site.link.lose(fault.amount), lambda site, _: site.link.mend()),
    "power_cut": Action(_every(Device.cut_power), _every(Device.restart)),
}
_MOUNTS = "file systems of its own (root on Linux, with loop devices)"
_PACKETS = "a network namespace and nftables (root on Linux, with ip and nft)"
_NEEDS: dict[Kind, tuple[Callable[[], object], str]] = {
    "power_cut": (may_mount, _MOUNTS),
    "disk_full": (may_mount, _MOUNTS),
    "link_loss": (may_lose_packets, _PACKETS),
    "clock_back": (fake_time_library, "libfaketime (Debian: faketime)"),
}


def missing(kinds: set[Kind]) -> str:
    """Return what these faults need and is not here, or nothing."""
    return "; ".join(
        sorted(
            {f"it needs {what}" for kind, (there, what) in _NEEDS.items() if kind in kinds and not there()}
        )
    )
