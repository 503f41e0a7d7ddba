"""Where the benchmarks work: a folder with models and readings, and agents set up in it."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lineside_benchmarks.brokers import BROKERS
from lineside_benchmarks.programs import LINESIDE, OTHERS, running

SITE = "bench"
DEVICE = "pump-1"
STDIN = {"kind": "stdin", "format": "json"}
_LONGEST_S = 600.0
TOPIC = f"lineside/v1/{SITE}/{DEVICE}/prediction"


class Workshop:
    """Models and readings, made once, and a new folder for everything that is started.

    `quick` asks for few and short measurements: enough to see that everything works, not how well.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.readings = 41_000 if quick else 160_000
        self._numbers = itertools.count(1)
        command = [sys.executable, "-m", "lineside_benchmarks.models", str(folder), str(self.readings)]
        print("models and readings ...", file=sys.stderr, flush=True)
        with running(command, OTHERS) as program:  # in a group of its own: Ctrl-C is this process's affair
            program.end(_LONGEST_S)
        # Enough to see that everything works; the collector's benchmark has both in any case.
        self.brokers = {"mosquitto": BROKERS["mosquitto"]} if quick else BROKERS
        self.lines = (folder / "readings.jsonl").read_bytes().splitlines(keepends=True)

    def model(self, name: str) -> Path:
        """Return the bare ONNX file of a model."""
        return self.folder / f"{name}.onnx"

    def new_folder(self) -> Path:
        """Make a folder that nothing has used before."""
        folder = self.folder / f"run-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def recording(self, rows: int) -> Path:
        """Write the first rows of the readings as a CSV file of their own."""
        path = self.folder / f"first-{rows}.csv"
        if not path.exists():
            with (self.folder / "readings.csv").open() as file, path.open("w") as cut:
                cut.writelines(itertools.islice(file, rows + 1))
        return path

    def json_lines(self, rows: int) -> Path:
        """Write the first rows of the readings as JSON lines."""
        path = self.folder / f"first-{rows}.jsonl"
        if not path.exists():
            path.write_bytes(b"".join(self.lines[:rows]))
        return path

    def agent(
        self,
        port: int,
        model: str,
        *,
        device: str = DEVICE,
        sensor: Mapping[str, Any] = STDIN,
        keys: Sequence[Path] = (),
        **tables: dict[str, Any],
    ) -> list[str]:
        """Set an agent up in a new folder and return the command that runs it."""
        folder = self.new_folder()
        found: dict[str, Mapping[str, Any]] = {
            "broker": {"url": f"mqtt://127.0.0.1:{port}"},
            **tables,
            "sensors.main": sensor,
        }
        lines = [f'site = "{SITE}"', f'device = "{device}"', f'bundle = "../{model}.bundle.zip"']
        lines.append(f"trusted_keys = {json.dumps([str(key) for key in keys])}")
        for name, table in found.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        config = folder / "agent.toml"
        config.write_text("\n".join(lines) + "\n")
        return [*LINESIDE, "agent", "run", "--config", str(config)]
