"""Compilers of trees: treelite with TL2cgen, and m2cgen, by gcc as their documentation says; lleaves, by LLVM.

All are optional: `pip install 'lineside[bench-peers]'`, and gcc.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_benchmarks.export.programs import NotWritten, Written
from lineside_benchmarks.export.subjects import Subject
from lineside_export.schema import describe

# Whoever waits longer than this for one model would not.
_MOST_SECONDS = 90


def treelite(subject: Subject, folder: Path) -> Written:
    """Compile with treelite and TL2cgen (tl2cgen.readthedocs.io), in eight parts as they advise for forests."""
    library = _installed("treelite")
    compiler = _installed("tl2cgen")
    path = folder / "treelite.so"
    started = time.perf_counter()
    try:
        model = _treelite_model(library, subject.model)
        export = partial(compiler.export_lib, model, params={"parallel_comp": 8}, verbose=False)
        _in_time(partial(export, toolchain="gcc", libpath=str(path)))
        predictor = compiler.Predictor(str(path), nthread=1, verbose=False)
    except NotWritten:
        raise
    except Exception as error:  # their errors are of many kinds
        raise NotWritten(str(error).splitlines()[0][:120]) from error

    def answer(rows: NDArray[np.float32]) -> Any:
        return predictor.predict(compiler.DMatrix(rows))

    return Written(path.stat().st_size, answer, note=_compiled(started))


def _in_time(compile_: Callable[[], Any]) -> None:
    """Do it in a process of its own, and end that, with the compilers it started, when it takes too long."""

    def alone() -> None:
        os.setsid()
        compile_()

    process = multiprocessing.get_context("fork").Process(target=alone)
    process.start()
    process.join(_MOST_SECONDS)
    if process.is_alive() and process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
        raise NotWritten(f"gcc was not done after {_MOST_SECONDS} s")
    if process.exitcode:
        raise NotWritten("it failed to compile it")


def _treelite_model(library: Any, model: Any) -> Any:
    if hasattr(model, "booster_"):
        return library.frontend.from_lightgbm(model.booster_)
    return library.sklearn.import_model(model)


def m2cgen(subject: Subject, folder: Path) -> Written:
    """Write C with m2cgen (github.com/BayesWitnesses/m2cgen), compile it, and call it row by row from C."""
    writer = _installed("m2cgen")
    started = time.perf_counter()
    try:
        code = writer.export_to_c(subject.model)
    except (NotImplementedError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotWritten(str(error).splitlines()[0][:120]) from error
    width = _outputs(subject)
    library = _compile(code + _loop(width), folder)
    note = _compiled(started)
    doubles = ctypes.POINTER(ctypes.c_double)

    def answer(rows: NDArray[np.float32]) -> Any:
        wide = rows.astype(np.float64)
        found = np.empty((len(rows), width))
        library.score_rows(
            wide.ctypes.data_as(doubles),
            ctypes.c_long(len(rows)),
            ctypes.c_long(rows.shape[1]),
            found.ctypes.data_as(doubles),
        )
        return found

    return Written((folder / "m2cgen.so").stat().st_size, answer, note=note)


def lleaves(subject: Subject, folder: Path) -> Written:
    """Compile a LightGBM model with lleaves (lleaves.readthedocs.io)."""
    compiler = _installed("lleaves")
    if not hasattr(subject.model, "booster_"):
        raise NotWritten("is for LightGBM only")
    text, compiled = folder / "lleaves.txt", folder / "lleaves.o"
    subject.model.booster_.save_model(str(text))
    started = time.perf_counter()
    program = compiler.Model(model_file=str(text))
    try:
        program.compile(cache=str(compiled))
    except Exception as error:  # lleaves 1.3 wants an older llvmlite than pip installs
        raise NotWritten(f"does not compile here: {str(error)[:90]}") from error

    def answer(rows: NDArray[np.float32]) -> Any:
        return program.predict(rows, n_jobs=1)

    return Written(compiled.stat().st_size, answer, note=_compiled(started))


def _outputs(subject: Subject) -> int:
    schema = describe(subject.model)
    return len(schema.classes) if schema.probabilities else 1


def _loop(width: int) -> str:
    """Return C that answers many rows: m2cgen's own function takes one."""
    call = "score(rows + i * columns, out + i * %d)" if width > 1 else "out[i] = score(rows + i * columns)"
    call = call % width if width > 1 else call
    return (
        "\nvoid score_rows(double *rows, long count, long columns, double *out) {"
        f" for (long i = 0; i < count; i++) {call}; }}\n"
    )


def _compile(code: str, folder: Path) -> Any:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NotWritten("gcc is not installed")
    source, library = folder / "m2cgen.c", folder / "m2cgen.so"
    source.write_text(code)
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotWritten(f"gcc was not done after {_MOST_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NotWritten(error.stderr.decode(errors="replace").splitlines()[0][:120]) from error
    return ctypes.CDLL(str(library))


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotWritten("not installed") from error


def _compiled(started: float) -> str:
    return f"{time.perf_counter() - started:.0f} s to compile"
