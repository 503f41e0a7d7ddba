"""Replay the test recordings through the whole line: agents, broker, collector, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import script
from recordings import find, read_division

from lineside_contract.errors import InputError, LinesideError

SITE = "pump-station"  # as in agent.toml
_CONFIG = Path(__file__).with_name("agent.toml")
_LINESIDE = (sys.executable, "-m", "lineside_cli.main")
_SECONDS = 120.0  # far more than a step takes


def main() -> None:
    """Start a broker and a collector; then, for each model, a device for each recording, all at once."""
    options = script.parser(__doc__ or "").parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop what was started, as for Ctrl-C
    files = find(options.data)
    recordings = {name: files[name] for name in read_division(options.work, files).test}
    for model in script.MODELS:
        if not script.bundle(options.work, model).is_file():
            raise InputError(
                f"There is no {script.bundle(options.work, model)}.", hint="Export the models first."
            )
    line = _empty(options.work / "line")
    (options.work / "predictions.csv").unlink(missing_ok=True)  # of the store that is gone
    url = f"mqtt://127.0.0.1:{_free_port()}"
    store = script.store(options.work)
    with (
        _running(("broker", "--port", url.rpartition(":")[2], "--state", str(line / "broker")), line),
        _running(("collector", "run", "--broker", url, "--site", SITE, "--store", str(store)), line),
    ):
        for model in script.MODELS:
            began = time.perf_counter()
            _replay(model, recordings, url, options.work)
            took = time.perf_counter() - began
            print(f"{model}: {len(recordings)} devices delivered everything in {took:.1f} s", flush=True)


def _replay(model: str, recordings: Mapping[str, Path], url: str, work: Path) -> None:
    """Run the devices to their end, which is when the collector has acknowledged their last message."""
    with contextlib.ExitStack() as stack:
        agents = {}
        for name, file in recordings.items():
            device = script.device(name, model)
            folder = work / "line" / device
            settings = _settings(device, script.bundle(work, model), file, url)
            command = ("agent", "run", "--config", str(_CONFIG), "--quiet")
            agents[device] = stack.enter_context(
                _process(command, folder, {**settings, "LINESIDE__STATE": str(folder.absolute())})
            )
        deadline = time.monotonic() + _SECONDS
        for device, agent in agents.items():
            try:
                code = agent.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise LinesideError(
                    f"{device} still waits for acknowledgements after {_SECONDS:g} s."
                ) from None
            if code:
                raise LinesideError(f"{device} ended with {code}: {_last_words(work / 'line' / device)}")


def _settings(device: str, bundle: Path, file: Path, url: str) -> dict[str, str]:
    """Return what differs from agent.toml: a recording instead of a sensor, as fast as it goes."""
    return {
        "LINESIDE__DEVICE": device,
        "LINESIDE__BUNDLE": str(bundle.absolute()),
        "LINESIDE__BROKER__URL": url,
        "LINESIDE__SENSORS__MAIN__KIND": "replay",
        "LINESIDE__SENSORS__MAIN__FILE": str(file.absolute()),
        "LINESIDE__SENSORS__MAIN__TIMESTAMP": "datetime",
        "LINESIDE__SENSORS__MAIN__SPEED": "fast",
    }


@contextlib.contextmanager
def _running(command: Sequence[str], line: Path) -> Iterator[None]:
    """Run `lineside COMMAND` until the block ends; the block begins when it says that it is ready."""
    folder = line / command[0]
    with _process(command, folder) as process:
        deadline = time.monotonic() + _SECONDS
        while f"{command[0]} ready" not in (folder / "log").read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LinesideError(f"lineside {command[0]} did not start: {_last_words(folder)}")
            time.sleep(0.05)
        yield


@contextlib.contextmanager
def _process(
    command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `lineside COMMAND`, with its output in a file, and stop it at the end if it still runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            (*_LINESIDE, *command),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for this program, which then stops the others in order
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_words(folder: Path) -> str:
    lines = (folder / "log").read_text(errors="replace").splitlines()
    return lines[-1] if lines else f"it said nothing, see {folder / 'log'}."


def _empty(folder: Path) -> Path:
    """Make the folder of this run, without what an earlier run left: its store would be counted again."""
    try:
        shutil.rmtree(folder, ignore_errors=not folder.exists())
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written to: {error.strerror}.", hint="Choose another --work."
        ) from error
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(script.run(main))
