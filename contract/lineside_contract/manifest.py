"""What a bundle says about its model: everything the device needs to feed it and to read its answers."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from lineside_contract.messages import Label

Task: TypeAlias = Literal["classification", "regression", "outlier", "clustering"]
FORMAT = 1


class Channel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input signal: its name, its unit and the range in which the training data lay.

    A channel of text has `categories`: a reading holds the index of its text among them, -1 for any other text,
    NaN for none. Which of these two the model has no answer to stands in `refuses`; such a reading is left out.
    """

    name: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    categories: list[str] = []
    refuses: list[Literal["unknown", "missing"]] = []


class Window(Struct, frozen=True, kw_only=True):
    """How many readings make one input of the model, and how many further on the next one begins."""

    length: int = 1
    hop: int = 1


class Outputs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which of the graph's outputs says what.

    label: shape (n,), class, cluster or 1/-1. probabilities: (n, classes). values: (n, targets).
    scores: (n,), (n, 1) or (n, k): decision function, distance to each cluster.
    `classes` are the labels in the order of the probabilities' columns; `targets` name the values' columns.
    """

    label: str | None = None
    probabilities: str | None = None
    values: str | None = None
    scores: str | None = None
    classes: list[Label] = []
    targets: list[str] = []


class Candidate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to write the model that the exporter measured, and why it was taken or dropped.

    Latencies are medians in microseconds on the exporting machine; `agreement` is the share of held-back
    rows with the same label as the original (regression: within tolerance).
    """

    name: str
    verdict: Literal["chosen", "kept", "dropped", "failed"]
    reason: str
    bytes: int | None = None
    latency_1_us: float | None = None
    latency_256_us: float | None = None
    metric: float | None = None
    agreement: float | None = None
    largest_difference: float | None = None


class FileEntry(Struct, frozen=True, kw_only=True):
    """Size and SHA-256 digest (hexadecimal) of one file in the bundle."""

    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """`manifest.json`.

    The model takes float32 of shape (n, window.length * channels): the readings of a window in order of
    time, each with its channels in order. `golden_tolerance` is how far, relative to max(1, |expected|), a
    device's answer to a golden row may lie from the exporter's.
    """

    format: int = FORMAT
    name: str
    version: str
    created: str
    task: Task
    estimator: str
    input: str
    channels: list[Channel]
    outputs: Outputs
    window: Window = Window()
    sampling_rate_hz: float | None = None
    metric: str = ""
    metric_original: float | None = None
    metric_exported: float | None = None
    candidate: str = "float32"
    candidates: list[Candidate] = []
    tolerance: float | None = None
    golden_tolerance: float = 1e-4
    rows_held_back: int = 0
    made_with: dict[str, str] = {}
    files: dict[str, FileEntry] = {}
