"""A store's answers on a terminal: tables through rich, or JSON, one object a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lineside_collector.gaps import Gaps
from lineside_collector.queries import Device, RejectedMessage
from lineside_collector.stored import StoredEvent, StoredPrediction
from lineside_contract.plurals import plural

_STATE_STYLES = {"online": "green", "stopped": "yellow", "offline": "red"}

# A terminal's table with more rows than this helps nobody, and takes minutes to lay out.
_MOST_ROWS = 200


def print_json(answers: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    for answer in answers:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


def print_devices(devices: list[Device], rejected: int) -> None:
    """Print what is known of each device, in a table."""
    now = time.time_ns() // 1_000_000
    table = _table("DEVICE", "STATE", "HEARD", "MODEL", "MESSAGES", "REPEATED", "WAITING", "DROPPED", "BOOTS")
    for one in devices:
        beat = one.heartbeat
        table.add_row(
            _plain(one.device),
            Text(one.state or "unknown", _STATE_STYLES.get(one.state or "", "")),
            f"{_span(now - one.last_seen)} ago",
            _plain(f"{one.model or ''} {one.model_version or ''}".strip()),
            f"{one.messages:,}",
            f"{one.repeated:,}",
            "" if beat is None else f"{beat.outbox_messages:,}",
            "" if beat is None else f"{beat.dropped:,}",
            str(one.boots),
        )
    if devices:
        _print(table)
    else:
        print_nothing_yet()
    if rejected:
        _print(f"{plural(rejected, 'message')} could not be read: see `lineside collector rejected`.")


def print_nothing_yet() -> None:
    """Say that a store is empty."""
    _print("No device has sent anything yet.")


def print_predictions(predictions: Iterable[StoredPrediction]) -> None:
    """Print predictions as lines, so that they can be piped and followed."""
    for one in predictions:
        print(
            f"{utc(one.ts)}  {_safe(one.device)}  {_safe(one.boot)}:{one.seq}  {_safe(_answer(one))}"
            f"{'  (late)' if one.replayed else ''}"
        )
    sys.stdout.flush()


def print_events(events: Iterable[StoredEvent]) -> None:
    """Print events as lines."""
    for one in events:
        about = " ".join(part for part in (one.event, one.sensor or "", one.detail) if part)
        print(f"{utc(one.ts)}  {_safe(one.device)}  {_safe(one.boot)}:{one.seq}  {_safe(about)}")


def print_gaps(gaps: list[Gaps], waiting: dict[str, int]) -> None:
    """Print what is not there, and a sentence that sums it up. `waiting`: what each device says that it still has."""
    table = _table("DEVICE", "BOOT", "WHAT", "FIRST", "LAST", "COUNT")
    rows = [
        (one, what, first, last)
        for one in gaps
        for what, ranges in _kinds(one).items()
        for first, last in ranges
    ]
    for one, what, first, last in rows[:_MOST_ROWS]:
        style = "red" if what == "missing" else ""
        cells = (_plain(one.device), _plain(one.boot), Text(what, style))
        table.add_row(*cells, f"{first:,}", f"{last:,}", f"{last - first + 1:,}")
    if table.row_count:
        _print(table)
    if len(rows) > _MOST_ROWS:
        _print(
            f"... and {plural(len(rows) - _MOST_ROWS, 'more range')}: `lineside collector gaps --json` has them all."
        )
    totals = {
        what: sum(_count(_kinds(one)[what]) for one in gaps) for what in ("missing", "dropped", "unwritten")
    }
    received = sum(one.received for one in gaps)
    _print(
        f"{plural(received, 'message')} received of {plural(len({one.device for one in gaps}), 'device')}:"
        f" {totals['missing']:,} missing, {totals['dropped']:,} dropped by the device,"
        f" {totals['unwritten']:,} lost with its power."
    )
    for device in sorted({one.device for one in gaps if one.missing}):
        if waiting.get(device):
            _print(
                f"{_safe(device)} still has {plural(waiting[device], 'message')} to send:"
                " what is missing may be among them."
            )


def print_rejected(rejected: list[RejectedMessage]) -> None:
    """Print messages that could not be understood."""
    for one in rejected:
        print(
            f"{utc(one.received_ts)}  {_safe(one.topic)}  {_safe(one.reason)}\n    {_safe(one.payload[:200])}"
        )
    if not rejected:
        print("Every message could be read.")


def utc(ms: int) -> str:
    """Return a time as `2026-01-31 12:00:00.000`, in UTC."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(ms)  # a device with a broken clock


def _answer(one: StoredPrediction) -> str:
    if one.label is not None:
        share = "" if one.probability is None else f"  {one.probability:.3f}"
        score = "" if one.score is None else f"  score {one.score:.4g}"
        return f"{one.label}{share}{score}"
    if one.value is not None:
        return f"{one.value:.6g}"
    named = one.values or one.scores or one.probabilities or {}
    return "  ".join(f"{name} {'-' if cell is None else format(cell, '.6g')}" for name, cell in named.items())


def _kinds(one: Gaps) -> dict[str, list[tuple[int, int]]]:
    return {"missing": one.missing, "dropped": one.dropped, "unwritten": one.unwritten}


def _count(ranges: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        number = name in ("MESSAGES", "REPEATED", "WAITING", "DROPPED", "BOOTS", "FIRST", "LAST", "COUNT")
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def _print(what: Table | str) -> None:
    # A pipe has no width: nothing may be cut off for it.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 240)
    console.print(what, soft_wrap=isinstance(what, str))


def _plain(text: str) -> Text:
    return Text(_safe(text))


def _safe(text: str) -> str:
    """Return text that cannot move the cursor or colour the terminal: it came from a device."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _span(ms: int) -> str:
    seconds = max(0, ms) // 1000
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
