"""What a network's file does not say: what its numbers mean, and how a window lies in its input."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Layout: TypeAlias = Literal["channels-first", "channels-last"]
NetworkTask: TypeAlias = Literal["classification", "regression", "outlier"]


class Meaning(NamedTuple):
    """What the user says about a network.

    task: None if it shows by itself. classes: in the order of the outputs. logits: its outputs become probabilities
    by softmax, or by the logistic function if there is one. layout: of an input with an axis of time and one of
    channels. threshold: above which score an input is an outlier. output: the name of the output that answers.
    shape: of one input, where the file does not tell it: a PyTorch module, or an ONNX file with open sizes.
    constants: what fills inputs that take no readings, by name.
    """

    task: NetworkTask | None = None
    classes: tuple[str, ...] = ()
    logits: bool = False
    layout: Layout | None = None
    threshold: float | None = None
    output: str | None = None
    shape: tuple[int, ...] = ()
    constants: tuple[tuple[str, float], ...] = ()
