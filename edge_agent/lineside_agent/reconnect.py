"""When the next connection is tried, and what is said about the last one."""

from __future__ import annotations

import logging
import random

from lineside_agent.settings import BrokerSettings
from lineside_contract.errors import BrokerRefused, LinesideError

log = logging.getLogger(__name__)

# A connection that lasted this long was a good one: the next failure begins with the shortest pause again.
_GOOD_CONNECTION_S = 10.0
_LONGEST = 30  # doublings: beyond any setting


class Reconnect:
    """Pauses that double up to the longest, with jitter; connections that never last count as failures.

    Jitter spreads a fleet that was cut off at the same moment (AWS Architecture Blog, 2015, "Exponential Backoff
    And Jitter").
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._short_lived = 0
        self._connected_at = 0.0
        self._said = ""
        self.due_at = 0.0

    def succeeded(self, now: float) -> None:
        """Note a connection."""
        log.info("connected to %s", self._settings.url)
        self._connected_at = now
        self._said = ""

    def failed(self, now: float, error: LinesideError) -> None:
        """Note that there was no connection, and say why, once."""
        if str(error) != self._said:
            log.error("%s Readings are kept in the outbox meanwhile.", error)
        self._said = str(error)
        # A refusal will not change by itself: ask again at the longest interval.
        self._pause(now, _LONGEST if isinstance(error, BrokerRefused) else self._failures)

    def lost(self, now: float, reason: str) -> None:
        """Note that the connection is gone."""
        if now - self._connected_at >= _GOOD_CONNECTION_S:
            self._failures = self._short_lived = 0
        else:
            self._short_lived += 1
        if self._short_lived >= 3:
            reason += ". It never lasts: does another agent use this device's name?"
        log.warning("the connection is lost: %s", reason)
        self._pause(now, self._failures)

    def _pause(self, now: float, failures: int) -> None:
        settings = self._settings
        longest = min(settings.reconnect_max_s, settings.reconnect_min_s * 2 ** min(failures, _LONGEST))
        self._failures += 1
        self.due_at = now + longest * random.uniform(0.5, 1.0)
