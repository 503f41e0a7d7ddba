"""The file that numbers the runs of the agent, so that no message id is ever given twice."""

from __future__ import annotations

import errno
from pathlib import Path

from lineside_agent.sealed import overwrite_sealed, read_sealed, write_sealed
from lineside_contract.ids import Boot


def begin_boot(path: Path) -> tuple[Boot | None, Boot]:
    """Read the boot before and write down the one that begins. Raises OSError."""
    content = read_sealed(path)
    previous = Boot.parse(content.decode()) if content is not None else None
    # No file, or a damaged one: only a new lineage is sure to repeat no id.
    boot = previous.next() if previous is not None else Boot.first()
    try:
        write_sealed(path, str(boot).encode())
    except OSError as error:
        if previous is None or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A disk that is full, perhaps of what waits here, must not keep us from delivering it.
        overwrite_sealed(path, str(boot).encode())
    return previous, boot
