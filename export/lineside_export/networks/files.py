"""Which files hold networks, and what reads them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lineside_contract.errors import InputError
from lineside_export.networks.meaning import Meaning

if TYPE_CHECKING:
    from lineside_export.networks.network import Network

# A new kind of file is one module here, and one line.
READERS = {
    ".onnx": "lineside_export.networks.onnx_file",
    ".pt2": "lineside_export.networks.torch_file",
    ".pt": "lineside_export.networks.torch_file",
    ".pth": "lineside_export.networks.torch_file",
}


class Reader(Protocol):
    """A module that reads networks."""

    def open_network(self, path: Path, meaning: Meaning, length: int, *, trusted: bool) -> Network:
        """Read a network for windows of `length` readings; trusted: code in the file may run. Raises InputError."""


def open_file(path: Path, meaning: Meaning, length: int, *, trusted: bool) -> Network | None:
    """Read a file as a network, or return None if it is none. Raises InputError if it cannot be had as one."""
    module = READERS.get(path.suffix.lower())
    if meaning.constants and path.suffix.lower() != ".onnx" and module is not None:
        raise InputError(
            "--constant is for ONNX files.", hint="Wrap the module in one that takes the readings alone."
        )
    if module is not None:
        reader: Reader = importlib.import_module(module)
        return reader.open_network(path, meaning, length, trusted=trusted)
    if meaning != Meaning():
        raise InputError(
            "--task, --classes, --logits, --layout, --threshold, --answer, --input-shape and --constant are for "
            f"networks, which {path} is not.",
            hint=f"Leave them out; files of networks end in {', '.join(READERS)}.",
        )
    return None
