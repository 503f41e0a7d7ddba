"""What a network's numbers mean: the label, probabilities, values or scores that a prediction has room for.

Everything is said twice, for the original's answers in float64 and for the graph: so one is held against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from lineside_agent.model import Answers
from lineside_contract.errors import InputError
from lineside_contract.messages import Label
from lineside_export.networks.meaning import Meaning, NetworkTask
from lineside_export.rewrites.graph import COLUMNS, LABEL, Graph


class Form(NamedTuple):
    """How a network's columns become one column for each class, and whether those are probabilities."""

    compute: Callable[[NDArray[Any]], NDArray[Any]]
    write: Callable[[Graph, str], str]
    probabilities: bool = True


class Head(NamedTuple):
    """What an output (n, k) means. form: of a classifier, a key of FORMS. labelled: the label is an output, too."""

    task: NetworkTask
    classes: tuple[Label, ...] = ()
    form: str = "as they are"
    threshold: float = 0.0
    labelled: bool = False


class Output(NamedTuple):
    """What shows of an output: how many columns, which operator makes it, and the classes in the file, if any.

    sizes: of its axes but that of the rows, without those of one element; several are a map, or an answer a step.
    """

    columns: int
    operator: str
    classes: tuple[Label, ...] = ()
    labelled: bool = False
    name: str = ""
    sizes: tuple[int, ...] = ()


