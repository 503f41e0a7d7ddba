"""How a child process ended, in words: what a person can do about a crash depends on which it was."""

from __future__ import annotations

import signal

ENDS = {
    signal.SIGILL: (
        "stopped at an instruction that this processor does not have",
        "A package built for newer processors does so, such as onnxruntime 1.21.0 on a Raspberry Pi 4 "
        "(https://github.com/microsoft/onnxruntime/issues/23957); run: pip install --upgrade numpy onnxruntime",
    ),
    signal.SIGSEGV: (
        "was stopped for touching memory that is not its own",
        "A package for another numpy or another processor does so; "
        "run: pip install --force-reinstall numpy onnxruntime",
    ),
    signal.SIGBUS: (
        "was stopped by a bus error",
        "A worn memory card or a damaged file does so; install it anew: "
        "pip install --force-reinstall numpy onnxruntime",
    ),
    signal.SIGABRT: (
        "gave up",
        "Without /sys and /proc onnxruntime does so; in a container, mount both.",
    ),
    signal.SIGKILL: (
        "was killed from outside, most often for lack of memory",
        "Look for 'Out of memory' in dmesg; use a smaller model, or a machine with more memory.",
    ),
}


def explain(code: int) -> tuple[str, str]:
    """Return what became of a process with this (negative) return code, and what to do about it."""
    try:
        end = signal.Signals(-code)
    except ValueError:
        return f"ended with code {code}", "Run it once more."
    return ENDS.get(end, (f"was stopped by {end.name}", "Run it once more."))
