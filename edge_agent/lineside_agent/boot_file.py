"""The file that numbers the runs of the agent, so that no message id is ever given twice."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from lineside_agent.sealed import overwrite_sealed, read_sealed, write_sealed
from lineside_contract.errors import InputError
from lineside_contract.ids import Boot

log = logging.getLogger(__name__)


def begin_boot(path: Path) -> tuple[Boot | None, Boot]:
    """Read the boot before and write down the one that begins. Raises OSError."""
    content = read_sealed(path)
    previous = _parse(content, path) if content is not None else None
    # No file, or one that cannot be used: only a new lineage is sure to repeat no id.
    boot = previous.next() if previous is not None else Boot.first()
    try:
        write_sealed(path, str(boot).encode())
    except OSError as error:
        if previous is None or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A disk that is full, perhaps of what waits here, must not keep us from delivering it.
        overwrite_sealed(path, str(boot).encode())
    return previous, boot


def _parse(content: bytes, path: Path) -> Boot | None:
    try:
        return Boot.parse(content.decode())
    except (InputError, UnicodeDecodeError):
        log.warning("%s holds no boot id and is begun anew", path.name)
        return None
