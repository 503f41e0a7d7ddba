"""Try a package in a process of its own: what crashes there does not crash the doctor."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

from lineside_agent.crash import explain

LONGEST_S = 120.0  # a Raspberry Pi Zero 2 W imports onnxruntime in some ten seconds, emulated
# No core file for a crash that is expected, and told.
_START = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); "
_IMPORT = "import importlib; print(getattr(importlib.import_module({module!r}), '__version__', ''))"
_TINY = "import sys; from lineside_agent.doctor.tiny import main; sys.exit(main())"


class Trial(NamedTuple):
    """How it went. `said` is what was printed; `problem` is empty if all is well; `missing`: not installed."""

    said: str = ""
    problem: str = ""
    hint: str = ""
    missing: bool = False


def try_import(module: str) -> Trial:
    """Import a module; its version is what it says."""
    return run(_IMPORT.format(module=module), module)


def try_model() -> Trial:
    """Run the tiny model."""
    trial = run(_TINY, "onnxruntime")
    if trial.said and not trial.problem:
        return Trial(
            problem=f"a small model answers {trial.said}",
            hint="Do not use this machine: its onnxruntime, or its memory, is broken.",
        )
    return trial


def run(code: str, module: str, longest_s: float = LONGEST_S) -> Trial:
    """Run Python code in a process of its own, and explain how it ended."""
    # -P: a file numpy.py in the working folder is not numpy.
    command = [sys.executable, "-P", "-c", _START + code]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=longest_s,
        )
    except subprocess.TimeoutExpired:
        return Trial(problem=f"did not end in {longest_s:g} s", hint="Look for what keeps the machine busy.")
    if done.returncode < 0:
        return Trial("", *explain(done.returncode))
    if done.returncode:
        return _failure(done.stderr.strip().rpartition("\n")[2], module)
    return Trial(done.stdout.strip())


def _failure(last: str, module: str) -> Trial:
    kind, _, text = last.partition(": ")
    if kind == "ModuleNotFoundError":
        return Trial(problem="is not installed", hint="Run: pip install 'lineside[agent]'", missing=True)
    hint = f"Run: pip install --force-reinstall {module}"
    if "cannot open shared object" in text:
        library = text.partition(":")[0]
        hint = f"Install the system's package that holds {library}: apt-file search {library}"
    return Trial(problem=f"fails: {text.rstrip('.') or last or 'it said nothing'}", hint=hint)
