"""Features of sensor windows: computed while training as they are in the graph on the device."""

from __future__ import annotations

from lineside_export.features.transformer import WindowFeatures

__all__ = ["WindowFeatures"]
