"""Where a service's files lie: for the whole machine, or for one user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "lineside-agent"


class Places(NamedTuple):
    """`systemctl` is the command that the service answers to."""

    unit: Path
    config: Path
    secrets: Path
    systemctl: tuple[str, ...]
    user: bool

    @property
    def journal(self) -> str:
        """The command that shows what the agent says."""
        return f"journalctl {'--user ' if self.user else ''}-u {NAME} -f"


def system(root: Path = Path("/")) -> Places:
    """Return the places of a service of the machine."""
    folder = root / "etc/lineside"
    unit = root / f"etc/systemd/system/{NAME}.service"
    return Places(unit, folder / "agent.toml", folder / "agent.env", ("systemctl",), user=False)


def of_user(environment: Mapping[str, str] = os.environ) -> Places:
    """Return the places of a service of the user who asks."""
    base = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = base / "lineside"
    unit = base / f"systemd/user/{NAME}.service"
    return Places(unit, folder / "agent.toml", folder / "agent.env", ("systemctl", "--user"), user=True)
