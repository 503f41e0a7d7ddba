"""The commands `lineside export`, `lineside inspect` and `lineside predict`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lineside_contract.errors import InputError
from lineside_export import arguments

if TYPE_CHECKING:
    from lineside_contract.bundle import Bundle

_EXPORT_EXAMPLES = """
examples:
  lineside export model.skops --data rows.csv --target fault -o pump-1.0.0.bundle.zip
  lineside export model.skops --data rows.csv --target fault --ignore timestamp --dry-run \\
      --name pump --version 1.0.0
  lineside export model.skops --data vibration.csv --target fault --window 64 --hop 32 \\
      --rate-hz 1000 --unit x=g --unit y=g -o motor-2.0.0.bundle.zip
  lineside export model.skops --data rows.csv --target fault --candidate int8-weights -o pump-1.0.0.bundle.zip
  lineside export model.skops --data rows.csv --target fault --objective latency --max-bytes 50000 \\
      -o pump-1.0.0.bundle.zip
  lineside export cnn.onnx --data vibration.csv --window 128 --target state --classes ok,worn --logits \\
      -o bearing-1.0.0.bundle.zip
  lineside export model.joblib --trust-pickle --data rows.csv -o pump-1.0.0.bundle.zip

The rows should be ones that the model was not trained on: some calibrate the int8 versions, the others
judge every version. Exit code: 0 written, 2 refused (the message says why; nothing is written).
"""
_INSPECT_EXAMPLES = """
examples:
  lineside inspect pump-1.0.0.bundle.zip
  lineside inspect pump-1.0.0.bundle.zip --card > card.md
  lineside inspect pump-1.0.0.bundle.zip --json

Every file's digest is verified and the model answers its golden rows, as on a device. Exit code: 0 sound,
2 damaged, altered, or it answers otherwise here.
"""
_PREDICT_EXAMPLES = """
examples:
  lineside predict pump-1.0.0.bundle.zip rows.csv
  lineside predict pump-1.0.0.bundle.zip rows.csv -o answers.csv
  lineside predict pump-1.0.0.bundle.zip rows.csv --json

The columns are found by the channels' names, others are left out. A model of windows answers once a
window, on the line of its newest reading.
"""


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside export`."""
    _teach(parser, _EXPORT_EXAMPLES)
    # All forty options before the one sentence that matters would hide it.
    parser.usage = "%(prog)s MODEL --data CSV [--target COLUMN] -o NAME-VERSION.bundle.zip [options]"
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="estimator (skops, or a pickle), booster (XGBoost, LightGBM, CatBoost) or network (ONNX, PyTorch)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="NAME-VERSION.bundle.zip, or a folder"
    )
    parser.add_argument("--name", help="name of the model (default: from the output's file name)")
    parser.add_argument("--version", help="version of the model (default: from the output's file name)")
    _add_rows(parser)
    _add_signal(parser)
    _add_network(parser)
    _add_judging(parser)
    trust = parser.add_argument_group("trust")
    trust.add_argument(
        "--trust-pickle",
        action="store_true",
        help="open a pickle, joblib or PyTorch file, which runs any code in it",
    )
    trust.add_argument(
        "--trust-type",
        action="append",
        default=[],
        metavar="TYPE",
        help="allow a type in a skops file; repeat",
    )
    parser.add_argument(
        "--sign-key",
        type=Path,
        metavar="FILE",
        help="sign the bundle with this private key, as `lineside sign` does",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a report there for a browser: one HTML file, also with --dry-run",
    )
    parser.add_argument("--dry-run", action="store_true", help="do everything, but write no bundle")
    parser.add_argument("--json", action="store_true", help="print the manifest instead of a table")
    parser.set_defaults(run=_export)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="CSV",
        help="rows that the model was not trained on; the first line names the columns",
    )
    rows.add_argument(
        "--target",
        type=arguments.names,
        default=(),
        metavar="COLUMN",
        help="the truth: a,b for several values",
    )
    rows.add_argument(
        "--channels",
        type=arguments.names,
        default=(),
        metavar="A,B",
        help="the model's inputs in order (default: the names it was trained with, else all other columns)",
    )
    rows.add_argument(
        "--ignore",
        type=arguments.names,
        default=(),
        metavar="A,B",
        help="columns that are no input, such as a timestamp",
    )


