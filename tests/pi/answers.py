"""Let every bundle of a folder answer its golden rows and more, and write down what it says.

Runs on the device, with what the device has: python answers.py BUNDLES ROWS.npz OUTPUT.npz
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from lineside_agent.model import Answers, Model
from lineside_contract.bundle import MODEL, Bundle
from lineside_contract.errors import BundleError

_BATCH = 250
_SINGLE_ROWS = 50


def main(bundles: Path, rows: Path, output: Path) -> None:
    """Write the answers to `output`, and beside it as JSON why the self-test of a bundle failed, if it did."""
    inputs = np.load(rows)
    found: dict[str, np.ndarray] = {}
    problems: dict[str, str] = {}
    for path in sorted(bundles.glob("*.zip")):
        name = path.name.removesuffix(".bundle.zip")
        bundle = Bundle.open(path)
        try:
            model = Model.open(bundle)
            problems[name] = ""
        except BundleError as error:
            problems[name] = error.message
            model = Model(bundle.files[MODEL], bundle.manifest.input, bundle.manifest.outputs)
        values = inputs[name.partition("--")[0]]
        batches = [model.predict(values[at : at + _BATCH]) for at in range(0, len(values), _BATCH)]
        singles = [model.predict(values[at : at + 1]) for at in range(_SINGLE_ROWS)]
        for field in Answers._fields:
            for kind, answers in (("batch", batches), ("single", singles)):
                parts = [getattr(each, field) for each in answers]
                if parts[0] is not None:
                    found[f"{name}/{kind}/{field}"] = np.concatenate(parts)
    np.savez(output, **found)
    output.with_suffix(".json").write_text(json.dumps(problems))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
