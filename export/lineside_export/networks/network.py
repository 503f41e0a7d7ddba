"""A network with everything that an export needs to know of it, and the original to be held against."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lineside_agent.model import Answers
from lineside_contract.errors import InputError, nearest
from lineside_contract.messages import Label
from lineside_export.networks import heads
from lineside_export.networks.heads import Head, Output
from lineside_export.networks.join import Parts, join
from lineside_export.networks.layout import Arrangement, arrangement, shown
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.modern import Run, is_quantized, modern, sample
from lineside_export.networks.read import nodes
from lineside_export.schema import Schema

_REAL = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
# Operators that only hand on what another one made; a mean of probabilities, such as over time, is one.
_HANDING_ON = frozenset(
    {"Identity", "Reshape", "Squeeze", "Flatten", "Cast", "Unsqueeze", "ReduceMean", "GlobalAveragePool"}
)
# What networks are called after.
_TREES = ("Ensemble", "EnsembleClassifier", "EnsembleRegressor")
_TELLING = ("Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "MatMul", "Gemm", "Attention")
_MOST_VALUES = 1 << 22
_LARGEST_INPUT = 1 << 26  # values, of all the rows that it takes at once: 256 MB
_METADATA = ("classes", "labels", "class_names", "names")


class Source(NamedTuple):
    """A network as it comes: checked, with what runs the original, what to call it, and what to tell its reader.

    steady: the original as onnxruntime runs it unoptimised, if that may answer otherwise than `run`.
    """

    model: onnx.ModelProto
    run: Run
    kind: str
    notes: list[str]
    steady: Run | None = None


class Network:
    """A network as an original: what it takes and answers, its own answers, and the graph that is to answer alike."""

    def __init__(self, source: Source, meaning: Meaning, length: int) -> None:
        """Understand a network for windows of `length` readings. Raises InputError if that cannot be done."""
        source = _asked(source, meaning)
        model = source.model
        self._source = source
        self._arrangement = arrangement(_sizes(model, meaning.shape), length, meaning.layout)
        _check_size(model, self._arrangement.features)
        answering, label = _answering(model, meaning)
        tried = sample(source.run, self._arrangement.shape)
        count = _columns(tried.expected[answering], len(tried.rows))
        self._parts = Parts(answering, label, count, tried.expected[answering].ndim == 2)
        found = modern(model, self._arrangement.shape, tried)
        output = _output(model, found.model, self._parts)._replace(
            sizes=tuple(size for size in tried.expected[answering].shape[1:] if size != 1)
        )
        self.head = heads.head(output, meaning, self._arrangement.features)
        self.notes = [*source.notes, *found.notes]
        self.quantized = is_quantized(found.model)
        if self.quantized:
            self.notes.append("The network is quantized already: it is exported as it is.")
        self.schema = _schema(self.head, self._arrangement, f"{source.kind}({', '.join(_telling(model))})")
        self.graph = join(found.model, self._arrangement, self.head, self._parts)

    def answer(self, inputs: NDArray[np.float32]) -> Answers:
        """Let the original answer inputs (n, features); real numbers come as float64."""
        return self._answer(inputs, self._source.run)

    def steady(self, inputs: NDArray[np.float32]) -> Answers:
        """Answer as a processor may that multiplies integers otherwise than this one."""
        return self._answer(inputs, self._source.steady or self._source.run)

    def _answer(self, inputs: NDArray[np.float32], run: Run) -> Answers:
        step = max(1, _MOST_VALUES // inputs.shape[1])
        pieces = [self._piece(inputs[at : at + step], run) for at in range(0, len(inputs), step)]
        columns = zip(*pieces, strict=True)
        found = Answers(*(None if column[0] is None else np.concatenate(column) for column in columns))
        if np.isnan(inputs).any() and any(np.isnan(each).any() for each in found[1:] if each is not None):
            raise InputError(
                "The network does not answer where a reading is missing.", hint="Fill or remove such rows."
            )
        return found

    def _piece(self, inputs: NDArray[np.float32], run: Run) -> Answers:
        given = self._arrangement.arrange(inputs)
        found = run(given)
        answering, label_at, count, _ = self._parts
        label = None if label_at is None else found[label_at]
        columns = found[answering].reshape(len(inputs), count)
        return heads.answer(self.head, columns, given.reshape(len(inputs), -1), label)


def _asked(source: Source, meaning: Meaning) -> Source:
    """Leave out the outputs that nobody asks for: what they are, such as states, does not matter then."""
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    asked = sorted(at for at in _answering(model, meaning) if at is not None)
    kept = [source.model.graph.output[at] for at in asked]
    del model.graph.output[:]
    model.graph.output.extend(kept)

    def only(run: Run) -> Run:
        return lambda rows: [found for at, found in enumerate(run(rows)) if at in asked]

    steady = None if source.steady is None else only(source.steady)
    return source._replace(model=model, run=only(source.run), steady=steady)


def _schema(head: Head, arranged: Arrangement, name: str) -> Schema:
    probabilities = head.task == "classification" and heads.FORMS[head.form].probabilities
    return Schema(
        task=head.task,
        estimator=name,
        features=arranged.features,
        feature_names=(),
        classes=head.classes,
        probabilities=probabilities,
        scores=head.task != "regression" and not probabilities,
    )


def _sizes(model: onnx.ModelProto, said: tuple[int, ...]) -> list[int | None]:
    """Return the sizes of the network's input but the first, of the rows; None for one that is not fixed.

    said: the sizes that the user gives, or none.
    """
    kind = model.graph.input[0].type.tensor_type
    if not kind.HasField("shape") or len(kind.shape.dim) < 2:
        raise InputError(
            f"The network's input {model.graph.input[0].name} has no axis of rows before the others.",
            hint="Export it so that it takes several inputs at once: (n, features) or (n, channels, length).",
        )
    sizes = [size.dim_value if size.dim_value > 0 else None for size in kind.shape.dim[1:]]
    if not said:
        return sizes
    if len(said) != len(sizes) or any(size not in (None, one) for size, one in zip(sizes, said, strict=True)):
        raise InputError(
            f"--input-shape {','.join(map(str, said))} does not fit the network's input {shown(sizes)}.",
            hint="Give the size of each axis but the first, of the rows; those in the file stay as they are.",
        )
    return list(said)


def _check_size(model: onnx.ModelProto, features: int) -> None:
    rows = max(1, model.graph.input[0].type.tensor_type.shape.dim[0].dim_value)
    if rows * features > _LARGEST_INPUT:
        raise InputError(
            f"The network takes {rows} x {features} values at once; a device can give it {_LARGEST_INPUT} at most.",
            hint="Export it for one row, or any number of rows, at a time, and for shorter windows.",
        )


def _answering(model: onnx.ModelProto, meaning: Meaning) -> tuple[int, int | None]:
    """Return which output answers, and which is its label if it gives one itself, as classifiers of ai.onnx.ml do."""
    names = [output.name for output in model.graph.output]
    if not names:
        raise InputError(
            "The network has no output.", hint="Export it with its scores or probabilities as one."
        )
    kinds = [output.type.tensor_type.elem_type for output in model.graph.output]
    if meaning.output is not None:
        if meaning.output not in names:
            hint = nearest(meaning.output, names) or f"It has: {', '.join(names)}."
            raise InputError(f"The network has no output {meaning.output!r}.", hint=hint)
        found: tuple[int, int | None] = names.index(meaning.output), None
    elif len(names) == 2 and kinds[0] in (TensorProto.INT64, TensorProto.STRING) and kinds[1] in _REAL:
        found = 1, 0
    elif len(names) == 1:
        found = 0, None
    else:
        raise InputError(
            f"The network has {len(names)} outputs: {', '.join(names)}.",
            hint="Say which one answers: --answer NAME.",
        )
    if kinds[found[0]] not in _REAL:
        raise InputError(
            f"The network's output {names[found[0]]} holds no real numbers.",
            hint="Export it with its scores or probabilities as the output; the label comes out of them.",
        )
    return found


def _columns(expected: NDArray[Any], rows: int) -> int:
    if expected.shape[:1] != (rows,) or not expected.size:
        raise InputError(
            f"The network's answer to {rows} rows has the shape {expected.shape}, which is not one for each row.",
            hint="Export it so that the first axis of its output is that of its input.",
        )
    if not np.isfinite(expected).any():
        raise InputError(
            "The network answers no numbers, only NaN or infinity.",
            hint="Export one whose weights are finite.",
        )
    return int(np.prod(expected.shape[1:], dtype=int))


def _output(model: onnx.ModelProto, simple: onnx.ModelProto, parts: Parts) -> Output:
    """Say what shows of the answer; simple: the same network, without branches that are never taken."""
    name = model.graph.output[parts.answering].name
    by_result = {result: node for node in simple.graph.node for result in node.output}
    node = by_result.get(name)
    while node is not None and node.op_type in _HANDING_ON:
        node = by_result.get(node.input[0])
    labelled = parts.label is not None
    classes = _stored_classes(model) if labelled else _described_classes(model, max(2, parts.columns))
    return Output(parts.columns, node.op_type if node else "", classes, labelled, name)


def _stored_classes(model: onnx.ModelProto) -> tuple[Label, ...]:
    """Return the labels in a classifier of ai.onnx.ml."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels"):
                values = helper.get_attribute_value(attribute)
                if len(values):
                    return tuple(
                        value.decode() if isinstance(value, bytes) else int(value) for value in values
                    )
    return ()


def _described_classes(model: onnx.ModelProto, count: int) -> tuple[Label, ...]:
    """Return the names of the classes in a file's metadata, if there are as many as the network tells apart."""
    described = {each.key: each.value for each in model.metadata_props}
    for text in (described[key] for key in _METADATA if key in described):
        try:
            value = ast.literal_eval(
                text
            )  # lists and dictionaries of JSON, and of Python as ultralytics writes
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            value = [part.strip() for part in text.split(",")]
        values = list(value.values()) if isinstance(value, dict) else value
        if isinstance(values, list) and len({*map(str, values)}) == len(values) == count:
            return tuple(str(each) for each in values)
    return ()


def _telling(model: onnx.ModelProto) -> list[str]:
    there = [node.op_type for node in nodes(model.graph)]
    return list(dict.fromkeys(name for name in there if name in _TELLING or name.endswith(_TREES)))
