"""The page: what came of an export, from the verdict down to the card."""

from __future__ import annotations

from lineside_contract.manifest import Channel, Manifest
from lineside_export.export import Exported
from lineside_export.facts import numbers, unit
from lineside_export.report import answers, candidates, drift, graph, markdown
from lineside_export.report.markup import Markup, join, table, tag
from lineside_export.report.style import STYLE

# A browser that honours it loads nothing from anywhere and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(exported: Exported) -> str:
    """Return the report as one HTML document."""
    manifest = exported.manifest
    title = f"{manifest.name} {manifest.version}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title}: export report"),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", tag("header", tag("h1", title), _summary(exported)), *_sections(exported)))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _sections(exported: Exported) -> list[Markup]:
    manifest = exported.manifest
    drawn = tag("div", candidates.drawing(manifest.candidates, manifest.metric), class_="wide")
    return [
        _section("Candidates", join([drawn, _legend(manifest), _candidates(manifest)])),
        _section("Answers before and after", answers.section(exported)),
        _section("Difference by output", drift.section(exported)),
        _section("Channels", _channels(manifest)),
        _section("Operators in the graph", _operators(exported)),
        _section("Model card", tag("div", markdown.html(exported.card), class_="card")),
    ]


def _section(title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), content)


def _summary(exported: Exported) -> Markup:
    manifest = exported.manifest
    facts = [
        ("task", f"{manifest.task} by {manifest.estimator}"),
        ("written as", manifest.candidate),
        (
            manifest.metric,
            f"{_number(manifest.metric_exported)} (scikit-learn: {_number(manifest.metric_original)})",
        ),
        ("judged on", f"{manifest.rows_held_back:,} held-back rows"),
        ("model.onnx", f"{len(exported.chosen.model or b''):,} bytes"),
        ("made", manifest.created[:16].replace("T", " ") + " UTC"),
    ]
    listed = [tag("div", tag("dt", name), tag("dd", text)) for name, text in facts]
    notes = [tag("li", note) for note in exported.notes]
    return join([tag("dl", *listed), tag("ul", *notes, class_="notes") if notes else ""])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _legend(manifest: Manifest) -> Markup:
    return tag(
        "p",
        f"Beside each name its {manifest.metric} on the held-back rows. The ring marks the chosen one; "
        "hollow marks were dropped. Smaller and faster lies at the lower left; both axes are logarithmic.",
        class_="legend",
    )


def _candidates(manifest: Manifest) -> Markup:
    header = [
        "candidate",
        "bytes",
        "us, 1 row",
        "us, 256 rows",
        manifest.metric,
        "agreement",
        "verdict",
        "why",
    ]
    rows = [
        [
            tag("span", name, class_=each.verdict),
            *cells,
            tag("span", each.verdict, class_=each.verdict),
            each.reason,
        ]
        for each in manifest.candidates
        for name, *cells in [numbers(each)]
    ]
    return table(header, rows, kind="reasons")


def _channels(manifest: Manifest) -> Markup:
    parts = [
        table(
            ["channel", "unit", "minimum", "maximum", "mean", "std"],
            map(_channel, manifest.channels),
            kind="units",
        )
    ]
    window = manifest.window
    if window.length > 1:
        parts.append(
            tag("p", f"A window is {window.length} readings; the next one begins {window.hop} further on.")
        )
    if manifest.sampling_rate_hz:
        parts.append(tag("p", f"Sampled at {manifest.sampling_rate_hz:g} Hz."))
    return join(parts)


def _channel(channel: Channel) -> list[str]:
    values = [channel.minimum, channel.maximum, channel.mean, channel.std]
    return [channel.name, unit(channel), *("-" if each is None else f"{each:.6g}" for each in values)]


def _operators(exported: Exported) -> Markup:
    found = graph.operators(exported.chosen.model or b"")
    total = sum(count for *_, count in found)
    rows = [(name, domain, f"{count:,}") for name, domain, count in found]
    return table(["operator", "domain", "nodes"], rows, f"{total:,} nodes in model.onnx", kind="units")
