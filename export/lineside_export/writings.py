"""The exact ways to write a model: by its framework's converter, and many families also by Lineside's own writers."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime

from lineside_agent.model import Model
from lineside_contract.errors import BundleError, InputError
from lineside_contract.manifest import Outputs
from lineside_export import boosters, schema
from lineside_export.candidates import COMPACT, LEAVES, ORIGINAL, REWRITTEN, Variant
from lineside_export.convert import INPUT, convert
from lineside_export.convert.sklearn import convert_steps
from lineside_export.narrow import narrowed
from lineside_export.rewrites.graph import rename
from lineside_export.rewrites.write import write as rewrite
from lineside_export.subject import Subject
from lineside_export.trees.extract import extract, node_count
from lineside_export.trees.lossy import rounded
from lineside_export.trees.write import taken_apart, write
from lineside_export.unwritable import Unwritable
from lineside_export.verify import Trials, Verification, refusal, verify
from lineside_export.wrapped.write import write as write_wrapped

# skl2onnx writes some ten thousand nodes a second, and its graph is only there to be compared with.
MOST_NODES = 200_000
# So many of the user's rows show where readings lie.
_TYPICAL_ROWS = 1000
_MOST_LEAVES = 256
_MISSING = "answers rows with a missing reading otherwise than the original"


class Writing(NamedTuple):
    """A model file that should answer as the original does. `graph` is what other methods can work on."""

    variant: Variant
    graph: onnx.ModelProto | None = None

    @property
    def model(self) -> bytes:
        """The file's bytes; none if this way was not tried or failed."""
        return self.variant.model or b""


class Sound(NamedTuple):
    """The writings that do answer so, the one to compare with first; then those that do not, as variants."""

    writings: list[Writing]
    outputs: Outputs
    verification: Verification
    others: list[Variant]


def writings(subject: Subject) -> list[Writing]:
    """Write a model in every exact way, our own first. Raises InputError if there is none."""
    if (joined := _joined(subject)) is not None:
        return [joined]
    compact = _compact(subject)
    rewritten = _rewritten(subject)
    own = compact or rewritten
    last = taken_apart(subject.coded)[1]
    if compact is not None and boosters.library(last) is not None:
        return [compact]
    nodes = node_count(last)
    if compact is not None and nodes > MOST_NODES:
        reason = f"not tried: skl2onnx takes minutes for {nodes:,} nodes"
        return [compact, Writing(Variant(ORIGINAL, None, reason))]
    try:
        graph = convert(subject.coded, subject.schema)
    except InputError as error:
        if own is None:
            raise
        return [own, Writing(Variant(ORIGINAL, None, f"failed: {error.message}", failed=True))]
    plain = Writing(Variant(ORIGINAL, graph.SerializeToString()), graph)
    if rewritten is not None:
        return [_named_alike(rewritten, graph), plain]
    return [plain] if compact is None else [compact, plain]


def _joined(subject: Subject) -> Writing | None:
    """Write a model that wraps others; None if it does not, or if only skl2onnx can."""
    try:
        found = write_wrapped(subject.coded, subject.schema, INPUT, len(subject.targets))
    except (InputError, Unwritable) as error:
        try:
            convert(subject.coded, subject.schema)
        except InputError:
            if isinstance(error, InputError):
                raise error from None
            name = subject.schema.estimator
            raise InputError(f"{name} cannot be exported: {error}.", hint="Use another estimator.") from error
        return None
    return None if found is None else _own(found, found)


def _compact(subject: Subject) -> Writing | None:
    try:
        found = write(subject.coded, subject.schema, INPUT, partial(convert_steps, schema=subject.schema))
    except InputError:  # a step before the trees: converting the whole says which
        if boosters.library(taken_apart(subject.coded)[1]) is not None:
            raise
        return None
    return None if found is None else Writing(Variant(COMPACT, found))


