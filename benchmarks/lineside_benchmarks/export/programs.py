"""One model written by different tools, each as something that answers rows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import skops.io
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from lineside_benchmarks.export.subjects import Subject
from lineside_contract.manifest import Outputs
from lineside_export import boosters
from lineside_export.convert import INPUT
from lineside_export.dataset import Columns
from lineside_export.export import Exported, export
from lineside_export.schema import describe, outputs
from lineside_export.settings import Settings
from lineside_export.subject import prepare
from lineside_export.verify import trials
from lineside_export.writings import sound, writings

# Left to itself skl2onnx takes an ai.onnx.ml that its own IsolationForest refuses; without zipmap it is
# four times faster. So this is more than its defaults give.
_OPSETS = {"": 21, "ai.onnx.ml": 3}


class Written(NamedTuple):
    """A model as a tool wrote it. `answer` maps rows to labels, probabilities, values or scores, as a list.

    `graph` is an ONNX file, with what its outputs mean; None for programs that are none.
    """

    size: int
    answer: Callable[[NDArray[np.float32]], Any]
    graph: bytes | None = None
    outputs: Outputs | None = None
    note: str = ""


class NotWritten(Exception):
    """A tool that is not installed, or does not take the model; the text says which."""


def original(subject: Subject, _: Path) -> Written:
    """Return the model as it is, answering as a user would ask it."""
    model, schema = subject.model, describe(subject.model)
    if schema.probabilities:
        answer = model.predict_proba
    elif schema.scores and schema.task != "classification":
        answer = model.decision_function
    else:
        answer = model.predict
    return Written(len(pickle.dumps(model)), answer)


def skl2onnx(subject: Subject, _: Path) -> Written:
    """Return what skl2onnx writes, its opsets pinned and its zipmap off."""
    schema = describe(subject.model)
    kind = FloatTensorType([None, subject.rows.inputs.shape[1]])
    options = {"zipmap": False} if schema.task == "classification" else None
    try:
        graph = to_onnx(subject.model, initial_types=[(INPUT, kind)], target_opset=_OPSETS, options=options)
    except Exception as error:  # what a converter raises is anything
        raise NotWritten(_first_line(error)) from error
    return onnx_program(graph.SerializeToString(), outputs(schema, [o.name for o in graph.graph.output], ()))


def lineside(subject: Subject, folder: Path) -> Written:
    """Return what `lineside export` chooses."""
    exported = exported_by_lineside(subject, folder)
    chosen = exported.chosen
    return onnx_program(chosen.model or b"", exported.manifest.outputs, exported.manifest.candidate)


def lineside_exact(subject: Subject, folder: Path) -> Written:
    """Return Lineside's exact writing: what `lineside export` compares the ones in fewer bits with."""
    asked = _settings(subject, folder)
    prepared = prepare(boosters.adopt(subject.model), asked)
    found = sound(prepared, writings(prepared), trials(prepared, asked.seed), allow=False)
    first = found.writings[0]
    return onnx_program(first.model, found.outputs, first.variant.name)


def exported_by_lineside(subject: Subject, folder: Path) -> Exported:
    """Run an export as the command does: from a skops file and a CSV file. Raises InputError if it is refused."""
    asked = _settings(subject, folder)
    skops.io.dump(subject.model, asked.model)
    return export(asked)


def _settings(subject: Subject, folder: Path) -> Settings:
    model, data = folder / "model.skops", folder / "rows.csv"
    _write_rows(subject, data)
    columns = Columns(target=() if subject.rows.target is None else ("target",))
    return Settings(model=model, data=data, name="model", version="1.0.0", columns=columns, dry_run=True)


def _write_rows(subject: Subject, path: Path) -> None:
    inputs, target = subject.rows
    names = [f"channel_{index}" for index in range(inputs.shape[1])]
    with path.open("w") as file:
        file.write(",".join([*names, *(() if target is None else ("target",))]) + "\n")
        for index, row in enumerate(inputs.tolist()):
            cells = row if target is None else [*row, target[index]]
            file.write(",".join(map(str, cells)) + "\n")


def onnx_program(graph: bytes, meaning: Outputs, note: str = "") -> Written:
    """Return an ONNX file as a program: onnxruntime on one thread. Raises NotWritten if it does not load."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise NotWritten(_first_line(error)) from error
    name = session.get_inputs()[0].name

    def answer(rows: NDArray[np.float32]) -> Any:
        return session.run(None, {name: rows})

    return Written(len(graph), answer, graph, meaning, note)


def operators(graph: bytes) -> list[tuple[str, bytes]]:
    """Return the nodes and the weights of a graph, to see whether a tool changed any."""
    model = onnx.load_model_from_string(graph)
    nodes = [
        (node.op_type, b"".join(a.SerializeToString() for a in node.attribute)) for node in model.graph.node
    ]
    return nodes + [("", tensor.SerializeToString()) for tensor in model.graph.initializer]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
