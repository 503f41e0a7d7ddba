"""onnxruntime's own quantizers on what skl2onnx writes, as their documentation shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16

from lineside_benchmarks.export import programs
from lineside_benchmarks.export.programs import NotWritten, Written
from lineside_benchmarks.export.subjects import Subject
from lineside_export.convert import INPUT

_CALIBRATION_ROWS = 200


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self._rows: Iterator[NDArray[np.float32]] = iter(inputs[:, None, :])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        row = next(self._rows, None)
        return None if row is None else {INPUT: row}


def dynamic(subject: Subject, folder: Path) -> Written:
    """`quantize_dynamic` with its defaults."""

    def quantize(before: Path, after: Path) -> None:
        quantization.quantize_dynamic(before, after)

    return _quantized(subject, folder, quantize)


def static(subject: Subject, folder: Path) -> Written:
    """`quantize_static` with its defaults (QDQ), calibrated on 200 rows."""

    def quantize(before: Path, after: Path) -> None:
        quantization.quantize_static(before, after, _Reader(subject.rows.inputs[:_CALIBRATION_ROWS]))

    return _quantized(subject, folder, quantize)


def float16(subject: Subject, folder: Path) -> Written:
    """`convert_float_to_float16`, inputs and outputs kept."""

    def quantize(before: Path, after: Path) -> None:
        onnx.save(convert_float_to_float16(onnx.load(before), keep_io_types=True), after)

    return _quantized(subject, folder, quantize)


def _quantized(subject: Subject, folder: Path, quantize: Callable[[Path, Path], Any]) -> Written:
    plain = programs.skl2onnx(subject, folder)
    before, after = folder / "before.onnx", folder / "after.onnx"
    before.write_bytes(plain.graph or b"")
    after.unlink(missing_ok=True)
    try:
        quantize(before, after)
    except Exception as error:  # they raise anything
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotWritten(f"fails: {text[:90]}") from error
    graph = after.read_bytes()
    unchanged = programs.operators(graph) == programs.operators(plain.graph or b"")
    assert plain.outputs is not None
    return programs.onnx_program(graph, plain.outputs, "changes nothing" if unchanged else "")