def lossy(subject: Subject) -> Variant:
    """Write trees with at most 256 different leaves; the reason says how far an answer can be off."""
    trees = extract(taken_apart(subject.coded)[1])
    if trees is None:
        return Variant(
            LEAVES, None, "changes nothing: the model is no tree ensemble that Lineside writes itself"
        )
    found = rounded(trees, _MOST_LEAVES)
    if found is None:
        return Variant(LEAVES, None, f"changes nothing: there are at most {_MOST_LEAVES} different leaves")
    prepare = partial(convert_steps, schema=subject.schema)
    data = write(subject.coded, subject.schema, INPUT, prepare, change=lambda _: found.ensemble)
    return Variant(LEAVES, data, found.note)


def _rewritten(subject: Subject) -> Writing | None:
    prepare = partial(convert_steps, schema=subject.schema)
    rows = subject.data.inputs[:_TYPICAL_ROWS].astype(np.float64)
    try:
        found, apart = (
            rewrite(subject.coded, subject.schema, INPUT, prepare, rows, apart=each) for each in (False, True)
        )
    except InputError:  # a step before the model: converting the whole says which
        return None
    return None if found is None else _own(found, apart)


def _own(whole: onnx.ModelProto, graph: onnx.ModelProto | None) -> Writing:
    return Writing(Variant(REWRITTEN, narrowed(whole).SerializeToString()), graph)


def _named_alike(rewritten: Writing, plain: onnx.ModelProto) -> Writing:
    """Call a rewritten model's outputs what skl2onnx calls them: a bundle has one set of names."""
    whole = onnx.load_from_string(rewritten.model)
    for model in (whole, rewritten.graph or whole):
        for own, other in zip([each.name for each in model.graph.output], plain.graph.output, strict=True):
            rename(model.graph, own, other.name)
    return Writing(Variant(REWRITTEN, whole.SerializeToString()), rewritten.graph)


def sound(subject: Subject, found: list[Writing], asked: Trials, *, allow: bool) -> Sound:
    """Hold each writing against the original. Raises InputError if none answers alike, unless that is allowed."""
    outputs = schema.outputs(subject.schema, _output_names(found), subject.targets)
    tried = [(writing, _attempt(subject, writing, outputs, asked)) for writing in found if writing.model]
    good = [each for each in tried if not each[1].doubt]
    if not good:
        if not allow:
            raise refusal(subject, tried[0][1])
        good = tried[:1]
    # Beside an exact one there may be one that is exact as long as no reading is missing: it says so.
    nearly = [
        _noted(writing)
        for writing, verification in tried
        if verification.only_missing and not good[0][1].doubt
    ]
    others = [writing.variant for writing in found if not writing.model]
    failed = "failed" if good[0][1].doubt else f"failed, where {good[0][0].variant.name} does not"
    others += [
        Variant(writing.variant.name, None, f"{failed}: {verification.doubt}", failed=True)
        for writing, verification in tried
        if verification.doubt and writing is not good[0][0] and not (nearly and verification.only_missing)
    ]
    return Sound([*(writing for writing, _ in good), *nearly], outputs, good[0][1], others)


def _noted(writing: Writing) -> Writing:
    """Without its graph: nothing else is to be made of it."""
    return Writing(writing.variant._replace(reason=_MISSING))


def _attempt(subject: Subject, writing: Writing, outputs: Outputs, asked: Trials) -> Verification:
    try:
        return verify(subject, Model(writing.model, INPUT, outputs), asked)
    except BundleError as error:
        return Verification(0, 0, 0, error.message)
    except Exception as error:  # onnxruntime's errors share no base class
        text = str(error).strip().splitlines()[0]
        return Verification(
            0, 0, 0, f"The exported model fails in onnxruntime {onnxruntime.__version__}: {text}."
        )


def _output_names(found: list[Writing]) -> list[str]:
    model = next(writing.model for writing in found if writing.model)
    return [output.name for output in onnx.load_from_string(model).graph.output]
