"""Packages that only one kind of sensor needs: imported when it is used."""

from __future__ import annotations

import importlib
from typing import Any

from lineside_contract.errors import InputError


def driver(module: str, extra: str, package: str) -> Any:
    """Import a module. Raises InputError saying what to install if it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise InputError(
            f"This kind of sensor needs the package {package}, which is not installed.",
            hint=f"Run: pip install 'lineside[{extra}]'",
        ) from error
