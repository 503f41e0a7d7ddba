"""Words to the service manager: systemd's sd_notify protocol, datagrams to a socket that it names.

Protocol: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html. Without a service manager, nothing
is sent and nothing is different.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_US = 1_000_000


class Notify:
    """Sends words such as READY=1. A manager that does not listen is never waited for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # Linux's abstract addresses, which are no files
            self._address = "\0" + self._address[1:]
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def send(self, *words: str) -> None:
        """Send `NAME=VALUE` words in one message."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(words).encode(), self._address)
        except OSError:  # its queue is full, or it is gone: the next word comes soon
            pass

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()


def watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return how long the manager waits for WATCHDOG=1 before it kills this process, or None if it does not."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or pid not in ("", str(os.getpid())):
        return None
    return int(text) / _US or None
