"""XGBoost, LightGBM and CatBoost: their files read, their models asked, and their trees as an Ensemble.

file --files--> the library's model --adopt--> a model with scikit-learn's methods --ensemble--> trees/
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Protocol

from lineside_export.trees.ensemble import Ensemble

# By the top package of the model's class, which is also the name of the library's module here.
LIBRARIES = ("xgboost", "lightgbm", "catboost")


class Library(Protocol):
    """What one library's module says."""

    def ensemble(self, model: Any) -> Ensemble:
        """Return a model's trees. Raises InputError, with the reason, for one that trees cannot say."""

    def adopt(self, model: Any) -> Any:
        """Return a model with scikit-learn's methods, the same if it has them. Raises InputError."""

    def read(self, path: Path) -> Any:
        """Read the library's own file. Raises whatever the library raises."""


def library(model: Any) -> Library | None:
    """Return the module for the library that a model is of, or None."""
    name = type(original(model)).__module__.partition(".")[0]
    return by_name(name) if name in LIBRARIES else None


def by_name(name: str) -> Library:
    """Return a library's module. Raises ImportError if the library is not installed."""
    found: Library = importlib.import_module(f"{__name__}.{name}")
    return found


def original(model: Any) -> Any:
    """Return the library's own model behind an adopted one, or the model itself."""
    return getattr(model, "booster", model) if type(model).__module__ == f"{__name__}.adopted" else model


def trees(model: Any) -> Ensemble | None:
    """Return the trees of a model of one of the libraries, or None for any other. Raises InputError."""
    found = library(model)
    return None if found is None else found.ensemble(original(model))


def made_with(model: Any) -> dict[str, str]:
    """Return the library that a model is of, with its version; nothing for any other model."""
    name = type(original(model)).__module__.partition(".")[0]
    return {name: str(sys.modules[name].__version__)} if name in LIBRARIES else {}


def adopt(model: Any) -> Any:
    """Return a model whose boosters, if it has any, have scikit-learn's methods. Raises InputError."""
    if getattr(model, "steps", None):
        name, last = model.steps[-1]
        model.steps[-1] = (name, adopt(last))
        return model
    if hasattr(model, "best_estimator_"):
        model.best_estimator_ = adopt(model.best_estimator_)
        return model
    found = library(model)
    return model if found is None or original(model) is not model else found.adopt(model)
