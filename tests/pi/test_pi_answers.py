"""Does a Raspberry Pi answer as the machine did that made the bundle, however the model is written?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pi_board import BOARDS
from pi_userland import HERE, Userland

# Of a probability, or of a value relative to its size where that is above 1.
TOLERANCE = 1e-5
# An x86 processor of 2013: no VNNI, so its int8 products saturate.
_OLD_X86 = "Haswell"


class Run(NamedTuple):
    """What the bundles answered somewhere: arrays by name/kind/field, and why a self-test failed."""

    answers: dict[str, np.ndarray]
    problems: dict[str, str]


class Difference(NamedTuple):
    """How far the answers of one way to write a model lie from those of this machine, over all models."""

    largest: float
    labels: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("answers")
    shutil.copy(HERE / "answers.py", made)
    return made


@pytest.fixture(scope="module")
def here(bundles: Path, folder: Path) -> Run:
    return _native(bundles, folder, "here")


def _native(bundles: Path, folder: Path, name: str, *prefix: str) -> Run:
    output = folder / f"{name}.npz"
    command = [*prefix, sys.executable, HERE / "answers.py", bundles, bundles / "rows.npz", output]
    subprocess.run(command, check=True)
    return _load(output)


def _load(output: Path) -> Run:
    with np.load(output) as file:
        return Run(dict(file), json.loads(output.with_suffix(".json").read_text()))


def _differences(here: Run, there: Run) -> dict[tuple[str, str], Difference]:
    """Return what differs, by device that was exported for and way to write the model."""
    found: dict[tuple[str, str], Difference] = {}
    for name, ours in here.answers.items():
        theirs = there.answers[name]
        bundle, _, field = name.split("/")
        _, device, way = bundle.split("--")
        before = found.get((device, way), Difference(0.0, 0.0))
        if field == "label":
            changed = float(np.mean(ours != theirs))
            found[device, way] = before._replace(labels=max(before.labels, changed))
        else:
            off = float(np.max(np.abs(ours.astype(np.float64) - theirs) / np.maximum(1, np.abs(ours))))
            found[device, way] = before._replace(largest=max(before.largest, off))
    return found


def _show(capsys: pytest.CaptureFixture[str], name: str, found: dict[tuple[str, str], Difference]) -> None:
    with capsys.disabled():
        print(
            f"\n{name} against this machine\n{'for':<6}{'written as':<20}{'largest':>10}{'other labels':>14}"
        )
        for (device, way), difference in sorted(found.items()):
            print(f"{device:<6}{way:<20}{difference.largest:>10.1e}{difference.labels:>14.2%}")


@pytest.mark.parametrize("board", BOARDS)
def test_a_raspberry_pi_answers_alike(
    userland: Userland, bundles: Path, folder: Path, here: Run, board: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("python", "/out/answers.py", "/bundles", "/bundles/rows.npz", f"/out/{board}.npz")
    userland.run(*command, board=board, binds={bundles: "/bundles", folder: "/out"})
    there = _load(folder / f"{board}.npz")
    found = _differences(here, there)
    _show(capsys, board, found)
    ways = {way for _, way in found}
    assert ways >= {"float32", "compact", "rewritten", "int8-weights", "float16-weights", "int4-weights"}
    assert ways >= {"int8-dynamic", "int8-static", "int8-static-pc"}
    assert not [name for name, problem in there.problems.items() if problem]
    assert {key: off for key, off in found.items() if off.largest > TOLERANCE or off.labels} == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="an x86 is emulated on an x86")
def test_an_old_x86_answers_alike_unless_it_was_exported_for_arm(
    bundles: Path, folder: Path, here: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    there = _native(bundles, folder, "old", "qemu-x86_64-static", "-cpu", _OLD_X86)
    found = _differences(here, there)
    _show(capsys, f"x86 without VNNI ({_OLD_X86})", found)
    anywhere = {key: off for key, off in found.items() if key[0] == "auto"}
    assert {key: off for key, off in anywhere.items() if off.largest > TOLERANCE or off.labels} == {}
    assert not [name for name, problem in there.problems.items() if problem and "--auto--" in name]
