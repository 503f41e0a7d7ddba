"""Who said it and when in that one's life: the identity that makes a repeated message harmless."""

from __future__ import annotations

import secrets

from msgspec import Struct

from lineside_contract.errors import InputError


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
        if not lineage or not counter.isascii() or not counter.isdigit():
            raise InputError(f"{text!r} is not a boot id.")
        return cls(lineage, int(counter))

    def next(self) -> Boot:
        """Return the boot after this one."""
        return Boot(self.lineage, self.counter + 1)


class MessageId(Struct, frozen=True, order=True):
    """The identity of one prediction or event. `seq` counts from 0 without holes within a boot."""

    device: str
    boot: str
    seq: int
