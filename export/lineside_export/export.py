"""From a trained model to a bundle: the steps, in order.

model file --load--> estimator --writings--> exact models --verify--> variants --measure--> candidates
CSV file --rows, windows--> inputs --split--> calibration rows --------^             ^         |
                                         '--> held-back rows ------------------------'       pick --> bundle
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from lineside_contract.bundle import CARD, GOLDEN, LARGEST_BYTES, MODEL, Bundle, write_bundle
from lineside_contract.errors import BundleError, InputError
from lineside_contract.manifest import Manifest, Outputs
from lineside_export import card
from lineside_export.assemble import Judgement, make_golden, make_manifest
from lineside_export.candidates import Variant, variants
from lineside_export.features.agree import check_channels, check_window
from lineside_export.load import Loaded, load_model
from lineside_export.measure import Measured, Truth, measure
from lineside_export.networks.files import open_file
from lineside_export.networks.network import Network
from lineside_export.pick import LEAST_ROWS, pick
from lineside_export.settings import Settings, destination
from lineside_export.signing.keys import load_private_key
from lineside_export.signing.sign import signer
from lineside_export.subject import Subject, metric_rows, prepare, truth, unknown_targets
from lineside_export.verify import Verification, trials
from lineside_export.writings import Sound, lossy, sound, writings

# Fewer held-back rows than this say little about a loss of half a percent.
_FEW_ROWS = 100


class Exported(NamedTuple):
    """What came of it. `path` is None if nothing was written; `notes` are for the user to read.

    `chosen` is what went into the bundle, with its answers to the rows of `truth`.
    """

    manifest: Manifest
    path: Path | None
    card: str
    notes: list[str]
    chosen: Measured
    truth: Truth


class _Signing(NamedTuple):
    """What signs the manifest, if anything does, and what to tell the key's owner."""

    sign: Callable[[bytes], bytes] | None
    notes: list[str]


def export(settings: Settings, report: Callable[[str], None] = lambda _: None) -> Exported:
    """Turn a trained model into a verified bundle; `report` is told each step as it begins.

    Raises InputError if anything about the model or the rows stands against it; then nothing is written.
    """
    where = destination(settings)
    signing = _signing(settings.sign_key)
    report("loading the model")
    loaded = _load(settings)
    check_window(loaded.model, settings.window.length, settings.rate_hz)
    report("reading the rows")
    subject = prepare(loaded.model, settings)
    check_channels(loaded.model, subject.data.channels)
    report("converting to ONNX")
    found = writings(subject)
    report("comparing with the original")
    exact = sound(subject, found, trials(subject, settings.seed), allow=settings.allow_mismatch)
    outputs, verification = exact.outputs, exact.verification
    report("writing it in every way")
    ways = [*_ways(exact, subject, settings.device), *([lossy(subject)] if settings.lossy_trees else [])]
    report("measuring")
    judged_by = truth(subject)
    measured = measure(ways, outputs, judged_by)
    judgement = _judge(measured, outputs, judged_by, settings, verification)
    report("writing the bundle")
    golden = make_golden(subject, judgement, measured[0], judged_by)
    manifest = make_manifest(subject, settings, where, judgement, judged_by)
    manifest = replace(manifest, golden_tolerance=golden.tolerance)
    text = card.write(manifest, _evidence(subject, settings, verification, judgement, judged_by))
    signed_before = not settings.dry_run and _is_signed(where.path)
    if not settings.dry_run:
        model = judgement.chosen.model or b""
        files = {MODEL: model, GOLDEN: golden.data, CARD: text.encode()}
        manifest = _write(where.path, manifest, files, signing.sign)
    notes = [*signing.notes, *loaded.notes, *_notes(subject, verification), *_same_answer(subject, judged_by)]
    if signed_before and signing.sign is None:
        notes.append(f"The bundle that was {where.path} before was signed; this one is not.")
    path = None if settings.dry_run else where.path
    return Exported(manifest, path, text, notes, judgement.chosen, judged_by)


