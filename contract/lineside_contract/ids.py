"""Who said it and when in that one's life: the identity that makes a repeated message harmless."""

from __future__ import annotations

import re
import secrets

from msgspec import Struct

from lineside_contract.errors import InputError

# One way to write a number, so that equal boots have equal ids; and it fits in 64 bits.
_COUNTER = re.compile(r"(0|[1-9][0-9]{0,17})\Z")


class Boot(Struct, frozen=True, order=True):
    """One run of an agent, from start to stop.

    `lineage` is random and made together with the outbox, so that a wiped device never repeats an id;
    `counter` rises by one at every start within a lineage.
    """

    lineage: str
    counter: int

    def __str__(self) -> str:
        return f"{self.lineage}-{self.counter}"

    @classmethod
    def first(cls) -> Boot:
        """Begin a new lineage."""
        return cls(secrets.token_hex(4), 1)

    @classmethod
    def parse(cls, text: str) -> Boot:
        """Read `lineage-counter`. Raises InputError for anything else."""
        lineage, _, counter = text.rpartition("-")
        if not lineage or not _COUNTER.match(counter):
            raise InputError(f"{text[:100]!r} is not a boot id.")
        return cls(lineage, int(counter))

    def next(self) -> Boot:
        """Return the boot after this one."""
        return Boot(self.lineage, self.counter + 1)


class MessageId(Struct, frozen=True, order=True):
    """The identity of one prediction or event. `seq` counts from 0 without holes within a boot."""

    device: str
    boot: str
    seq: int
