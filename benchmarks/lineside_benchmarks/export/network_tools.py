"""What quantizers make of a network from elsewhere: onnxruntime's own with their defaults, and Lineside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from lineside_benchmarks.export.network_files import RATE_HZ, Real
from lineside_benchmarks.export.programs import NotWritten
from lineside_contract.manifest import Window
from lineside_export.convert import INPUT
from lineside_export.export import export
from lineside_export.quantize.source import quiet
from lineside_export.settings import Settings

ORIGINAL, OURS = "the file itself", "lineside"


class Quantized(NamedTuple):
    """What a tool wrote. `answer` maps rows (n, features) to the probability of the last class, (n, 1)."""

    size: int
    answer: Callable[[NDArray[np.float32]], NDArray[Any]]
    note: str = ""


Writer: TypeAlias = Callable[[Real, Path, NDArray[np.float32], Path], Quantized]


def _original(real: Real, file: Path, _: NDArray[np.float32], __: Path) -> Quantized:
    return _program(real, file.read_bytes())


def _dynamic(real: Real, file: Path, _: NDArray[np.float32], folder: Path) -> Quantized:
    return _rival(real, file, folder, quantization.quantize_dynamic)


def _static(real: Real, file: Path, given: NDArray[np.float32], folder: Path) -> Quantized:
    def quantize(before: Path, after: Path) -> None:
        quantization.quantize_static(before, after, _Reader(real, file, given))

    return _rival(real, file, folder, quantize)


def _prepared(real: Real, file: Path, given: NDArray[np.float32], folder: Path) -> Quantized:
    def quantize(before: Path, after: Path) -> None:
        prepared = folder / "prepared.onnx"
        try:
            quant_pre_process(before, prepared)
        except Exception:  # symbolic shape inference, which leads off, fails for many networks
            quant_pre_process(before, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(prepared, after, _Reader(real, file, given))

    return _rival(real, file, folder, quantize)


def _float16(real: Real, file: Path, _: NDArray[np.float32], folder: Path) -> Quantized:
    def quantize(before: Path, after: Path) -> None:
        onnx.save(convert_float_to_float16(onnx.load(before), keep_io_types=True), after)

    return _rival(real, file, folder, quantize)


def _lineside(real: Real, file: Path, given: NDArray[np.float32], folder: Path) -> Quantized:
    data = folder / "rows.csv"
    table = given.reshape(-1, 1) if real.window > 1 else given
    names = ",".join(f"channel_{index}" for index in range(table.shape[1]))
    np.savetxt(data, table, fmt="%.9g", delimiter=",", header=names, comments="")
    settings = Settings(
        model=file,
        data=data,
        name="network",
        version="1.0.0",
        meaning=real.meaning,
        window=Window(length=real.window, hop=real.window),
        dry_run=True,
    )
    exported = export(settings)
    graph = exported.chosen.model or b""
    session = _session(graph)

    def answer(rows: NDArray[np.float32]) -> NDArray[Any]:
        columns: NDArray[Any] = session.run(None, {INPUT: rows})[-1]
        return columns[:, -1:]

    return Quantized(len(graph), answer, exported.manifest.candidate)


TOOLS: dict[str, Writer] = {
    ORIGINAL: _original,
    "quantize_dynamic": _dynamic,
    "quantize_static": _static,
    "quant_pre_process, quantize_static": _prepared,
    "float16": _float16,
    OURS: _lineside,
}


def _rival(real: Real, file: Path, folder: Path, quantize: Callable[[Path, Path], Any]) -> Quantized:
    after = folder / "after.onnx"
    after.unlink(missing_ok=True)
    try:
        with quiet():
            quantize(file, after)
    except Exception as error:  # they raise anything
        raise NotWritten(f"fails: {_first_line(error)}") from error
    return _program(real, after.read_bytes())


def _program(real: Real, graph: bytes) -> Quantized:
    session = _session(graph)
    wanted = real.meaning.output or session.get_outputs()[0].name

    def answer(rows: NDArray[np.float32]) -> NDArray[Any]:
        columns: NDArray[Any] = session.run([wanted], _feeds(real, session, rows))[0]
        return columns[:, -1:]

    return Quantized(len(graph), answer)


def _feeds(real: Real, session: Any, rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return what a file with a state and a rate takes beside its rows."""
    feeds: dict[str, NDArray[Any]] = {session.get_inputs()[0].name: rows.reshape(len(rows), *real.shape)}
    if real.state is not None:
        layers, units = real.state
        feeds |= {"state": np.zeros((layers, len(rows), units), np.float32), "sr": np.array(RATE_HZ)}
    return feeds


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise NotWritten(f"does not load: {_first_line(error)}") from error


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, real: Real, file: Path, given: NDArray[np.float32]) -> None:
        session = _session(file.read_bytes())
        self._rows: Iterator[Any] = (_feeds(real, session, row[None]) for row in given)

    def get_next(self) -> Any:
        return next(self._rows, None)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:90]
