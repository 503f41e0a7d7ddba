"""Compare what arrived in the collector with the truth, with scikit-learn, and with simpler detectors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import script
from arrived import Arrived, read_predictions
from baselines import BASELINES, Verdict
from numpy.typing import NDArray
from recordings import FAULT, FOLDERS, Recording, ends, find, read, read_division, windows
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from lineside_contract.bundle import MODEL, Bundle
from lineside_contract.errors import InputError, LinesideError
from lineside_export.load import Trust, load_model

# As in SKAB's own protocol: what comes before is for detectors that learn a recording's normal state.
SCORED_FROM = 400

Row = dict[str, str | int | float]


class Case(NamedTuple):
    """One test recording: the indices of its windows' newest readings, and what each model's device answered."""

    recording: Recording
    ends: NDArray[np.intp]
    arrived: dict[str, Arrived]


def main() -> None:
    """Print four tables: the bundles, the detection, the agreement with scikit-learn, the accounts."""
    parser = script.parser(__doc__ or "")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    options = parser.parse_args()
    files = find(options.data)
    division = read_division(options.work, files)
    cases = _cases([read(name, files[name]) for name in division.test], options.work)
    train = [read(name, files[name]) for name in division.train]
    tables = {
        "bundles": [_bundle(options.work, model) for model in script.MODELS],
        "detection": _detection(cases, train),
        "agreement": [_agreement(options.work, model, cases) for model in script.MODELS],
        "delivery": [_delivery(options.work, cases)],
    }
    print(json.dumps(tables, indent=2) if options.json else "\n\n".join(map(_markdown, tables.values())))


def _cases(recordings: Sequence[Recording], work: Path) -> list[Case]:
    found = read_predictions(work / "predictions.csv")
    cases = []
    for one in recordings:
        devices = {model: script.device(one.name, model) for model in script.MODELS}
        if missing := set(devices.values()) - found.keys():
            raise InputError(
                f"Nothing of {', '.join(sorted(missing))} arrived.", hint="Run run.py again, then the export."
            )
        newest = ends(one)
        arrived = {model: found[device].at(one.times[newest]) for model, device in devices.items()}
        cases.append(Case(one, newest, arrived))
    return cases


def _bundle(work: Path, model: str) -> Row:
    """Return what the export came to. "Accuracy" is on the exporter's own held-back windows."""
    path = script.bundle(work, model)
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    return {
        "model": model,
        "float32 bytes": next(one.bytes or 0 for one in manifest.candidates if one.name == "float32"),
        "chosen": manifest.candidate,
        "chosen bytes": len(bundle.files[MODEL]),
        "bundle bytes": path.stat().st_size,
        "accuracy before": round(manifest.metric_original or 0.0, 3),
        "after": round(manifest.metric_exported or 0.0, 3),
    }


def _detection(cases: Sequence[Case], train: Sequence[Recording]) -> list[Row]:
    """Judge the devices' answers and the baselines' on the same windows, together and by folder."""
    verdicts: dict[str, list[Verdict]] = {
        model: [_verdict(case.arrived[model]) for case in cases] for model in script.MODELS
    }
    for name, baseline in BASELINES.items():
        detector = baseline(train, SCORED_FROM)
        verdicts[name] = [detector(case.recording) for case in cases]
    rows = []
    for folder in ("all", *FOLDERS):
        chosen = [at for at, case in enumerate(cases) if folder in ("all", case.recording.folder)]
        for name, found in verdicts.items():
            scores = _scores([cases[at] for at in chosen], [found[at] for at in chosen])
            rows.append({"recordings": f"{folder} ({len(chosen)})", "detector": name, **scores})
    return rows


def _verdict(arrived: Arrived) -> Verdict:
    return Verdict(arrived.states == FAULT, arrived.fault)


def _scores(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Row:
    """Return the usual measures over the windows that count and whose answers arrived; a fault is positive."""
    truth, said, score = [], [], []
    for case, verdict in zip(cases, verdicts, strict=True):
        counts = (case.ends >= SCORED_FROM) & np.all([one.there for one in case.arrived.values()], axis=0)
        truth.append(case.recording.states[case.ends[counts]] == FAULT)
        said.append(verdict.fault[counts])
        score.append(verdict.score[counts])
    true, positive = np.concatenate(truth), np.concatenate(said)
    return {
        "windows": len(true),
        "F1": round(float(f1_score(true, positive)), 3),
        "precision": round(float(precision_score(true, positive, zero_division=0)), 3),
        "recall": round(float(recall_score(true, positive)), 3),
        "ROC AUC": round(float(roc_auc_score(true, np.concatenate(score))), 3),
    }


def _agreement(work: Path, model: str, cases: Sequence[Case]) -> Row:
    """Hold what arrived against what scikit-learn answers to the same windows."""
    original = load_model(work / f"{model}.skops", Trust()).model
    labels, differences = 0, [0.0]
    count = 0
    for case in cases:
        there = case.arrived[model].there
        inputs = windows(case.recording)[there]
        count += len(inputs)
        labels += int(np.sum(original.predict(inputs) != case.arrived[model].states[there]))
        fault = original.predict_proba(inputs)[:, list(original.classes_).index(FAULT)]
        differences.append(float(np.max(np.abs(fault - case.arrived[model].fault[there]), initial=0.0)))
    return {
        "model": model,
        "windows": count,
        "labels that differ": labels,
        "largest difference of a probability": max(differences),
    }


def _delivery(work: Path, cases: Sequence[Case]) -> Row:
    """Count what was made from the recordings, not from what anyone says of it, and what of it is stored."""
    arrived = [one for case in cases for one in case.arrived.values()]
    gaps, devices = _ask(work, "gaps"), _ask(work, "devices")
    return {
        "devices": len(arrived),
        "predictions made": sum(len(one.there) for one in arrived),
        "stored": sum(int(one.there.sum()) for one in arrived),
        "lost": sum(int((~one.there).sum()) for one in arrived),
        "stored twice": sum(one.repeated for one in arrived),
        "missing by `collector gaps`": sum(
            last - first + 1 for gap in gaps for first, last in gap["missing"]
        ),
        "came twice, ignored": sum(device["repeated"] for device in devices),
    }


def _ask(work: Path, question: str) -> list[dict[str, Any]]:
    command = (sys.executable, "-m", "lineside_cli.main", "collector", question, "--json")
    answer = subprocess.run(
        (*command, "--store", str(script.store(work))), capture_output=True, text=True, check=False
    )
    if not answer.stdout:
        raise LinesideError(f"lineside collector {question} failed: {answer.stderr.strip()}")
    return [json.loads(line) for line in answer.stdout.splitlines()]


def _markdown(rows: Sequence[Row]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(cell) for cell in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"
    return f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    sys.exit(script.run(main))
