"""Put a bundle together: its manifest and its files."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from platform import machine, python_version
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from lineside_agent.model import Model
from lineside_contract.errors import InputError
from lineside_contract.manifest import Candidate, Channel, Manifest, Outputs
from lineside_export import boosters, golden
from lineside_export.candidates import FLOAT_ARITHMETIC
from lineside_export.convert import INPUT
from lineside_export.golden import Golden
from lineside_export.measure import Measured, Truth
from lineside_export.networks.network import Network
from lineside_export.settings import Destination, Settings
from lineside_export.subject import Subject
from lineside_export.trees.write import taken_apart

_PACKAGES = ("lineside", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")


class Judgement(NamedTuple):
    """The candidates with their verdicts, the one that was chosen, and the original's metric."""

    candidates: list[Candidate]
    chosen: Measured
    outputs: Outputs
    original: float


def make_golden(subject: Subject, judgement: Judgement, plain: Measured, truth: Truth) -> Golden:
    """Choose the golden rows among the held-back ones, for the chosen candidate."""
    if judgement.chosen.model is None:
        raise InputError("No candidate is left.")
    model = Model(judgement.chosen.model, INPUT, judgement.outputs)
    steady = plain.answers if judgement.chosen.candidate.name not in FLOAT_ARITHMETIC else None
    if isinstance(subject.model, Network) and subject.model.quantized:
        steady = subject.model.steady(truth.inputs)
    return golden.choose(model, truth.inputs, steady, subject.schema.task, subject.schema.threshold)


def make_manifest(
    subject: Subject, settings: Settings, where: Destination, judgement: Judgement, truth: Truth
) -> Manifest:
    """Say everything about the chosen candidate that a device, and a person, must know."""
    chosen = next(each for each in judgement.candidates if each.verdict == "chosen")
    return Manifest(
        name=where.name,
        version=where.version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task=subject.schema.task,
        estimator=subject.schema.estimator,
        input=INPUT,
        channels=_channels(subject, settings),
        outputs=judgement.outputs,
        window=settings.window,
        sampling_rate_hz=settings.rate_hz,
        metric=truth.metric.name if truth.metric else "agreement with the original",
        metric_original=judgement.original,
        metric_exported=chosen.metric,
        candidate=chosen.name,
        candidates=judgement.candidates,
        tolerance=settings.rules.tolerance,
        rows_held_back=len(truth.inputs),
        made_with=_made_with() | boosters.made_with(taken_apart(subject.model)[1]),
    )


def _channels(subject: Subject, settings: Settings) -> list[Channel]:
    columns = subject.data.readings.T.astype(np.float64)
    return [
        _channel(replace(channel, unit=settings.units.get(channel.name, "")), values)
        for channel, values in zip(subject.channels, columns, strict=True)
    ]


def _channel(channel: Channel, values: NDArray[np.float64]) -> Channel:
    known = values[~np.isnan(values)]
    if not len(known) or channel.categories:
        return channel
    return replace(
        channel,
        minimum=float(known.min()),
        maximum=float(known.max()),
        mean=float(known.mean()),
        std=float(known.std()),
    )


def _made_with() -> dict[str, str]:
    found = {"python": python_version(), "machine": machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # Lineside run from its sources
            continue
    return found
