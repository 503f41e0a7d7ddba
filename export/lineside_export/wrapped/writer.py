"""A graph of several models: members are added as they are asked for, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import Pipeline

from lineside_contract.errors import InputError
from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import convert, convert_steps
from lineside_export.rewrites.graph import Graph, rename
from lineside_export.rewrites.write import write as rewrite
from lineside_export.schema import Schema, describe
from lineside_export.trees.ensemble import Ensemble
from lineside_export.trees.write import raw_sums, taken_apart
from lineside_export.trees.write import write as write_trees

Kind: TypeAlias = Literal["label", "probabilities", "scores", "values"]


class Rows(NamedTuple):
    """What a model sees: a result of the graph, float32 (n, width), and steps that are still to be done to it."""

    name: str
    width: int
    steps: tuple[Any, ...] = ()


class Member(NamedTuple):
    """A model behind what it sees."""

    last: Any
    rows: Rows


class Writer:
    """Writes models into one graph; the method names say which of their answers, as scikit-learn gives them."""

    def __init__(self) -> None:
        self.graph = Graph("joined_")
        self._opsets: dict[str, int] = {}
        self._answers: dict[tuple[object, ...], str] = {}
        self._members: dict[tuple[object, ...], dict[Kind, str]] = {}
        self._copies: dict[int, Any] = {}
        self._ready: dict[tuple[object, ...], str] = {}

    def label(self, model: Any, rows: Rows) -> str:
        """Return the number of each row's class, int64 (n,)."""
        return self._answer("label", model, rows)

    def probabilities(self, model: Any, rows: Rows) -> str:
        """Return the probabilities, float32 (n, classes)."""
        return self._answer("probabilities", model, rows)

    def scores(self, model: Any, rows: Rows) -> str:
        """Return the decision function, float32 (n, classes), or (n, 1) if there are two classes."""
        return self._answer("scores", model, rows)

    def values(self, model: Any, rows: Rows) -> str:
        """Return a regressor's values, float32 (n, targets)."""
        return self._answer("values", model, rows)

    def evidence(self, model: Any, rows: Rows) -> str:
        """Return what scikit-learn compares two classes by: the score, or the second's probability; (n, 1)."""
        if hasattr(model, "decision_function"):
            return self.scores(model, rows)
        if not hasattr(model, "predict_proba"):
            return self.values(model, rows)
        return self.column(self.probabilities(model, rows), 1)

    def once(self, model: Any, change: Callable[[Any], Any]) -> Any:
        """Return a changed copy of a model, the same one every time."""
        if id(model) not in self._copies:
            self._copies[id(model)] = change(model)
        return self._copies[id(model)]

    def each_tree(self, members: Sequence[Any], rows: Rows) -> str:
        """Return the values of regressors that are single trees side by side, float32 (n, members): one operator."""
        whole = _forest(members)
        model = _whole(Member(whole, rows))
        schema = describe(whole)._replace(features=rows.width)
        prepare = partial(convert_steps, schema=schema)
        trees = write_trees(model, schema, INPUT, prepare, change=partial(_apart, members))
        if trees is None:
            return self.beside([self.values(member, rows) for member in members], len(members)).name
        # No other member is called so: the models that are counted so far call the next one by their number.
        self._members[id(members), *_key(rows)] = {}
        return self._add(onnx.load_from_string(trees), rows.name)[0]

    def columns(self, rows: Rows) -> Rows:
        """Do what is still to be done to rows."""
        if not rows.steps:
            return rows
        key = _key(rows)
        if key not in self._ready:
            model = convert_steps(rows.steps, _features(rows.width))
            self._ready[key] = self._add(model, rows.name)[0]
        return Rows(self._ready[key], int(rows.steps[-1].get_feature_names_out().shape[0]))

    def chosen(self, rows: Rows, columns: Sequence[int] | NDArray[Any]) -> Rows:
        """Return some columns of rows."""
        chosen = np.asarray(columns)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        ready = self.columns(rows)
        if len(chosen) == ready.width and (chosen == np.arange(ready.width)).all():
            return ready
        name = self.graph.add("Gather", ready.name, self.graph.constant(chosen.astype(np.int64)), axis=1)
        return Rows(name, len(chosen))

    def beside(self, parts: Sequence[str], width: int) -> Rows:
        """Return results, each (n, some), side by side."""
        name = self.graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        return Rows(name, width)

    def column(self, name: str, index: int) -> str:
        """Return one column of a result, (n, 1)."""
        return self.graph.add("Gather", name, self.graph.constant(np.array([index])), axis=1)

    def times(self, name: str, factor: float) -> str:
        """Return a result times a number."""
        return self.graph.add("Mul", name, self.graph.constant(np.array([float(factor)])))

    def mixed(self, parts: Sequence[str], weights: Sequence[float], width: int) -> str:
        """Return the sum of results, each (n, width), times their weights."""
        whole = self.beside(parts, width * len(parts)).name
        return self.graph.product(whole, np.concatenate([np.eye(width) * weight for weight in weights]))

    def sides(self, second: str) -> str:
        """Return (-s, s) for a result s, (n, 1)."""
        return self.graph.product(second, np.array([[-1.0, 1.0]]))

    def number(self, condition: str, kind: int = TensorProto.FLOAT) -> str:
        """Return 1 where a condition holds, otherwise 0."""
        return self.graph.add("Cast", condition, to=kind)

    def model(self, source: str, features: int, name: str) -> onnx.ModelProto:
        """Return the model file of what has been written."""
        rows = onnx.helper.make_tensor_value_info(source, TensorProto.FLOAT, ["rows", features])
        self.graph.proto.input.append(rows)
        self.graph.proto.name = name
        opsets = {"": 21, "ai.onnx.ml": 5} | {
            k: v for k, v in self._opsets.items() if k not in ("", "ai.onnx.ml")
        }
        imports = [onnx.helper.make_opsetid(*entry) for entry in opsets.items()]
        return onnx.ModelProto(
            ir_version=10, producer_name="lineside", opset_import=imports, graph=self.graph.proto
        )

    def _answer(self, kind: Kind, model: Any, rows: Rows) -> str:
        member = _member(model, rows)
        key = (id(member.last), *_key(member.rows), kind)
        if key not in self._answers:
            write = getattr(_family(member), kind, None)
            if write is not None:
                self._answers[key] = write(self, member.last, member.rows)
            else:
                self._answers[key] = self._of_leaf(member, kind)
        return self._answers[key]

    def _of_leaf(self, member: Member, kind: Kind) -> str:
        """Return an answer of a model that wraps no other."""
        found = self._leaf(member, kind)
        if kind == "label":
            return self._numbered(found["label"], np.asarray(member.last.classes_))
        if kind != "scores":
            return found[kind]
        if "values" in found:  # trees' sums
            half = getattr(member.last, "loss", "") == "exponential"
            return self.times(found["values"], 0.5) if half else found["values"]
        return self.column(found["scores"], 1) if len(member.last.classes_) == 2 else found["scores"]

    def _numbered(self, label: str, classes: NDArray[Any]) -> str:
        """Return the numbers of labels."""
        if classes.dtype.kind in "iu" and (classes == np.arange(len(classes))).all():
            return label
        if classes.dtype.kind in "USO":
            keys: dict[str, Any] = {"keys_strings": classes.astype(str).tolist()}
        else:
            keys = {"keys_int64s": classes.astype(np.int64)}
        numbers = np.arange(len(classes))
        return self.graph.add("LabelEncoder", label, domain="ai.onnx.ml", values_int64s=numbers, **keys)

    def _leaf(self, member: Member, kind: Kind) -> dict[Kind, str]:
        key = (id(member.last), *_key(member.rows), kind == "scores")
        if key not in self._members:
            model, schema = _whole(member), _schema(member, kind)
            written = _written(model, schema, kind)
            self._members[key] = dict(
                zip(written.kinds, self._add(written.model, member.rows.name), strict=False)
            )
        found = self._members[key]
        if kind not in found and "values" not in found:
            raise InputError(f"{type(member.last).__name__} gives no {kind} that a graph could go on with.")
        return found

    def _add(self, model: onnx.ModelProto, source: str) -> list[str]:
        """Put a model's nodes into the graph and return what its outputs are called there."""
        prefix = f"m{len(self._members) + len(self._ready)}_"
        added = compose.add_prefix(model, prefix)
        rename(added.graph, f"{prefix}{INPUT}", source)
        self.graph.proto.node.extend(added.graph.node)
        self.graph.proto.initializer.extend(added.graph.initializer)
        self._opsets |= {entry.domain: entry.version for entry in added.opset_import}
        return [output.name for output in added.graph.output]


