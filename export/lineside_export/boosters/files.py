"""The libraries' own model files: data, not code, so that they need no trust."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lineside_contract.errors import InputError
from lineside_export.boosters import adopt, by_name, trees
from lineside_export.trees.inside import check_nodes

# How each library's files begin: XGBoost's JSON and UBJSON, LightGBM's text, CatBoost's own format.
_STARTS = (
    (re.compile(rb'\s*\{\s*"(learner|version)"'), "xgboost"),
    (re.compile(rb"\{[iIlL].{0,7}[\x07](learner|version)", re.DOTALL), "xgboost"),
    (re.compile(rb"tree\r?\nversion="), "lightgbm"),
    (re.compile(rb"CBM1"), "catboost"),
)
# What reading may take: the libraries themselves reserve 2 GB of addresses, and a model many times its file.
_MOST_BYTES, _BYTES_A_BYTE = 4 << 30, 50
_MOST_SECONDS, _SECONDS_A_BYTE = 60, 1e-6
_NO_MEMORY = 3
# So many first bytes of a file tell.
START_BYTES = 64


def library_of(start: bytes) -> str | None:
    """Return the library whose model file begins like this, or None."""
    return next((name for begins, name in _STARTS if begins.match(start)), None)


def read(path: Path, name: str) -> Any:
    """Read a library's model file as a model with scikit-learn's methods.

    Raises InputError if the library is missing, or if the file is damaged or holds what trees cannot say.
    """
    try:
        by_name(name)
    except ImportError as error:
        raise InputError(
            f"{path} is a model of {name}, which is not installed.", hint=f"pip install 'lineside[{name}]'."
        ) from error
    # A damaged file can crash the library's compiled code: let that happen to another process first.
    if (problem := _tried(path, name)) is not None:
        raise _damaged(path, name, problem)
    try:
        return _read(path, name)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of the library
        raise _damaged(path, name, (str(error).strip() or type(error).__name__).splitlines()[0]) from error


def _tried(path: Path, name: str) -> str | None:
    """Read and ask the model in another process, and return what went wrong beyond what Python could tell."""
    seconds = _MOST_SECONDS + _SECONDS_A_BYTE * path.stat().st_size
    command = [sys.executable, "-m", __name__, str(path), name]
    try:
        ended = subprocess.run(command, capture_output=True, check=False, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        return f"it was not done with it after {seconds:.0f} s"
    if ended == _NO_MEMORY:
        return "it wants more memory for it than a file of its size explains"
    return "it crashes on it" if ended < 0 else None


def _try(path: Path, name: str) -> int:
    most = _MOST_BYTES + _BYTES_A_BYTE * path.stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        model = _read(path, name)
        model.predict(np.zeros((2, model.n_features_in_)))
    except Exception as error:  # what Python can tell the reading process is told as well
        return _NO_MEMORY if isinstance(error, MemoryError) or "bad_alloc" in str(error) else 1
    return 0


def _read(path: Path, name: str) -> Any:
    model = adopt(by_name(name).read(path))
    found = trees(model)
    if found is not None:  # the libraries walk trees without looking, wherever these lead
        check_nodes(found.nodes, model.n_features_in_ + sum(each.sides.shape[1] for each in found.categories))
        if any(not 0 <= each.feature < model.n_features_in_ for each in found.categories):
            raise ValueError("a categorical split is of no feature")
    return model


def _damaged(path: Path, name: str, reason: str) -> InputError:
    return InputError(
        f"The model {path} cannot be loaded by {name}: {reason.rstrip('.')}.",
        hint="Is the file whole? Save the model again.",
    )


if __name__ == "__main__":
    sys.exit(_try(Path(sys.argv[1]), sys.argv[2]))