def _add_signal(parser: argparse.ArgumentParser) -> None:
    signal = parser.add_argument_group("signal")
    signal.add_argument(
        "--window",
        type=arguments.count,
        default=1,
        metavar="LENGTH",
        help="readings in one input (default: 1)",
    )
    signal.add_argument(
        "--hop",
        type=arguments.count,
        metavar="READINGS",
        help="from one window to the next (default: LENGTH)",
    )
    signal.add_argument("--group", metavar="COLUMN", help="windows never cross from one value to another")
    signal.add_argument("--rate-hz", type=arguments.positive, metavar="HZ", help="readings in a second")
    signal.add_argument(
        "--unit",
        type=arguments.unit,
        action="append",
        default=[],
        metavar="CHANNEL=UNIT",
        help="a channel's unit; repeat",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network", "what an ONNX or PyTorch file does not say of itself")
    network.add_argument(
        "--task",
        choices=["classification", "regression", "outlier"],
        help="what its output is (default: as it shows, such as by a softmax)",
    )
    network.add_argument(
        "--classes",
        type=arguments.names,
        default=(),
        metavar="A,B",
        help="the labels in the order of its outputs (default: those in the file, else 0,1,...)",
    )
    network.add_argument(
        "--logits", action="store_true", help="its outputs are logits: make probabilities of them"
    )
    network.add_argument(
        "--threshold",
        type=arguments.number,
        metavar="SCORE",
        help="what scores above it is an outlier; an autoencoder's score is its mean squared error",
    )
    network.add_argument(
        "--layout",
        choices=["channels-first", "channels-last"],
        help="of an input with an axis of time and one of channels, where both would do",
    )
    network.add_argument("--answer", metavar="OUTPUT", help="which output answers (default: the only one)")
    network.add_argument(
        "--input-shape",
        type=arguments.shape,
        default=(),
        metavar="A,B",
        help="of one input, such as 3,128 for channels,length: a PyTorch module does not tell, nor some ONNX "
        "files",
    )
    network.add_argument(
        "--constant",
        type=arguments.constant,
        action="append",
        default=[],
        metavar="INPUT=NUMBER",
        help="fill an input of an ONNX file that takes no readings, such as a state with 0; repeat",
    )


def _add_judging(parser: argparse.ArgumentParser) -> None:
    judging = parser.add_argument_group("judging")
    judging.add_argument(
        "--held-back",
        type=arguments.share,
        default=0.3,
        metavar="SHARE",
        help="share of the rows that judge the candidates; the others calibrate int8 (default: 0.3)",
    )
    judging.add_argument(
        "--seed", type=arguments.seed, default=0, help="which rows are held back (default: 0)"
    )
    judging.add_argument(
        "--tolerance",
        type=arguments.tolerance,
        default=0.005,
        help="how much of the metric a smaller version may lose, absolute (default: 0.005)",
    )
    judging.add_argument(
        "--min-agreement",
        type=arguments.agreement,
        default=0.99,
        metavar="SHARE",
        help="share of the held-back rows that must keep their label, or have their value within 5%% of its "
        "standard deviation (default: 0.99)",
    )
    judging.add_argument(
        "--objective",
        choices=["latency", "size", "balanced"],
        default="balanced",
        help="what decides among the versions that are good enough (default: balanced)",
    )
    judging.add_argument(
        "--device",
        choices=["auto", "pi4", "pi5", "zero2w", "x86"],
        default="auto",
        help="where it will run: decides on the kinds of int8; auto: those that are exact everywhere (default)",
    )
    judging.add_argument(
        "--candidate",
        metavar="NAME",
        help="take this version, such as int8-weights, or refuse with the reason",
    )
    judging.add_argument(
        "--max-bytes",
        type=arguments.size,
        metavar="BYTES",
        help="refuse if no version's model is this small; 50000 or 50KB",
    )
    judging.add_argument(
        "--max-latency-us",
        type=arguments.positive,
        metavar="US",
        help="refuse if no version answers one row in this many microseconds here",
    )
    judging.add_argument(
        "--lossy-trees",
        action="store_true",
        help="try trees with at most 256 different leaves, too: smaller, and as far off as the table says",
    )
    judging.add_argument(
        "--allow-mismatch",
        action="store_true",
        help="write the bundle although it answers otherwise than the original; its card says so",
    )


def configure_inspect(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside inspect`."""
    _teach(parser, _INSPECT_EXAMPLES)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print the manifest")
    how.add_argument("--card", action="store_true", help="print the model card (Markdown)")
    parser.set_defaults(run=_inspect)


def configure_predict(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lineside predict`."""
    _teach(parser, _PREDICT_EXAMPLES)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "rows",
        type=Path,
        metavar="ROWS",
        help="CSV file, or - for standard input; the first line names the columns",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there (default: print)")
    parser.add_argument("--group", metavar="COLUMN", help="windows never cross from one value to another")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of CSV")
    parser.set_defaults(run=_predict)


def _teach(parser: argparse.ArgumentParser, examples: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples


def _export(options: argparse.Namespace) -> int:
    from lineside_contract.manifest import Window
    from lineside_export import report, show
    from lineside_export.dataset import Columns
    from lineside_export.export import export
    from lineside_export.load import Trust
    from lineside_export.networks.meaning import Meaning
    from lineside_export.pick import Rules
    from lineside_export.settings import Settings

    settings = Settings(
        model=options.model,
        data=options.data,
        output=options.output,
        name=options.name,
        version=options.version,
        trust=Trust(options.trust_pickle, tuple(options.trust_type)),
        meaning=Meaning(
            task=options.task,
            classes=options.classes,
            logits=options.logits,
            layout=options.layout,
            threshold=options.threshold,
            output=options.answer,
            shape=options.input_shape,
            constants=tuple(options.constant),
        ),
        columns=Columns(options.channels, options.target, options.ignore, options.group),
        window=Window(length=options.window, hop=options.hop or options.window),
        rate_hz=options.rate_hz,
        units=dict(options.unit),
        held_back=options.held_back,
        seed=options.seed,
        rules=Rules(
            objective=options.objective,
            tolerance=options.tolerance,
            min_agreement=options.min_agreement,
            candidate=options.candidate,
            max_bytes=options.max_bytes,
            max_latency_us=options.max_latency_us,
        ),
        device=options.device,
        lossy_trees=options.lossy_trees,
        allow_mismatch=options.allow_mismatch,
        dry_run=options.dry_run,
        sign_key=options.sign_key,
    )
    if options.report:
        report.check_place(options.report)
    with show.progress() as tell:
        exported = export(settings, tell)
    show.exported(exported, as_json=options.json)
    if options.report:
        report.write(options.report, exported)
        print(f"The report is {options.report}.", file=sys.stderr)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from lineside_agent.model import Model
    from lineside_contract.bundle import CARD, Bundle
    from lineside_export import facts

    bundle = Bundle.open(options.bundle)
    Model.open(bundle)
    if options.card:
        if CARD not in bundle.files:
            raise InputError(f"{options.bundle} has no card.")
        print(bundle.files[CARD].decode(errors="replace"), end="")
    elif options.json:
        print(facts.as_json(bundle.manifest))
    else:
        _show(bundle, options.bundle)
    return 0


def _show(bundle: Bundle, path: Path) -> None:
    try:
        from lineside_export import show
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        from lineside_export import show_plain

        show_plain.bundle(bundle, path)
        return
    show.bundle(bundle, path)


def _predict(options: argparse.Namespace) -> int:
    from lineside_export.predict import predict

    predict(options.bundle, options.rows, options.group, options.output, as_json=options.json)
    return 0
