"""What a bundle says of itself, as words and cells for whatever shows them. It needs no more than a device has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lineside_contract.bundle import Bundle
from lineside_contract.manifest import Candidate, Channel, Manifest
from lineside_contract.signature import signatures_of

CHANNELS = ["channel", "unit", "minimum", "maximum", "mean", "std"]
CANDIDATES = ["candidate", "bytes", "us/1", "us/256", "metric", "agreement"]
# A table has no room for more.
_SHOWN_TEXTS = 6


def as_json(manifest: Manifest) -> str:
    """Return a manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()


def facts(bundle: Bundle, name: str) -> Iterator[tuple[str, str]]:
    """Return what a bundle with this file name holds, as names and texts."""
    manifest = bundle.manifest
    yield "model", f"{manifest.name} {manifest.version}, made {manifest.created}"
    yield "task", f"{manifest.task} by {manifest.estimator}, as {manifest.candidate}"
    if manifest.outputs.classes:
        yield "labels", ", ".join(map(str, manifest.outputs.classes))
    if manifest.outputs.targets:
        yield "values", ", ".join(manifest.outputs.targets)
    if manifest.window.length > 1:
        yield "window", f"{manifest.window.length} readings, every {manifest.window.hop}"
    if manifest.sampling_rate_hz:
        yield "rate", f"{manifest.sampling_rate_hz:g} Hz"
    if manifest.metric_original is not None and manifest.metric_exported is not None:
        yield (
            manifest.metric,
            f"{manifest.metric_exported:.4f} (original: {manifest.metric_original:.4f}) "
            f"on {manifest.rows_held_back} rows",
        )
    yield "files", ", ".join(f"{name} {entry.bytes:,} bytes" for name, entry in manifest.files.items())
    yield "made with", ", ".join(f"{name} {number}" for name, number in manifest.made_with.items())
    yield "signed", _signed(bundle, name)


def _signed(bundle: Bundle, name: str) -> str:
    if bundle.signature is None:
        return "by nobody"
    keys = ", ".join(repr(each.keyid[:16]) for each in signatures_of(bundle, name))
    return f"with key id {keys}; `lineside verify` tells whether with a key of yours"


def channel(each: Channel) -> list[str]:
    """Return a channel's cells: what `CHANNELS` names."""
    values = [each.minimum, each.maximum, each.mean, each.std]
    return [each.name, unit(each), *("-" if value is None else f"{value:.6g}" for value in values)]


def unit(channel: Channel) -> str:
    """Return a channel's unit, or that it is text, and which."""
    texts = channel.categories
    if not texts:
        return channel.unit
    more = f", ... ({len(texts)} in all)" if len(texts) > _SHOWN_TEXTS else ""
    return f"text: {', '.join(texts[:_SHOWN_TEXTS])}{more}"


def numbers(candidate: Candidate) -> list[str]:
    """Return a candidate's name and numbers as text, what `CANDIDATES` names; one that there is not is a dash."""
    formats = [
        (candidate.bytes, "{:,}"),
        (candidate.latency_1_us, "{:.1f}"),
        (candidate.latency_256_us, "{:.0f}"),
        (candidate.metric, "{:.4f}"),
        (candidate.agreement, "{:.4f}"),
    ]
    return [candidate.name, *("-" if value is None else form.format(value) for value, form in formats)]


def by_reason(candidates: Sequence[Candidate]) -> list[tuple[list[str], str, str]]:
    """Return the names of candidates with the same verdict for the same reason, the verdict and the reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for candidate in candidates:
        found.setdefault((candidate.verdict, candidate.reason.rstrip(".")), []).append(candidate.name)
    return [(names, verdict, reason) for (verdict, reason), names in found.items()]


def legend(manifest: Manifest) -> str:
    """Return what the candidates' columns mean."""
    return f"metric: {manifest.metric}; us/1, us/256: median microseconds for 1 row and for 256 at once"
