"""The model card: what a person must know before a bundle runs on their machine, as Markdown.

The headings follow Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lineside_contract.manifest import Candidate, Channel, Manifest
from lineside_export.check import STATED
from lineside_export.facts import by_reason, numbers, unit
from lineside_export.verify import Verification


class Evidence(NamedTuple):
    """What the card reports beyond the manifest: the rows' file, the split, the comparison, every metric.

    `metrics` holds (name, original, exported). `notes` say what the original is, if that does not go without saying.
    """

    data: str
    rows: int
    seed: int
    verification: Verification
    metrics: list[tuple[str, float, float]]
    notes: Sequence[str] = ()


def write(manifest: Manifest, evidence: Evidence) -> str:
    """Return the card of a bundle."""
    sections = [
        f"# {manifest.name} {manifest.version}",
        _summary(manifest),
        "## Inputs\n\n" + _inputs(manifest),
        "## Data\n\n" + _data(manifest, evidence),
        "## Metrics\n\n" + _metrics(manifest, evidence),
        "## How it was checked\n\n" + _checks(manifest, evidence),
        "## Candidates\n\n" + _candidates(manifest.candidates),
        "## Limits\n\n" + _limits(manifest),
        "## Made with\n\n" + ", ".join(f"{name} {number}" for name, number in manifest.made_with.items()),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: Manifest) -> str:
    lines = [
        f"{manifest.task.capitalize()} by {manifest.estimator}, exported {manifest.created} as {manifest.candidate}."
    ]
    if manifest.outputs.classes:
        lines.append(f"Labels: {', '.join(map(str, manifest.outputs.classes))}.")
    if manifest.task == "regression":
        lines.append(f"Values: {', '.join(manifest.outputs.targets)}.")
    if manifest.task == "outlier":
        lines.append("Label -1 is an outlier, 1 is not; a negative score is an outlier.")
    return " ".join(lines)


def _inputs(manifest: Manifest) -> str:
    rows = [_channel(channel) for channel in manifest.channels]
    text = _table(["channel", "unit", "minimum", "maximum", "mean", "std"], rows) + _texts(manifest)
    window = manifest.window
    if window.length > 1:
        text += f"\n\nA window is {window.length} readings; the next one begins {window.hop} further on."
    if manifest.sampling_rate_hz:
        text += f"\n\nSampled at {manifest.sampling_rate_hz:g} Hz."
    return text


def _channel(channel: Channel) -> list[str]:
    numbers = [channel.minimum, channel.maximum, channel.mean, channel.std]
    return [channel.name, unit(channel), *("" if number is None else f"{number:.6g}" for number in numbers)]


def _texts(manifest: Manifest) -> str:
    if not any(channel.categories for channel in manifest.channels):
        return ""
    text = (
        "\n\nA channel of text is given as the number of its text in `manifest.json`, from 0; any other text as -1, "
        "none as NaN."
    )
    for channel in manifest.channels:
        if channel.refuses:
            text += f" {channel.name}: the model has no answer to {' or '.join(channel.refuses)} texts."
    return text


def _data(manifest: Manifest, evidence: Evidence) -> str:
    return (
        f"{evidence.rows} inputs from {evidence.data}. {manifest.rows_held_back} of them, chosen with seed "
        f"{evidence.seed}, judge the candidates below; the others calibrate int8. Whether the model was trained on "
        "any of them is not known to Lineside: if it was, the metrics flatter it."
    )


def _metrics(manifest: Manifest, evidence: Evidence) -> str:
    metrics = evidence.metrics or [
        (manifest.metric, manifest.metric_original or 0.0, manifest.metric_exported or 0.0)
    ]
    rows = [[name, f"{original:.4f}", f"{exported:.4f}"] for name, original, exported in metrics]
    return _table(["on held-back rows", "original", "exported"], rows)


def _checks(manifest: Manifest, evidence: Evidence) -> str:
    verification = evidence.verification
    text = (
        "The exact export was held against the original on "
        f"{verification.rows} rows of the data and on "
        f"{verification.made} rows made to hurt (extremes, zeros, tree thresholds and their neighbours): "
        f"{STATED}. {verification.ties} of these rows are ties, where either label is right."
    )
    text += "".join(f" {note}" for note in evidence.notes)
    if verification.doubt:
        text += f"\n\n**It failed, and was written because that was asked for.** {verification.doubt}"
    return (
        text + "\n\nA device lets the model answer the golden rows before it runs it; outputs may differ by "
        f"{manifest.golden_tolerance:g} of max(1, |expected|), labels not at all."
    )


def _candidates(candidates: Sequence[Candidate]) -> str:
    header = ["candidate", "bytes", "us, 1 row", "us, 256 rows", "metric", "agreement", "verdict", "why"]
    measured = [each for each in candidates if each.bytes is not None]
    table = _table(header, [[*numbers(each), each.verdict, each.reason] for each in measured])
    others = by_reason([each for each in candidates if each.bytes is None])
    return "\n".join([table, *(f"\n{', '.join(names)}: {reason}." for names, _, reason in others)])


def _limits(manifest: Manifest) -> str:
    limits = [
        "Outside the ranges of its channels nothing is known about the model's answers.",
        "Latencies are medians on the exporting machine, on one thread; a device is slower, and its ratios differ.",
    ]
    if manifest.candidate == "int8-dynamic":
        limits.append(
            "The scale of its activations is that of the whole batch: a row's answer may depend a little "
            "on the rows that it is computed with."
        )
    return "\n".join(f"- {limit}" for limit in limits)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
