"""Measure a bundle in a process of its own, and say what it was measured on."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lineside_agent import board
from lineside_agent.bench.measure import Answer, Refusal
from lineside_agent.bench.results import Bench, Board, Measurement, Order
from lineside_agent.crash import explain
from lineside_contract.bundle import MODEL, SUFFIX, Bundle
from lineside_contract.errors import BundleError, InputError
from lineside_contract.files import write_whole

RESULTS = ".bench.json"
_PACKAGES = ("lineside", "numpy", "onnxruntime")


def bench(order: Order) -> Bench:
    """Measure a bundle on this machine. Raises BundleError if it may not run here, or crashes."""
    path = Path(order.bundle)
    bundle = Bundle.open(path)
    data = path.read_bytes()
    load_average, temperature = os.getloadavg()[0], board.temperature_c()
    measured = _measured_apart(order)
    return Bench(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        candidate=bundle.manifest.candidate,
        bundle_sha256=hashlib.sha256(data).hexdigest(),
        bundle_bytes=len(data),
        onnx_bytes=len(bundle.files[MODEL]),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        threads=order.threads,
        load=measured.load,
        memory=measured.memory,
        latencies=measured.latencies,
        board=_board(load_average, temperature),
    )


def results_path(bundle: Path) -> Path:
    """Return where a bundle's results go: `pump-1.0.0.bench.json` beside `pump-1.0.0.bundle.zip`.

    Raises InputError if nothing can be written there.
    """
    folder = bundle.parent
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise InputError(
            f"Nothing can be written to {folder.absolute()}.", hint="Leave --write out, and redirect --json."
        )
    return folder / (bundle.name.removesuffix(SUFFIX) + RESULTS)


def write(path: Path, found: Bench) -> None:
    """Write results, whole or not at all. Raises InputError."""
    try:
        write_whole(path, as_json(found))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from error


def as_json(found: Bench) -> bytes:
    """Return results as text for programs."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _measured_apart(order: Order) -> Measurement:
    # -P: a file numpy.py in the working folder is not numpy. A session of its own: Ctrl-C is the parent's affair,
    # which ends it.
    command = [
        sys.executable,
        "-P",
        "-m",
        "lineside_agent.bench.measure",
        msgspec.json.encode(order).decode(),
    ]
    done = subprocess.run(
        command, check=False, capture_output=True, stdin=subprocess.DEVNULL, start_new_session=True
    )
    if done.returncode < 0:
        what, hint = explain(done.returncode)
        raise BundleError(f"The model of {order.bundle} cannot run here: the process {what}.", hint=hint)
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer | Refusal)
    except msgspec.DecodeError as error:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise BundleError(
            f"The model of {order.bundle} cannot run here: {last.rstrip('.') or 'it said nothing'}.",
            hint="`lineside doctor` looks for what this machine lacks.",
        ) from error
    if isinstance(answer, Refusal):
        raise BundleError(answer.message, hint=answer.hint)
    return answer.measurement


def _board(load_average: float, temperature_before_c: float | None) -> Board:
    slowed = board.throttling()
    return Board(
        name=board.name(),
        architecture=platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        cpus=board.cpus(),
        governor=board.governor(),
        temperature_before_c=temperature_before_c,
        temperature_after_c=board.temperature_c(),
        throttled=None if slowed is None else slowed[0] + [f"{word}, earlier" for word in slowed[1]],
        load_average_before=round(load_average, 2),
        versions={"python": platform.python_version(), **board.versions(_PACKAGES)},
    )
