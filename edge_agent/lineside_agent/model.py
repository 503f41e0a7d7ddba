"""A bundle's model, loaded and tried: the code that judges a bundle when it is made and runs it afterwards."""

from __future__ import annotations

import io
import math
import zipfile
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lineside_contract.bundle import GOLDEN, MODEL, Bundle
from lineside_contract.errors import BundleError
from lineside_contract.manifest import Manifest, Outputs

# A graph's outputs, in the order of the fields of Answers.
_FIELDS = ("label", "probabilities", "values", "scores")


class Answers(NamedTuple):
    """What a model says about n inputs. A field that its task does not have is None.

    label: int64 or str, shape (n,). probabilities: float32 (n, classes). values: float32 (n, targets).
    scores: float32 (n, k).
    """

    label: NDArray[Any] | None
    probabilities: NDArray[np.float32] | None
    values: NDArray[np.float32] | None
    scores: NDArray[np.float32] | None


class Model:
    """An onnxruntime session that knows what its outputs mean. Not for use by several threads at once."""

    def __init__(self, model: bytes, input_name: str, outputs: Outputs, *, threads: int = 1) -> None:
        """Load a model. Raises BundleError if onnxruntime will not have it, or if it lacks a named output.

        `threads` is set rather than left to onnxruntime, whose own pool spins, and leaves the cores that
        the process was given.
        """
        self._session = _session(model, threads)
        graph = {output.name for output in self._session.get_outputs()}
        named = [getattr(outputs, field) for field in _FIELDS]
        self._names = [name for name in named if name is not None]
        # Where each field stands among what the session returns; after the last one, where it has none.
        places = count()
        self._fields = itemgetter(*(-1 if name is None else next(places) for name in named))
        if missing := set(self._names) - graph:
            raise BundleError(f"The model has no output {', '.join(sorted(missing))}.")
        self._input = input_name

    @classmethod
    def open(cls, bundle: Bundle, *, threads: int = 1) -> Model:
        """Load a bundle's model and let it answer the golden rows. Raises BundleError if it answers wrong."""
        manifest = bundle.manifest
        model = cls(bundle.files[MODEL], manifest.input, manifest.outputs, threads=threads)
        inputs, expected = read_golden(bundle.files[GOLDEN])
        features = manifest.window.length * len(manifest.channels)
        if inputs.ndim != 2 or inputs.shape[1] != features:
            raise BundleError(
                f"The golden rows have shape {inputs.shape}; the model takes {features} values."
            )
        try:
            found = model.predict(inputs)
        except Exception as error:  # onnxruntime's errors share no base class
            raise BundleError(
                f"The model {manifest.name} {manifest.version} fails at its own golden rows: {_first_line(error)}"
            ) from error
        if difference := first_difference(found, expected, manifest):
            raise BundleError(
                f"The model {manifest.name} {manifest.version} does not give its own golden answers here: "
                f"{difference}.",
                hint="Do not use it on this device; export it again, or as float32.",
            )
        return model

    def predict(self, inputs: NDArray[np.float32]) -> Answers:
        """Answer inputs of shape (n, features), float32, C-contiguous."""
        found = self._session.run(self._names, {self._input: inputs})
        label, probabilities, values, scores = self._fields([*found, None])
        if label is not None and label.ndim != 1:
            label = label.reshape(-1)
        return Answers(label, probabilities, _columns(values), _columns(scores))


def without_label(answers: Answers) -> list[int]:
    """Return the rows to which the model has no answer, although its graph names a label.

    Of probabilities or scores that are NaN, ArgMax and comparisons make the first class all the same.
    """
    given = answers.scores if answers.probabilities is None else answers.probabilities
    if answers.label is None or given is None:
        return []
    least = np.minimum.reduce(given, axis=None, initial=0.0)  # NaN if one is: nearly always none is
    return np.flatnonzero(np.isnan(given).any(axis=1)).tolist() if math.isnan(least) else []


def write_golden(inputs: NDArray[np.float32], answers: Answers) -> bytes:
    """Return the golden rows of a bundle: inputs, and what the model that goes into it answers."""
    arrays = {name: value for name, value in answers._asdict().items() if value is not None}
    if answers.label is not None and answers.label.dtype == object:
        arrays["label"] = answers.label.astype(str)  # an object array could only be pickled
    buffer = io.BytesIO()
    np.savez(buffer, inputs=inputs, **arrays)
    return buffer.getvalue()


def read_golden(data: bytes) -> tuple[NDArray[np.float32], Answers]:
    """Read golden rows. Raises BundleError, also for what no export writes: it would fail later, or never end."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("they are packed a second time")  # into any size, perhaps
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            inputs = arrays["inputs"]
            expected = Answers(*(arrays[field] if field in arrays else None for field in _FIELDS))
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise BundleError(f"The golden rows cannot be read: {error}.") from error
    if inputs.dtype != np.float32 or not len(inputs):
        raise BundleError(
            f"The golden rows are {len(inputs)} of {inputs.dtype}; they must be float32, at least one."
        )
    for field, values in expected._asdict().items():
        if values is not None and values.dtype.kind not in ("iU" if field == "label" else "f"):
            raise BundleError(f"The golden {field} cannot be {values.dtype}.")
    return inputs, expected


def first_difference(answers: Answers, expected: Answers, manifest: Manifest) -> str:
    """Say in which row and output answers first differ from the expected ones, or nothing."""
    for field, got, want in zip(_FIELDS, answers, expected, strict=True):
        if got is None or want is None:
            if got is not want:
                return f"one of the two has no {field}"
            continue
        if got.shape != want.shape:
            return f"{field} has shape {got.shape} instead of {want.shape}"
        wrong = got != want if field == "label" else _beyond(got, want, manifest.golden_tolerance)
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            return f"in row {row}, {field} is {got[row].tolist()} instead of {want[row].tolist()}"
    return ""


def _beyond(got: NDArray[np.float32], want: NDArray[np.float32], tolerance: float) -> NDArray[np.bool_]:
    close: NDArray[np.bool_] = np.isclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)
    return ~close


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about how the graph was written
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class
        raise BundleError(
            f"onnxruntime {onnxruntime.__version__} cannot load the model: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _columns(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return values if values is None or values.ndim != 1 else values.reshape(-1, 1)
