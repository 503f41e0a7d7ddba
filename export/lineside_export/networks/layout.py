"""How a flat window (readings in order of time, each with its channels in order) becomes a network's input."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_export.networks.meaning import Layout
from lineside_export.rewrites.graph import Graph

_LAYOUTS: tuple[Layout, Layout] = ("channels-last", "channels-first")


class Arrangement(NamedTuple):
    """One input as the network takes it: its shape, and whether its channels come before its readings.

    Axes of one element do not count: (1, 3, 128) is channels first if (3, 128) is.
    """

    shape: tuple[int, ...]
    channels_first: bool = False

    @property
    def features(self) -> int:
        """How many values one input has."""
        return prod(self.shape)

    def arrange(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows (n, features) as the network's input (n, *shape)."""
        if self.channels_first:
            rows = rows.reshape(len(rows), *self._by_time).transpose(0, 2, 1)
        return np.ascontiguousarray(rows).reshape(len(rows), *self.shape)

    def write(self, graph: Graph, rows: str) -> str:
        """Add to a graph what `arrange` does, and return the result's name."""
        if self.channels_first:
            cut = graph.add("Reshape", rows, graph.constant(np.array([0, *self._by_time])))
            rows = graph.add("Transpose", cut, perm=[0, 2, 1])
            if self.shape == self._by_time[::-1]:
                return rows
        elif len(self.shape) == 1:
            return rows
        return graph.add("Reshape", rows, graph.constant(np.array([0, *self.shape])))

    @property
    def _by_time(self) -> tuple[int, int]:
        channels, length = (size for size in self.shape if size != 1)
        return length, channels


def arrangement(sizes: Sequence[int | None], length: int, layout: Layout | None) -> Arrangement:
    """Find how windows of `length` readings fill an input of these sizes; None is a size that is not fixed.

    Raises InputError if they do not, or if they do in two ways and `layout` does not say which.
    """
    axes = [axis for axis, size in enumerate(sizes) if size != 1]
    if length > 1 and len(axes) == 2:
        return _of_time(list(sizes), (axes[0], axes[1]), length, layout)
    if layout is not None:
        raise InputError(
            f"--layout is for a network whose input has an axis of time and one of channels, not {shown(sizes)}.",
            hint="Leave --layout out; or give --window, if one input is a window of readings.",
        )
    if length > 1 and len(axes) == 1 and sizes[axes[0]] is None:
        sizes = [length if size is None else size for size in sizes]  # one channel
    if None in sizes:
        raise InputError(
            f"The network's input {shown(sizes)} leaves open how many values it takes.",
            hint="Give --window, if one input is a window of readings; or the sizes: --input-shape "
            f"{','.join(str(size or 32) for size in sizes)}, or whatever it was trained with.",
        )
    if length > 1 and len(axes) > 2:
        raise InputError(
            f"The network's input {shown(sizes)} has more axes than time and channels.",
            hint="Leave --window out, and give rows of all its values.",
        )
    return Arrangement(tuple(size or 1 for size in sizes))


def _of_time(
    sizes: list[int | None], axes: tuple[int, int], length: int, layout: Layout | None
) -> Arrangement:
    fitting = {
        _LAYOUTS[index]: time
        for index, time in enumerate(axes)
        if sizes[time] in (length, None) and sizes[axes[1 - index]] is not None
    }
    if layout is not None:
        fitting = {name: time for name, time in fitting.items() if name == layout}
    if not fitting:
        said = f" as {layout}" if layout else ""
        raise InputError(
            f"Windows of {length} readings do not fill the network's input {shown(sizes)}{said}.",
            hint="Is --window the number of readings that it was trained on?",
        )
    if len(fitting) > 1:
        raise InputError(
            f"A window of {length} readings fills the network's input {shown(sizes)} in two ways.",
            hint=f"Say --layout {_LAYOUTS[0]} if the readings come first, each with its channels, or --layout "
            f"{_LAYOUTS[1]}.",
        )
    (name, time) = next(iter(fitting.items()))
    sizes[time] = length
    return Arrangement(tuple(size or 1 for size in sizes), name == "channels-first")


def shown(sizes: Sequence[Any]) -> str:
    """Write the sizes of an input, with n rows."""
    return f"(n, {', '.join('?' if size is None else str(size) for size in sizes)})"
