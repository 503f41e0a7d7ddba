"""Run benchmarks one after the other, on a machine that is described."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from lineside_benchmarks import machine
from lineside_benchmarks.programs import OTHERS, use_bytecode_cache
from lineside_benchmarks.report import Report
from lineside_benchmarks.table import Table
from lineside_benchmarks.workshop import Workshop


def measure(names: Sequence[str], *, quick: bool) -> Report:
    """Run these benchmarks. Raises Failed if one of the programs in them does not do its work."""
    # Found now: a name that is none costs no measurement.
    modules = {name: importlib.import_module(f"lineside_benchmarks.{name}") for name in names}
    return measure_with({name: module.run for name, module in modules.items()}, quick=quick)


def measure_with(benchmarks: Mapping[str, Callable[[Workshop], Table]], *, quick: bool) -> Report:
    """Run these functions, each with its name. Raises Failed."""
    # Ended by a supervisor it ends what it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tables: dict[str, Table] = {}
    with tempfile.TemporaryDirectory(prefix="lineside-benchmarks-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        found = machine.describe(folder)
        use_bytecode_cache(folder / "bytecode")
        os.sched_setaffinity(0, {OTHERS})
        workshop = Workshop(folder, quick=quick)
        for benchmark, run in benchmarks.items():
            print(f"{benchmark} ...", file=sys.stderr, flush=True)
            started = monotonic()
            tables[benchmark] = run(workshop)
            print(f"{benchmark}: {monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    found["load average after"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return Report(time=time, quick=quick, machine=found, tables=tables)
