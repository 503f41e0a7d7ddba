"""Channels of text: a sensor's column becomes codes, and what the model has no answer to is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lineside_agent.sensors.sensor import Sensor, Translating
from lineside_contract.categories import UNKNOWN, Codes
from lineside_contract.manifest import Channel


def translate(sensor: Sensor, channels: Sequence[Channel], renames: Mapping[str, str]) -> None:
    """Let a sensor that reads text give the model's channels of text as codes; one of numbers gives codes itself.

    `renames` maps a sensor's column names to the model's channel names.
    """
    codes = {channel.name: Codes(channel.categories) for channel in channels if channel.categories}
    if not codes or not isinstance(sensor, Translating):
        return
    renamed = {column: codes[channel] for column, channel in renames.items() if channel in codes}
    sensor.translate({name: each for name, each in codes.items() if name not in renames} | renamed)


def refused(values: NDArray[np.float32], channels: Sequence[Channel]) -> NDArray[np.bool_]:
    """Tell which readings, shape (n, channels), hold a text that the model has no answer to."""
    found = np.zeros(len(values), bool)
    for column, channel in enumerate(channels):
        if "unknown" in channel.refuses:
            found |= values[:, column] == UNKNOWN
        if "missing" in channel.refuses:
            found |= np.isnan(values[:, column])
    return found