class _Written(NamedTuple):
    model: onnx.ModelProto
    kinds: list[Kind]  # of its outputs, in order


def _written(model: Any, schema: Schema, kind: Kind) -> _Written:
    """Write a model that wraps no other: exactly as trees, else as products, else by skl2onnx."""
    prepare = partial(convert_steps, schema=schema)
    raw = kind == "scores"
    trees = write_trees(model, schema, INPUT, prepare, change=raw_sums if raw else None)
    second: list[Kind] = ["probabilities" if schema.probabilities else "scores"]
    kinds: list[Kind] = ["values"] if schema.task == "regression" else ["label", *second]
    if trees is not None:
        return _Written(onnx.load_from_string(trees), ["values"] if raw else kinds)
    found = rewrite(model, schema, INPUT, prepare)
    return _Written(convert(model, schema) if found is None else found, kinds)


def _forest(trees: Sequence[Any]) -> RandomForestRegressor:
    """Return a forest of fitted trees, which is what the writer of trees takes."""
    forest = RandomForestRegressor(len(trees))
    forest.estimators_ = list(trees)
    forest.n_features_in_, forest.n_outputs_ = trees[0].n_features_in_, 1
    return forest


def _apart(trees: Sequence[Any], ensemble: Ensemble) -> Ensemble:
    """Let every tree have a sum of its own."""
    counts = [member.tree_.node_count for member in trees]
    values = np.concatenate([member.tree_.value[:, 0, 0] for member in trees])
    target = np.repeat(np.arange(len(trees)), counts)
    return ensemble._replace(target=target, weight=values, targets=len(trees), base=np.zeros(0))


def _key(rows: Rows) -> tuple[object, ...]:
    return (rows.name, *map(id, rows.steps))


def _member(model: Any, rows: Rows) -> Member:
    before, last = taken_apart(model)
    return Member(last, rows._replace(steps=(*rows.steps, *before)))


def _family(member: Member) -> Any:
    from lineside_export.wrapped.write import family  # noqa: PLC0415  which writes with this

    return family(member.last)


def _whole(member: Member) -> Any:
    if not member.rows.steps:
        return member.last
    steps = [*member.rows.steps, member.last]
    return Pipeline([(str(number), step) for number, step in enumerate(steps)])


def _schema(member: Member, kind: Kind) -> Schema:
    schema = describe(member.last)
    probabilities = schema.probabilities and kind != "scores"
    return schema._replace(features=member.rows.width, probabilities=probabilities)


def _features(width: int) -> Schema:
    return Schema("regression", "steps", width, (), (), probabilities=False, scores=False)
