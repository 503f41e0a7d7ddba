"""The network between devices and broker: a relay, and as root a network of its own that loses packets."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from lineside_benchmarks.programs import Failed
from lineside_benchmarks.proxy import Proxy

_NETWORK = "10.213.7"  # .1 is here, .2 is where the devices are
_RULES = """
table inet lineside {{
  chain out {{
    type filter hook output priority 0
    oifname != "lo" {which} drop
  }}
  chain in {{
    type filter hook input priority 0
    iifname != "lo" {which} drop
  }}
}}
"""


class Link:
    """Where devices find the broker, and what may happen on the way.

    As root on Linux the devices have a network namespace of their own (network_namespaces(7)), in which nftables
    drops packets: a cut link and a lossy one, seen by TCP as in the field. Otherwise there is only the relay, which
    can freeze and delay, not lose.
    """

    def __init__(self, broker_port: int) -> None:
        self.namespace = f"lineside-{os.getpid()}" if may_lose_packets() else ""
        self._near, self._far = f"lsn{os.getpid() % 100_000}", f"lsf{os.getpid() % 100_000}"
        if self.namespace:
            self._make_network()
        self._relay = Proxy(broker_port, f"{_NETWORK}.1" if self.namespace else "127.0.0.1")
        self.host, self.port = self._relay.host, self._relay.port

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs where the devices are."""
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}"] if self.namespace else []
        return [*enter, *command]

    def cut(self) -> None:
        """Let nothing through and tell nobody: no FIN, no RST."""
        if self.namespace:
            self._drop("")
        else:
            self._relay.blackhole()

    def lose(self, share: float) -> None:
        """Drop this share (0 to 1) of the packets, each way. Needs root."""
        self._drop(f"numgen random mod 1000 < {round(999 * share)}")

    def delay(self, seconds: float) -> None:
        """Let everything arrive so much later, each way."""
        self._relay.delay = seconds

    def mend(self) -> None:
        """Let everything through again."""
        self._relay.delay = 0.0
        if self.namespace:
            subprocess.run(
                self.inside(["nft", "delete", "table", "inet", "lineside"]), check=False, capture_output=True
            )
        else:
            self._relay.restore()

    def close(self) -> None:
        self._relay.close()
        if self.namespace:
            subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)
            subprocess.run(["ip", "link", "delete", self._near], check=False, capture_output=True)

    def _drop(self, which: str) -> None:
        _run(*self.inside(["nft", "-f", "-"]), text=_RULES.format(which=which))

    def _make_network(self) -> None:
        _run("ip", "netns", "add", self.namespace)
        _run(
            "ip",
            "link",
            "add",
            self._near,
            "type",
            "veth",
            "peer",
            "name",
            self._far,
            "netns",
            self.namespace,
        )
        _run("ip", "address", "add", f"{_NETWORK}.1/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{_NETWORK}.2/30", "dev", self._far],
            ["ip", "link", "set", self._far, "up"],
        ):
            _run(*self.inside(command))


def may_lose_packets() -> bool:
    """Tell whether this process may make networks of its own here."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "nft", "nsenter")):
        return False
    name = f"lineside-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return made.returncode == 0


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, check=False, capture_output=True, input=text, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")
