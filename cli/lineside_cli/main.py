"""The `lineside` command. Finds each program's commands in a table and loads only the one that is asked for."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lineside_contract.errors import InputError, LinesideError, nearest

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


class Command(NamedTuple):
    """Where a command lives: `configure` fills in its parser and sets `run`; `extra` is what it needs installed."""

    module: str
    configure: str
    extra: str
    summary: str


COMMANDS = {
    "export": Command(
        "lineside_export.commands",
        "configure_export",
        "export",
        "turn a trained model into a small, verified bundle",
    ),
    "inspect": Command(
        "lineside_export.commands", "configure_inspect", "agent", "show what a bundle holds, and verify it"
    ),
    "predict": Command(
        "lineside_export.commands", "configure_predict", "export", "run a bundle over the rows of a CSV file"
    ),
    "keygen": Command(
        "lineside_export.signing.commands",
        "configure_keygen",
        "signing",
        "make a pair of keys for signing bundles",
    ),
    "sign": Command("lineside_export.signing.commands", "configure_sign", "signing", "vouch for a bundle"),
    "verify": Command(
        "lineside_export.signing.commands", "configure_verify", "signing", "tell whether keys signed a bundle"
    ),
    "agent": Command(
        "lineside_agent.commands", "configure_agent", "agent", "init, check or run the agent on a device"
    ),
    "bench": Command(
        "lineside_agent.bench.commands",
        "configure_bench",
        "agent",
        "measure what a bundle costs on this machine, or Lineside beside what you would use instead",
    ),
    "doctor": Command(
        "lineside_agent.doctor.commands",
        "configure_doctor",
        "agent",
        "tell whether this machine can run an agent",
    ),
    "sensor": Command(
        "lineside_agent.sensor_cli.commands",
        "configure_sensor",
        "agent",
        "list the kinds of sensor, and show what one gives",
    ),
    "collector": Command(
        "lineside_collector.commands",
        "configure_collector",
        "collector",
        "store what devices send, and look at it",
    ),
    "broker": Command(
        "lineside_cli.broker", "configure_broker", "collector", "run the embedded MQTT broker, without root"
    ),
    "watch": Command("lineside_cli.watch", "configure_watch", "agent", "print the messages that flow"),
    "demo": Command(
        "lineside_cli.demo", "configure_demo", "demo", "watch the whole path work, in under a minute"
    ),
}

# `lineside bench NAME` measures Lineside, `lineside bench BUNDLE` a bundle.
SUITE = Command("lineside_benchmarks.commands", "configure_suite", "bench", "measure Lineside")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _mend_streams()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except LinesideError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        _discard_output()
        return 0
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and error.filename is not None:
            name = Path(os.fsdecode(error.filename)).name
            return _fail(
                f"The file name {name[:40]}... is too long for this machine. Choose a shorter one.", 2
            )
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _discard_output()
        return _fail("The output cannot be written: there is no room where it goes.", 1)


def _mend_streams() -> None:
    """Let a closed stream take anything, and write what a terminal cannot show as an escape."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Give what is still buffered to nobody: Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] in ("-v", "-V", "--version"):
        from importlib.metadata import version

        print(f"lineside {version('lineside')}")
        return 0
    name = arguments[0]
    command = _find(arguments)
    if command is None:
        return _fail(f"lineside has no command {name!r}. {_hint(name)}", 2)
    try:
        return _run(name, command, arguments[1:])
    except ModuleNotFoundError as error:
        return _fail(_missing(name, command, error), 2)


def _hint(name: str) -> str:
    if name in _benchmarks():
        return f"Did you mean 'bench {name}'?"
    return nearest(name, COMMANDS) or "See `lineside --help`."


def _benchmarks() -> tuple[str, ...]:
    names: tuple[str, ...] = importlib.import_module(SUITE.module).NAMES
    return names


def _find(arguments: list[str]) -> Command | None:
    if arguments[0] != "bench" or len(arguments) == 1:
        return COMMANDS.get(arguments[0])
    names = _benchmarks()
    if arguments[1] in names:
        return SUITE
    if (hint := nearest(arguments[1], names)) and not Path(arguments[1]).exists():
        raise InputError(f"{arguments[1]} is neither a benchmark nor a bundle that is there.", hint=hint)
    return COMMANDS["bench"]


def _run(name: str, command: Command, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=f"lineside {name}", description=f"{command.summary[0].upper()}{command.summary[1:]}."
    )
    configure: Callable[[argparse.ArgumentParser], None] = getattr(
        importlib.import_module(command.module), command.configure
    )
    configure(parser)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _missing(name: str, command: Command, error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    if package.startswith("lineside_"):
        raise error
    return (
        f"`lineside {name}` needs the package {package}, which is not installed. "
        f"Run: pip install 'lineside[{command.extra}]'"
    )


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lineside COMMAND [options]",
            "",
            "Put a trained model beside the machine it watches.",
            "",
            *lines,
            "",
            "`lineside COMMAND --help` explains one. `lineside --version` says which this is.",
        ]
    )


def _fail(message: str, code: int) -> int:
    print(f"lineside: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
