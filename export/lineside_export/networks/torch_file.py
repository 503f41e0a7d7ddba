"""PyTorch files: programs saved by torch.export, and whole modules pickled by torch.save.

Both can run code when they are opened. `torch.export.load` takes no weights_only: what its safe reader refuses it
unpickles all the same (torch 2.13, torch/export/pt2_archive/_package.py), so a .pt2 file is trusted like a pickle.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_export.convert.sklearn import OPSETS
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.network import Network, Source
from lineside_export.networks.read import read

_INSTALL = "Run: pip install 'lineside[torch]' --extra-index-url https://download.pytorch.org/whl/cpu (without CUDA)."


class Program(NamedTuple):
    """What torch exports, what runs it, its example's shape, and the number of rows that it takes; None for any."""

    exported: Any
    module: Any
    shape: tuple[int, ...]
    rows: int | None


def open_network(path: Path, meaning: Meaning, length: int, *, trusted: bool) -> Network:
    """Read a PyTorch file as a network for windows of `length` readings. Raises InputError.

    The original that it is held against is the module itself, run by PyTorch.
    """
    if not path.is_file():
        raise InputError(f"The model {path} cannot be read: there is no such file.")
    if not trusted:
        raise InputError(
            f"{path} is a PyTorch file, and opening one can run any code that its author put into it.",
            hint="If you made it yourself, add --trust-pickle; or export it as ONNX: "
            "torch.onnx.export(model, (example,), 'model.onnx', dynamo=True).",
        )
    with _quiet():
        program = _program(path, meaning)
        model = _as_onnx(program, path)
    name = type(program.module).__name__ if path.suffix != ".pt2" else "PyTorch"
    return Network(Source(model, _Runner(program), name, []), meaning, length)


def _program(path: Path, meaning: Meaning) -> Program:
    try:
        import torch  # noqa: PLC0415  seconds, and gigabytes with CUDA
    except ImportError as error:
        raise InputError(f"{path} is a PyTorch file, but PyTorch is not installed.", hint=_INSTALL) from error
    try:
        if path.suffix == ".pt2":
            return _exported(torch.export.load(path), path)
        module = torch.load(path, map_location="cpu", weights_only=False)
    except InputError:
        raise
    except Exception as error:  # a pickle can raise anything
        raise InputError(
            f"The model {path} cannot be loaded: {_first_line(error)}.",
            hint="Is the file whole, and is the code installed that it was made with?",
        ) from error
    if isinstance(module, torch.jit.ScriptModule) or not isinstance(module, torch.nn.Module):
        raise InputError(
            f"{path} holds a {type(module).__name__}, not a whole module.",
            hint="Save the program: torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2').",
        )
    if not meaning.shape:
        raise InputError(
            f"{path} does not tell the shape of the module's input.",
            hint="Give that of one input, such as --input-shape 3,128; or save it by torch.export.save.",
        )
    return _traced(torch, module.eval(), meaning.shape)


def _exported(program: Any, path: Path) -> Program:
    inputs = [
        node
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    if len(inputs) != 1:
        raise InputError(
            f"The program in {path} takes {len(inputs)} inputs; a device gives it one, the readings.",
            hint="Export a module with one input.",
        )
    sizes = list(inputs[0].meta["val"].shape)
    rows = sizes[0] if isinstance(sizes[0], int) else None
    return Program(program, program.module(), tuple(int(size) for size in sizes[1:]), rows)


def _traced(torch: Any, module: Any, shape: tuple[int, ...]) -> Program:
    """Export a module for any number of rows, or for one at a time where it fixes that itself."""
    for rows, dynamic in ((2, ({0: torch.export.Dim("rows")},)), (1, None)):
        try:
            example = torch.zeros(rows, *shape)
            exported = torch.export.export(module, (example,), dynamic_shapes=dynamic)
            return Program(exported, module, shape, None)
        except Exception as error:  # what tracing finds in a module's code is anything
            reason = _first_line(error)
    raise InputError(
        f"PyTorch cannot export the module for inputs of the shape {shape}: {reason}.",
        hint="Is --input-shape right? Else export it yourself, as ONNX or by torch.export.save.",
    )


def _as_onnx(program: Program, path: Path) -> onnx.ModelProto:
    import torch  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="lineside-") as folder:
        target = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                program.exported,
                f=str(target),
                dynamo=True,
                opset_version=OPSETS[""],
                external_data=False,
                verbose=False,
            )
        except ImportError as error:
            raise InputError(
                f"PyTorch's ONNX exporter needs onnxscript: {_first_line(error)}.", hint=_INSTALL
            ) from error
        except Exception as error:  # whatever an operator that it does not know makes of the exporter
            raise InputError(
                f"PyTorch cannot write {path} as ONNX: {_first_line(error)}.",
                hint="Replace the operator by ones that ONNX has, and export it again.",
            ) from error
        return read(target)


class _Runner:
    """A PyTorch module, run for any number of rows: as many at a time as it takes."""

    def __init__(self, program: Program) -> None:
        import torch  # noqa: PLC0415

        self._program = program
        # Threads wait for one another longer than networks of this size compute.
        torch.set_num_threads(1)

    def __call__(self, rows: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Return the outputs for rows (n, ...)."""
        import torch  # noqa: PLC0415

        step = self._program.rows or len(rows)
        found = []
        with torch.inference_mode():
            for at in range(0, len(rows), step):
                piece = rows[at : at + step]
                padded = torch.from_numpy(np.resize(piece, (step, *piece.shape[1:])))
                answers = torch.utils._pytree.tree_leaves(self._program.module(padded))
                found.append([each.numpy()[: len(piece)] for each in answers])
        return [np.concatenate(column) for column in zip(*found, strict=True)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch's progress and advice to itself."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
