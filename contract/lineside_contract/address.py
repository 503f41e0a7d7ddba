"""Where a broker is: `mqtt://host:port`, or `mqtts://` for TLS."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from lineside_contract.errors import InputError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerAddress(NamedTuple):
    """A broker's host and port, and whether the connection is encrypted."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Read `mqtt://host[:port]` or `mqtts://host[:port]`; the ports are 1883 and 8883 unless given.

        Raises InputError for anything else, also for a user or password in it: process lists show those.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InputError(f"{url!r} is not a broker's address: {error}.", hint=_EXAMPLE) from error
        if parts.username is not None:  # not repeated here: it may hold the password
            raise InputError("A broker's address holds no user and no password.", hint=_EXAMPLE)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise InputError(f"{url!r} is not a broker's address.", hint=_EXAMPLE)
        if parts.path.strip("/") or parts.query or parts.fragment or port == 0:
            raise InputError(f"A broker's address is only host and port, unlike {url!r}.", hint=_EXAMPLE)
        return cls(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


_EXAMPLE = "Write it like mqtt://localhost:1883, or mqtts://broker.example:8883 for TLS."
