"""How the device says that it is there: birth, clean stop and last will, each naming its boot and connection."""

from __future__ import annotations

from typing import Any

from lineside_agent.broker import Will
from lineside_agent.encode import Identity
from lineside_contract import __version__
from lineside_contract.messages import PreviousBoot, Promise, Status, encode
from lineside_contract.topics import Kind, device_topic


class Presence:
    """Counts connections and words the three states of a device."""

    def __init__(
        self, site: str, identity: Identity, promise: Promise, previous: PreviousBoot | None
    ) -> None:
        self.topic = device_topic(site, identity.device, Kind.STATUS)
        self.connection = 0
        self._identity = identity
        self._promise = promise
        self._previous = previous

    def next_will(self, ts: int) -> Will:
        """Begin the next connection and return what the broker is to say if it is lost."""
        self.connection += 1
        return Will(self.topic, encode(self._status(ts, "offline")))

    def birth(self, ts: int) -> bytes:
        """Return what the device says once it is connected."""
        details = {
            "agent_version": __version__,
            "model": self._identity.model,
            "model_version": self._identity.model_version,
            "promise": self._promise,
            "previous": self._previous,
        }
        return encode(self._status(ts, "online", **details))

    def farewell(self, ts: int, end: int) -> bytes:
        """Return what the device says when it is stopped; `end` is how many messages this boot numbered."""
        return encode(self._status(ts, "stopped", end=end))

    def _status(self, ts: int, state: Any, **details: Any) -> Status:
        return Status(
            ts=ts,
            device=self._identity.device,
            boot=self._identity.boot,
            connection=self.connection,
            state=state,
            **details,
        )
