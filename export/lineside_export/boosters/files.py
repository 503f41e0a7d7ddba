"""The libraries' own model files: data, not code, so that they need no trust."""

from __future__ import annotations

import re
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
    tried = subprocess.run(
        [sys.executable, "-m", __name__, str(path), name], capture_output=True, check=False
    )
    if tried.returncode < 0:
        raise _damaged(path, name, "it crashes on it")
    try:
        return _read(path, name)
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of the library
        raise _damaged(path, name, (str(error).strip() or type(error).__name__).splitlines()[0]) from error


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
    model = _read(Path(sys.argv[1]), sys.argv[2])
    model.predict(np.zeros((2, model.n_features_in_)))
