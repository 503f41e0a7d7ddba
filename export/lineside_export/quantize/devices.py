"""Which integer arithmetic the device's processor has, and which of it this machine can judge.

x86 without VNNI multiplies 8-bit numbers two at a time into 16 bits, which overflow (vpmaddubsw saturates): full
8-bit weights then answer otherwise than on ARM. 7-bit weights (`reduce_range`) are exact everywhere; onnxruntime
gives the same advice: onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "When and why do I
need to try U8U8?".
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import NamedTuple

_CPU_INFO = Path("/proc/cpuinfo")
_VNNI = re.compile(r"\b(avx512_vnni|avx_vnni)\b")


class Device(NamedTuple):
    """A kind of device. `arm`: integer products never overflow there; `dot`: it has instructions for sums of them."""

    arm: bool
    dot: bool


# auto: the bundle may go to any of them.
DEVICES = {
    "auto": Device(arm=False, dot=False),
    "x86": Device(arm=False, dot=True),
    "pi4": Device(arm=True, dot=False),  # Cortex-A72, Armv8.0
    "pi5": Device(arm=True, dot=True),  # Cortex-A76, Armv8.2 with SDOT and UDOT
    "zero2w": Device(arm=True, dot=False),  # Cortex-A53, Armv8.0
}


class Kernels(NamedTuple):
    """full_range: weights may use all 8 bits. signed: activations may be int8, else they are uint8.

    caution: what the latencies measured here do not say about the device.
    """

    full_range: bool
    signed: bool
    caution: str = ""


def kernels(device: str) -> Kernels:
    """Return what may be used for a device (a key of DEVICES), and judged here."""
    arm, dot = DEVICES[device]
    caution = f"a {device} has no int8 dot product: faster here than there" if arm and not dot else ""
    return Kernels(full_range=arm and exact_here(), signed=arm, caution=caution)


def exact_here() -> bool:
    """Tell whether this machine computes full-range int8 products as an ARM device does."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    try:
        return _VNNI.search(_CPU_INFO.read_text()) is not None
    except OSError:  # no Linux: nothing is known
        return False
