"""`lineside bench NAME`: measure Lineside beside what a user would pick instead, and compare two runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from lineside_benchmarks import arguments

if TYPE_CHECKING:
    from lineside_benchmarks.report import Report

# One module of this package each, or one package, with a function `run`; `all` runs them in this order.
BENCHMARKS = {
    "inference": "microseconds of a prediction by kind of model and batch, beside scikit-learn and skl2onnx",
    "footprint": "resident memory, beside the least that Python allows",
    "startup": "from the start of the process to the first acknowledged prediction",
    "latency": "from a reading to the broker, and on to the collector's store",
    "throughput": "predictions a second on one core, and what each costs",
    "floor": "CPU of a prediction, beside the shortest loop by hand for the same durability",
    "clients": "what MQTT clients alone publish in a second",
    "outbox": "puts a second, bytes written to flash, opening a million waiting messages",
    "outage": "what is lost, repeated and late while everything fails that can fail",
    "collector": "predictions a second from a broker into a database",
}
# The exporter's tables; apart, because compiling one forest for comparison takes as long as all of the others.
EXPORT = ("export.trees", "export.rewrites", "export.quantization", "export.networks")
NAMES = (*BENCHMARKS, "export", "all", "compare", "peers", "soak")
_EPILOG = """\
examples:
  lineside bench latency                        one of them
  lineside bench all --quick                    see that everything works, in about a minute
  lineside bench all --update docs/benchmarks.md
  lineside bench export --update docs/benchmarks-export.md
  lineside bench outage --scenario power-cut --time-scale 1
  lineside bench compare before.json after.json
  lineside bench compare pump-1.0.0.bench.json pump-1.1.0.bench.json
  lineside bench peers install                  what it is measured beside, each in an environment of its own

Each run prints its tables and writes them to the output folder, with plots, and every single measurement as JSON.
What is measured has one core for itself, brokers and listeners another. `lineside bench BUNDLE` measures one bundle.

exit codes: 0 measured, 1 a program failed, 2 wrong input, 130 interrupted. A missed target is said, and no failure.
"""


def configure_suite(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside bench NAME`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(metavar="NAME", required=True)

    def add(name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run, name=name)
        return command

    for name, summary in BENCHMARKS.items():
        command = add(name, summary, _outage if name == "outage" else _measure)
        arguments.add_measure(command)
        if name == "outage":
            arguments.add_outage(command)
    arguments.add_measure(
        add("export", "what the exporter writes, beside skl2onnx, quantizers and compilers of trees", _export)
    )
    arguments.add_measure(add("all", "all but the exporter's, one after the other", _measure))
    arguments.add_soak(
        add("soak", "a day of random faults in accelerated time, replayable by its seed", _soak)
    )
    arguments.add_compare(
        add("compare", "what changed between two runs beyond noise, or between two bundles", _compare)
    )
    arguments.add_peers(add("peers", "list or install what is measured beside Lineside", _peers))


def _measure(options: argparse.Namespace) -> int:
    from lineside_benchmarks.suite import measure

    names = list(BENCHMARKS) if options.name == "all" else [options.name]
    return _report(options, lambda: measure(names, quick=options.quick))


def _export(options: argparse.Namespace) -> int:
    from lineside_benchmarks.suite import measure

    return _report(options, lambda: measure(EXPORT, quick=options.quick))


def _outage(options: argparse.Namespace) -> int:
    from lineside_benchmarks.outage.benchmark import plan, play_all
    from lineside_benchmarks.suite import measure_with

    chosen = plan(options.scenario, options.system, options.time_scale, quick=options.quick)
    return _report(
        options, lambda: measure_with({"outage": lambda shop: play_all(shop, chosen)}, quick=options.quick)
    )


def _soak(options: argparse.Namespace) -> int:
    from lineside_benchmarks.outage import soak
    from lineside_benchmarks.suite import measure_with

    wanted = soak.Wanted(options.seed, options.hours, options.time_scale)
    return _report(options, lambda: measure_with({"soak": lambda shop: soak.run(shop, wanted)}, quick=True))


def _report(options: argparse.Namespace, measure: Callable[[], Report]) -> int:
    from lineside_benchmarks.report import Document, to_json, to_markdown, write

    document = Document(options.update) if options.update else None  # refused now, not after the work
    try:
        report = measure()
    except KeyboardInterrupt:
        print("lineside: interrupted; nothing is written.", file=sys.stderr)
        raise
    paths = write(report, options.output)
    if document is not None:
        document.put(report)
    print(to_json(report).decode() if options.json else to_markdown(report), end="")
    print(f"Wrote {', '.join(str(path) for path in paths)}.", file=sys.stderr)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from lineside_benchmarks import bundles, compare

    if pair := bundles.read_pair(options.before, options.after):
        print(bundles.to_json(*pair) if options.json else bundles.to_text(*pair))
        return 0
    changes = compare.compare(compare.read(options.before), compare.read(options.after))
    print(compare.to_json(changes) if options.json else compare.to_text(changes))
    return 0


def _peers(options: argparse.Namespace) -> int:
    from lineside_benchmarks.peers import install

    names = options.peer or list(install.PEERS)
    unknown = [name for name in names if name not in install.PEERS]
    if unknown:
        from lineside_contract.errors import InputError, nearest

        raise InputError(
            f"There is no peer {unknown[0]!r}.",
            hint=nearest(unknown[0], install.PEERS) or f"Known: {', '.join(install.PEERS)}.",
        )
    for name in names:
        if options.what == "upgrade" or (options.what == "install" and not install.installed(name)):
            print(f"installing {name} ...", file=sys.stderr, flush=True)
            install.install(name)
        place = install.installed(name)
        print(f"{name:<20} {place or 'not installed'}   ({install.PEERS[name].about})")
    return 0
