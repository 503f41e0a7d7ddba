"""Read a trained model from a file, without running code that somebody put into it."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from lineside_contract.errors import InputError
from lineside_export import boosters, searches
from lineside_export.boosters import files
from lineside_export.trees.inside import check_trees, parts

# Types of scikit-learn's own that skops leaves to the user. They hold numbers and names and run nothing when
# loaded; trees, whose numbers are used as addresses, are checked or built anew afterwards. Named one by one: a
# module is no answer for what it imports.
SCIKIT_LEARN_TYPES = frozenset(
    f"sklearn.{name}"
    for name in (
        "calibration._CalibratedClassifier",
        "calibration._SigmoidCalibration",
        "calibration._TemperatureScaling",
        "compose._column_transformer.make_column_selector",
        "ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "cluster._bisect_k_means._BisectingTree",
        "cluster._kmeans._kmeans_single_lloyd",
        "feature_selection._univariate_selection.chi2",
        "feature_selection._univariate_selection.f_classif",
        "feature_selection._univariate_selection.f_regression",
        "gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "gaussian_process.kernels.CompoundKernel",
        "gaussian_process.kernels.ConstantKernel",
        "gaussian_process.kernels.DotProduct",
        "gaussian_process.kernels.ExpSineSquared",
        "gaussian_process.kernels.Exponentiation",
        "gaussian_process.kernels.Matern",
        "gaussian_process.kernels.Product",
        "gaussian_process.kernels.RBF",
        "gaussian_process.kernels.RationalQuadratic",
        "gaussian_process.kernels.Sum",
        "gaussian_process.kernels.WhiteKernel",
        "metrics._classification.accuracy_score",
        "metrics._classification.balanced_accuracy_score",
        "metrics._classification.f1_score",
        "metrics._classification.fbeta_score",
        "metrics._classification.precision_score",
        "metrics._classification.recall_score",
        "metrics._scorer._CurveScorer",
        "metrics._scorer._PassthroughScorer",
        "metrics._scorer._Scorer",
        "model_selection._split.GroupKFold",
        "model_selection._split.KFold",
        "model_selection._split.StratifiedKFold",
        "model_selection._split.TimeSeriesSplit",
        "multiclass._ConstantPredictor",
        "neural_network._stochastic_optimizers.AdamOptimizer",
        "neural_network._stochastic_optimizers.SGDOptimizer",
        "tree._tree.Tree",
        "utils._bunch.Bunch",
        "utils._metadata_requests.MetadataRequest",
        "utils._metadata_requests.MethodMetadataRequest",
        "utils.validation.check_array",
    )
)
# Of a partial function skops asks for the function and its arguments, too.
PLAIN_TYPES = frozenset({"functools.partial", "numpy.dtype", "numpy.mean", "numpy.number"})
# Lineside's own: that code is installed here, and the file holds its parameters, which are checked when used.
OWN_TYPES = frozenset({"lineside_export.features.transformer.WindowFeatures"})
HARMLESS_TYPES = SCIKIT_LEARN_TYPES | PLAIN_TYPES | OWN_TYPES | searches.TYPES
# How pickles begin, plain or in one of the compressions that joblib uses.
_PICKLE_STARTS = (b"\x80", b"\x78", b"\x1f\x8b", b"BZh", b"\x5d\x00", b"\xfd7zXZ", b"\x04\x22\x4d\x18")
_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib"})


class Trust(NamedTuple):
    """What the user vouches for: pickles at all, and types inside skops files."""

    pickle: bool = False
    types: Collection[str] = ()


class Loaded(NamedTuple):
    """A model, and what its reader should know about it."""

    model: Any
    notes: list[str]


def load_model(path: Path, trust: Trust) -> Loaded:
    """Read a fitted estimator from a skops file, a booster's own file, or a pickle if that is trusted.

    Raises InputError if the file is neither, is not trusted, or holds something that cannot predict.
    """
    try:
        with path.open("rb") as file:
            start = file.read(files.START_BYTES)
    except OSError as error:
        raise InputError(f"The model {path} cannot be read: {error.strerror}.") from error
    read = _reader(path, start)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = boosters.adopt(read(path, trust))
    _check_model(model, path)
    check_trees(model)
    searches.rebuild(model)
    _number_columns(model)
    return Loaded(model, _version_notes(caught))


def _reader(path: Path, start: bytes) -> Callable[[Path, Trust], Any]:
    if start.startswith(b"PK"):
        return _read_skops
    if start.startswith(_PICKLE_STARTS) or path.suffix in _PICKLE_SUFFIXES:
        return _read_pickle
    if (name := files.library_of(start)) is not None:
        return lambda path, _: files.read(path, name)
    raise InputError(
        f"{path} is not a saved scikit-learn model, nor one of XGBoost, LightGBM, CatBoost or ONNX.",
        hint="Save a scikit-learn model with skops.io.dump(model, 'model.skops'); networks end with .onnx.",
    )


def _read_skops(path: Path, trust: Trust) -> Any:
    from skops.io import get_untrusted_types, load  # noqa: PLC0415  a second, and not for pickles

    try:
        with zipfile.ZipFile(path) as archive:
            if "schema.json" not in archive.namelist():
                raise InputError(
                    f"{path} is a zip file, but not a model saved by skops.",
                    hint="Save the model with skops.io.dump(model, 'model.skops').",
                )
        unknown = set(get_untrusted_types(file=path)) - HARMLESS_TYPES - set(trust.types)
        if unknown:
            raise InputError(
                f"{path} holds types that are not known to be harmless: {', '.join(sorted(unknown))}.",
                hint="If you trust who made the file, add "
                + " ".join(f"--trust-type {name}" for name in sorted(unknown))
                + ".",
            )
        return load(path, trusted=sorted(HARMLESS_TYPES | set(trust.types)))
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes of skops, numpy or an estimator's own code
        raise _unreadable(path, error) from error


def _read_pickle(path: Path, trust: Trust) -> Any:
    if not trust.pickle:
        raise InputError(
            f"{path} is a pickle, and opening a pickle runs any code that its author put into it.",
            hint="If you made it yourself, add --trust-pickle; or save the model with skops.io.dump instead.",
        )
    import joblib  # noqa: PLC0415

    try:
        return joblib.load(path)
    except Exception as error:  # a pickle can raise anything
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"The model {path} cannot be loaded: {text.rstrip('.')}.",
        hint="Is the file whole, and are the packages installed that it was made with?",
    )


def _check_model(model: Any, path: Path) -> None:
    from sklearn.base import BaseEstimator  # noqa: PLC0415
    from sklearn.exceptions import NotFittedError  # noqa: PLC0415
    from sklearn.utils.validation import check_is_fitted  # noqa: PLC0415

    name = type(model).__name__
    if not isinstance(model, BaseEstimator):
        raise InputError(
            f"{path} holds a {name}, not a scikit-learn estimator.", hint="Save the fitted estimator itself."
        )
    if not hasattr(model, "predict"):
        hint = "Export the whole pipeline, with the estimator that predicts as its last step."
        if hasattr(model, "fit_predict"):
            hint = "It answers for the rows of its training only; KMeans, BisectingKMeans and Birch take new ones."
        raise InputError(f"{path} holds a {name}, which has no predict.", hint=hint)
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise InputError(
            f"{path} holds a {name} that is not fitted.", hint="Call fit, then save it again."
        ) from error


def _number_columns(model: Any) -> None:
    """Let column transformers that were fitted on a data frame take arrays: columns by number, not by name."""
    for part in parts(model):
        indices = getattr(part, "_transformer_to_input_indices", None)
        if indices is not None:
            part.transformers_ = [
                (name, step, _numbers(columns, indices.get(name, columns)))
                for name, step, columns in part.transformers_
            ]


def _numbers(columns: Any, indices: Any) -> Any:
    """Return columns by number: a list, or one alone if it was named alone, which gives the step one axis only."""
    return int(indices[0]) if isinstance(columns, str | int) else list(indices)


def _version_notes(caught: list[warnings.WarningMessage]) -> list[str]:
    from sklearn.exceptions import InconsistentVersionWarning  # noqa: PLC0415

    versions = {
        (warning.message.original_sklearn_version, warning.message.current_sklearn_version)
        for warning in caught
        if isinstance(warning.message, InconsistentVersionWarning)
    }
    return [
        f"The model was made with scikit-learn {made}, this is {here}: it may answer differently here."
        for made, here in sorted(versions)
    ]