def _load(settings: Settings) -> Loaded:
    trusted = settings.trust.pickle
    network = open_file(settings.model, settings.meaning, settings.window.length, trusted=trusted)
    if network is None:
        return load_model(settings.model, settings.trust)
    return Loaded(network, network.notes)


def _ways(exact: Sound, subject: Subject, device: str) -> list[Variant]:
    ways = [*(writing.variant for writing in exact.writings), *exact.others]
    graph = next((writing.graph for writing in exact.writings if writing.graph is not None), None)
    if graph is None:
        return ways
    return [*ways, *variants(graph, subject.data.inputs[subject.rows.calibration], device)]


def _judge(
    measured: list[Measured], outputs: Outputs, by: Truth, settings: Settings, verification: Verification
) -> Judgement:
    original = 1.0
    if by.metric is not None and by.target is not None:
        original = by.metric.of(by.original, by.target)
    rules = settings.rules._replace(rows=len(by.inputs))
    judged = pick([each.candidate for each in measured], original, rules)
    chosen = next(i for i, candidate in enumerate(judged) if candidate.verdict == "chosen")
    if verification.doubt:
        judged[chosen] = replace(judged[chosen], reason=f"{judged[chosen].reason}. {verification.doubt}")
    return Judgement(judged, measured[chosen], outputs, original)


def _evidence(
    subject: Subject, settings: Settings, verification: Verification, judgement: Judgement, by: Truth
) -> card.Evidence:
    answers = judgement.chosen.answers
    metrics = metric_rows(by, subject.schema.task, answers) if answers is not None else []
    notes = subject.model.notes if isinstance(subject.model, Network) else []
    rows = len(subject.data.inputs)
    return card.Evidence(settings.data.name, rows, settings.seed, verification, metrics, notes)


def _signing(path: Path | None) -> _Signing:
    """Read the key before the long work, so that a wrong one costs none."""
    if path is None:
        return _Signing(None, [])
    key = load_private_key(path, os.environ)
    return _Signing(signer(key.key), [key.warning] if key.warning else [])


def _write(
    path: Path, manifest: Manifest, files: dict[str, bytes], sign: Callable[[bytes], bytes] | None
) -> Manifest:
    size = sum(map(len, files.values()))
    if size > LARGEST_BYTES:
        raise InputError(
            f"The bundle would unpack to {size:,} bytes; a device reads at most {LARGEST_BYTES:,}.",
            hint="Train fewer or shallower trees, or a smaller network.",
        )
    try:
        return write_bundle(path, manifest, files, sign=sign)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def _is_signed(path: Path) -> bool:
    try:
        return Bundle.open(path).signature is not None
    except BundleError:
        return False


def _same_answer(subject: Subject, by: Truth) -> list[str]:
    """A model that says the same of every row is seldom what was trained: often the channels are in another order."""
    labels = by.original.label
    if subject.schema.task != "classification" or labels is None or len(labels) < LEAST_ROWS:
        return []
    if len(np.unique(labels)) > 1:
        return []
    if by.target is not None and len(np.unique(by.target)) == 1:
        return []
    return [
        f"The model answers {str(labels[0])!r} to every held-back row: are --channels in the order of training?"
    ]


def _notes(subject: Subject, verification: Verification) -> list[str]:
    notes = []
    held_back = len(subject.rows.held_back)
    if held_back < _FEW_ROWS:
        notes.append(f"Only {held_back} rows judge the candidates: their metrics are rough.")
    trained = subject.schema.feature_names
    if trained and len(trained) == len(subject.data.channels) and trained != subject.data.channels:
        notes.append(
            f"The model was trained on {', '.join(trained)}; it is given {', '.join(subject.data.channels)}."
        )
    if unknown := unknown_targets(subject.schema, subject.data):
        notes.append(f"The model never answers {', '.join(unknown[:5])}, which are among the targets.")
    if verification.doubt:
        notes.append(verification.doubt)
    return notes
