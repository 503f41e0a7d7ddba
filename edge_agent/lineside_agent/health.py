"""Whether an agent on this machine gets on: its sensing thread leaves a sign of life (`progress.py`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from lineside_agent.progress import SIGN, Alive

_OF_SYSTEM = "/run/lineside"


class Health(NamedTuple):
    """`detail` is a sentence; `age_s` how long ago the last sign of life was left, None if there is none."""

    healthy: bool
    detail: str
    age_s: float | None = None


def look(
    environment: Mapping[str, str], within_s: float, monotonic: Callable[[], float] = time.monotonic
) -> Health:
    """Tell whether the sensing thread got on within the last so many seconds. Raises nothing."""
    path = Path(_folder(environment)) / SIGN
    try:
        alive = msgspec.json.decode(path.read_bytes(), type=Alive)
    except PermissionError:
        return Health(False, f"{path} cannot be read by this user. Use sudo.")
    except OSError as error:
        return Health(
            False, f"No agent has left a sign of life: {path}: {error.strerror}. Does it run as a service?"
        )
    except msgspec.MsgspecError as error:
        return Health(False, f"{path} is no sign of life: {error}.")
    age_s = monotonic() - alive.monotonic_s
    if age_s < 0 or not Path(f"/proc/{alive.pid}").exists():
        return Health(False, f"The agent of {path} has ended without saying so.")
    said = f"Sensing last got on {age_s:.0f} s ago: {alive.status}."
    return Health(age_s <= within_s, said, round(age_s, 3))


def _folder(environment: Mapping[str, str]) -> str:
    own = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if own:
        return own
    of_user = environment.get("XDG_RUNTIME_DIR", "") + "/lineside"
    return of_user if os.geteuid() and Path(of_user, SIGN).exists() else _OF_SYSTEM
