"""Which parts of a graph are better left as they are: partial quantization.

Each part is stored in fewer bits alone, to see how much noise it makes in the outputs; those that make the most for
the bytes that they save are left out until there is little enough (section 6.1 of Wu et al., "Integer Quantization
for Deep Learning Inference", 2020, arxiv.org/abs/2004.09602, by signal to noise instead of accuracy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import onnx

from lineside_export.quantize.noise import share

# Parts are left out until the outputs are this much stronger than the noise, in dB.
ENOUGH = 25.0
_MOST_TRIES = 6


class Judged(NamedTuple):
    """A graph in fewer bits, its outputs' signal-to-noise ratio in dB, and the parts that were left out."""

    graph: onnx.ModelProto
    snr: float
    left_out: tuple[str, ...] = ()


class Ways(NamedTuple):
    """without: the graph with some parts left out. alone: the signal-to-noise ratio with one part in fewer bits."""

    without: Callable[[Sequence[str]], Judged]
    alone: Callable[[str], float]


def partly(sizes: Mapping[str, int], ways: Ways) -> Judged:
    """Return the graph with as many of its parts in fewer bits as leave ENOUGH signal, or else the clearest found.

    sizes: of each part, in what is saved. Raises what `ways` does.
    """
    best = ways.without(())
    if best.snr >= ENOUGH or len(sizes) < 2:
        return best
    noise = {name: share(ways.alone(name)) for name in sizes}
    order = sorted(sizes, key=lambda name: noise[name] / sizes[name], reverse=True)
    left, first = sum(noise.values()), 0
    while left > share(ENOUGH) and first < len(order) - 1:
        left -= noise[order[first]]
        first += 1
    # Noise does not quite add up: some parts more, until it is enough.
    for count in range(max(1, first), min(len(order), max(1, first) + _MOST_TRIES)):
        best = max(best, ways.without(order[:count]), key=lambda each: each.snr)
        if best.snr >= ENOUGH:
            break
    return best
