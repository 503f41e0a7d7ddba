"""The demo's script: one step a line."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from lineside_cli.demo import account
from lineside_cli.demo.plant import DEVICES, SITE, Plant
from lineside_cli.demo.train import CHANNELS, HOP, INTERVAL_S, LENGTH, UNITS, train
from lineside_cli.demo.view import View
from lineside_contract.errors import InputError, LinesideError

_HEALTHY_S = 7.0
_OUTAGE_S = 5.0
_AFTER_S = 6.0
_PATIENCE_S = 20.0


def run(folder: Path | None, port: int | None, *, keep: bool) -> int:
    """Run the demo. Returns 0 if nothing was lost, nothing repeated, and the fault was seen; 1 otherwise."""
    console = Console()
    with _signals_as_ctrl_c(), _workplace(folder) as place:
        plant = Plant(place, port)
        bundle = _export(console, place)
        try:
            return _perform(console, plant, bundle, keep=keep)
        except KeyboardInterrupt:
            console.print("\nStopping: the agents first, the broker last.")
            raise
        finally:
            plant.close()
            console.print(_goodbye(folder), style="dim")


def _goodbye(folder: Path | None) -> str:
    if folder is None:
        return "All files of the demo are deleted; --folder DIR keeps them."
    return f"Model, bundle, settings, logs and the collector's file are in {folder}."


def _export(console: Console, place: Path) -> Path:
    from lineside_cli.main import main

    console.print("[bold]1. Train a random forest on simulated machines, healthy and faulty")
    model, rows = train(place)
    bundle = place / "machine-1.0.0.bundle.zip"
    units = [f"{name}={unit}" for name, unit in zip(CHANNELS, UNITS, strict=True) if unit]
    command = ["export", str(model), "--data", str(rows), "--target", "condition", "-o", str(bundle)]
    command += ["--channels", ",".join(CHANNELS), "--group", "machine", "--rate-hz", str(1 / INTERVAL_S)]
    command += ["--window", str(LENGTH), "--hop", str(HOP)]
    command += [argument for unit in units for argument in ("--unit", unit)]
    console.print("[bold]2. Export it, judged by machines that it was not trained on")
    if code := main(command):
        raise LinesideError(f"The export failed with exit code {code}.")
    return bundle


def _perform(console: Console, plant: Plant, bundle: Path, *, keep: bool) -> int:
    console.print(f"[bold]3. Start a broker ({plant.url}), a collector and two agents")
    plant.start_broker()
    plant.start_collector()
    view = View(plant.port, DEVICES)
    with view.live():
        for seed, device in enumerate(DEVICES):
            plant.start_agent(device, bundle, seed)
        seen = _show_fault_and_outage(plant, view)
        if keep:
            _leave_running(plant, view)
        view.say("the agents are stopped")
        for device in DEVICES:
            plant.stop(device)
        _until(plant, lambda: account.settled(plant.store, DEVICES))
    found = account.accounts(plant.store)
    account.show(console, found)
    good = seen and len(found) == len(DEVICES) and not any(one.lost or one.repeated for one in found)
    verdict = "Nothing lost, nothing repeated." if good else "Something is wrong: please report it."
    console.print(f"[bold {'green' if good else 'red'}]{verdict}")
    return 0 if good else 1


def _show_fault_and_outage(plant: Plant, view: View) -> bool:
    """Give the second machine a fault, cut the broker, mend both. Returns whether the fault was seen."""
    faulty = DEVICES[1]
    view.say("two healthy machines")
    _until(plant, lambda: all(view.label(device) for device in DEVICES))
    _wait(plant, _HEALTHY_S)
    view.say(f"{faulty} gets a defect in its bearing's outer race", "bold yellow")
    plant.set_fault(faulty, "bearing_outer")
    seen = _until(plant, lambda: view.label(faulty) == "bearing_outer")
    _wait(plant, 3.0)
    view.say("the broker is killed; the agents go on predicting into their outboxes", "bold yellow")
    plant.kill_broker()
    _wait(plant, _OUTAGE_S)
    view.say("the broker is back; live predictions first, the others catch up beside them", "bold yellow")
    plant.start_broker()
    _until(plant, lambda: all(seen.caught_up for seen in view.devices.values()))
    _wait(plant, 2.0)
    view.say(f"{faulty} is mended", "bold yellow")
    plant.set_fault(faulty, None)
    mended = _until(plant, lambda: view.label(faulty) == "healthy")
    _wait(plant, _AFTER_S)
    return seen and mended


def _leave_running(plant: Plant, view: View) -> None:
    fault = plant.folder / f"{DEVICES[0]}-fault.toml"
    view.say(
        f"all goes on at {plant.url} until Ctrl-C. Look: lineside watch --broker {plant.url} 'lineside/v1/#'"
    )
    view.say(f"Give a machine a fault: echo 'fault = \"imbalance\"' > {fault}")
    view.say(f"Ask the collector: lineside collector devices --store {plant.store} (site {SITE})")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _wait(plant, 1.0)


def _wait(plant: Plant, seconds: float) -> None:
    """Let some of the show pass. Raises LinesideError if a process ends by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if failed := plant.failed():
            raise LinesideError(failed)
        time.sleep(0.1)


def _until(plant: Plant, condition: Callable[[], bool]) -> bool:
    """Wait for something to be seen; tell whether it was."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        _wait(plant, 0.1)
    return True


@contextlib.contextmanager
def _workplace(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        temporary = Path(tempfile.mkdtemp(prefix="lineside-demo-"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(f"{folder} is already there.", hint="Name a new folder, or delete it.") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}.") from error
    yield folder.resolve()


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind as Ctrl-C does, so that no process and no file is left behind."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
