"""Whether the windows that a model's features were made for are those that it is exported for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lineside_contract.errors import InputError
from lineside_export.features.plan import Plan
from lineside_export.features.transformer import WindowFeatures
from lineside_export.trees.inside import parts


def check_window(model: Any, length: int, rate_hz: float | None) -> None:
    """Raise InputError if features inside a model are of other windows, or of readings at another rate."""
    for step, plan in _plans(model):
        if plan.length != length:
            raise InputError(
                f"The model's features are those of windows of {plan.length} readings, but the window is {length}.",
                hint=f"Export it with --window {plan.length}.",
            )
        if step.rate_hz is not None and step.rate_hz != rate_hz:
            said = "no rate is given" if rate_hz is None else f"the rate is {rate_hz:g} Hz"
            raise InputError(
                f"The model's features are those of readings at {step.rate_hz:g} Hz, but {said}.",
                hint=f"Export it with --rate-hz {step.rate_hz:g}.",
            )


def check_channels(model: Any, channels: Sequence[str]) -> None:
    """Raise InputError if features of all a model's channels were named after others than it is given."""
    for step, plan in _plans(model):
        named = not isinstance(step.channels, int | None)
        # Fewer of them stand behind a step that chooses columns.
        if named and len(plan.channels) == len(channels) and plan.channels != tuple(channels):
            raise InputError(
                f"The model's features are those of the channels {','.join(plan.channels)}, "
                f"but it is given {','.join(channels)}.",
                hint=f"Export it with --channels {','.join(plan.channels)}.",
            )


def _plans(model: Any) -> Iterator[tuple[WindowFeatures, Plan]]:
    for part in parts(model):
        if isinstance(part, WindowFeatures) and hasattr(part, "n_features_in_"):
            try:
                yield part, part.plan()
            except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
                raise InputError(f"The model's WindowFeatures cannot be used: {error}") from error
