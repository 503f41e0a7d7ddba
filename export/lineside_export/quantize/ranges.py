"""The range of every activation around the layers, over the user's rows, found in several ways."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from lineside_export.convert import INPUT
from lineside_export.quantize.layers import LAYERS

# Entropy and percentile cut off what is rarely reached: Wu et al., "Integer Quantization for Deep Learning
# Inference", 2020, section 4.2 (arxiv.org/abs/2004.09602).
CALIBRATIONS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
_PERCENTILE = 99.9


def find(graph: onnx.ModelProto, rows: NDArray[np.float32], calibration: str) -> Any:
    """Return the ranges as onnxruntime's TensorsData; calibration: a key of CALIBRATIONS.

    Raises what onnxruntime does: the histograms of some activations have no entropy.
    """
    with tempfile.TemporaryDirectory(prefix="lineside-") as folder:
        source, augmented = (Path(folder) / name for name in ("source.onnx", "augmented.onnx"))
        onnx.save(graph, source)
        calibrator = create_calibrator(
            source,
            list(LAYERS),
            augmented_model_path=str(augmented),
            calibrate_method=CALIBRATIONS[calibration],
            extra_options={"percentile": _PERCENTILE} if calibration == "percentile" else {},
        )
        calibrator.collect_data(_Reader(rows))
        return calibrator.compute_data()


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Gives all rows at once: the histograms fail on batches of different sizes."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._batches = iter([{INPUT: rows}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