def _softmax(columns: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(columns - columns.max(axis=1, keepdims=True))
    shares: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _logistic(columns: NDArray[Any]) -> NDArray[Any]:
    half: NDArray[Any] = 0.5 * (1 + np.tanh(columns / 2))  # never overflows
    return half


def _pair(graph: Graph, second: str) -> str:
    first = graph.add("Sub", graph.constant(np.ones(1)), second)
    return graph.add("Concat", first, second, axis=1)


FORMS = {
    "as they are": Form(lambda columns: columns, lambda _, columns: columns),
    "scores": Form(lambda columns: columns, lambda _, columns: columns, probabilities=False),
    "logarithms": Form(np.exp, lambda graph, columns: graph.add("Exp", columns)),
    "logits": Form(_softmax, lambda graph, columns: graph.add("Softmax", columns, axis=1)),
    "one probability": Form(lambda second: np.hstack([1 - second, second]), _pair),
    "one logit": Form(
        lambda second: np.hstack([1 - _logistic(second), _logistic(second)]),
        lambda graph, second: _pair(graph, graph.add("Sigmoid", second)),
    ),
    "one score": Form(
        lambda second: np.hstack([-second, second]),
        lambda graph, second: graph.add("Concat", graph.add("Neg", second), second, axis=1),
        probabilities=False,
    ),
}
# By the operator that makes an output of several columns, and of one.
_SHOWN = {"Softmax": "as they are", "LogSoftmax": "logarithms"}
_SHOWN_OF_ONE = {"Sigmoid": "one probability"}


def head(output: Output, meaning: Meaning, features: int) -> Head:
    """Say what an output means. Raises InputError if it does not show and `meaning` does not say."""
    task = meaning.task or _task(output, meaning)
    if meaning.threshold is not None and task != "outlier":
        raise InputError("--threshold is for --task outlier.", hint="Leave it out.")
    if (meaning.logits or meaning.classes) and task != "classification":
        raise InputError("--classes and --logits are for --task classification.", hint="Leave them out.")
    return _HEADS[task](output, meaning, features)


def _task(output: Output, meaning: Meaning) -> NetworkTask:
    shown = _SHOWN_OF_ONE if output.columns == 1 else _SHOWN
    if output.labelled or output.classes or meaning.classes or meaning.logits or output.operator in shown:
        return "classification"
    if meaning.threshold is not None:
        return "outlier"
    what = "number means" if output.columns == 1 else f"{output.columns} numbers mean"
    raise InputError(
        f"The network does not tell what its {what}.",
        hint="Say --task regression, --task classification (with --logits, if they are to become probabilities) "
        "or --task outlier.",
    )


def _classification(output: Output, meaning: Meaning, _: int) -> Head:
    if len(output.sizes) > 1:
        raise InputError(
            f"The network gives {' x '.join(map(str, output.sizes))} numbers for one input, not one for each class.",
            hint="Export it with one answer for an input, such as the mean over time; or take them all as values: "
            "--task regression.",
        )
    count = max(2, output.columns)
    classes = _labels(meaning.classes) or output.classes or tuple(range(count))
    if len(classes) != count or len(set(classes)) != count:
        raise InputError(
            f"The network tells {count} classes apart, but {len(set(classes))} are named.",
            hint="Name each once, in the order of its outputs: --classes a,b.",
        )
    return Head("classification", classes, _form(output, meaning), labelled=output.labelled)


def _labels(names: tuple[str, ...]) -> tuple[Label, ...]:
    """Return names as numbers if all of them are whole ones."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(int(name) for name in names)
    return names


def _form(output: Output, meaning: Meaning) -> str:
    if output.labelled:
        return "as they are" if "prob" in output.name else "scores"
    one = output.columns == 1
    shown = (_SHOWN_OF_ONE if one else _SHOWN).get(output.operator)
    if shown and meaning.logits:
        raise InputError(
            f"The network's output is no logits: it comes out of a {output.operator}.",
            hint="Leave --logits out.",
        )
    if meaning.logits:
        return "one logit" if one else "logits"
    return shown or ("one score" if one else "scores")


def _outlier(output: Output, meaning: Meaning, features: int) -> Head:
    if output.columns not in (1, features):
        raise InputError(
            f"The network answers {output.columns} numbers, which is neither one score nor its input again.",
            hint="Export one that answers a score, or an autoencoder.",
        )
    if meaning.threshold is None:
        raise InputError(
            "From which score on an input is an outlier, the network does not tell.",
            hint="Say --threshold; a good one is a little above the scores of most rows that it was trained on.",
        )
    return Head("outlier", threshold=meaning.threshold)


_HEADS: dict[NetworkTask, Callable[[Output, Meaning, int], Head]] = {
    "classification": _classification,
    "regression": lambda *_: Head("regression"),
    "outlier": _outlier,
}


def answer(head: Head, columns: NDArray[Any], given: NDArray[Any], label: NDArray[Any] | None) -> Answers:
    """Return what columns (n, k) mean; given: the network's input (n, features); label: its own, if it has one."""
    columns = columns.astype(np.float64)
    if head.task == "regression":
        return Answers(None, None, columns, None)
    if head.task == "outlier":
        scores: NDArray[Any] = head.threshold - _errors(columns, given)
        return Answers(np.where(scores[:, 0] < 0, -1, 1), None, None, scores)
    form = FORMS[head.form]
    found = form.compute(columns)
    if label is None:
        label = np.array(head.classes)[found.argmax(axis=1)]
    label = label.reshape(-1)
    label = label.astype(str if label.dtype.kind in "OUS" else np.int64)
    return Answers(label, *((found, None, None) if form.probabilities else (None, None, found)))


def write(head: Head, graph: Graph, columns: str, count: int, names: tuple[str, str | None]) -> None:
    """Add to a graph what `answer` does, and its outputs.

    columns: (n, count), made in this graph. names: of the network's input (n, features), and of its own label.
    """
    given, label = names
    if head.task == "regression":
        graph.give_values(columns, count)
    elif head.task == "outlier":
        threshold = graph.constant(np.array([[head.threshold]]))
        graph.give_outlier(graph.add("Sub", threshold, _error_graph(graph, columns, count, given)))
    elif label is None:
        found = FORMS[head.form].write(graph, columns)
        graph.give_classes(graph.best(found), found, head.classes)
    else:
        kind = TensorProto.STRING if isinstance(head.classes[0], str) else TensorProto.INT64
        graph.give(graph.add("Identity", label), LABEL, kind, None)
        graph.give(columns, COLUMNS, TensorProto.FLOAT, count)


def _errors(columns: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Return the scores (n, 1): the network's own, or the mean squared error of what it makes of its input."""
    if columns.shape[1] == 1:
        return columns
    errors: NDArray[Any] = np.mean((columns - given) ** 2, axis=1, keepdims=True)
    return errors


def _error_graph(graph: Graph, columns: str, count: int, given: str) -> str:
    error = columns
    if count > 1:
        apart = graph.add("Sub", columns, given)
        error = graph.add(
            "ReduceMean", graph.add("Mul", apart, apart), graph.constant(np.array([1])), keepdims=1
        )
    return error
