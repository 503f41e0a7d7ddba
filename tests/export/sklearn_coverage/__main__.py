"""Judge every estimator, or those that are named, and write the document or print the verdicts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sklearn_coverage import document
from sklearn_coverage.cases import cases
from sklearn_coverage.judge import WRONG, judge


def main() -> int:
    """Return 1 if anything is silently wrong."""
    parser = argparse.ArgumentParser(prog="sklearn_coverage", description=__doc__)
    parser.add_argument("names", nargs="*", help="estimators; all of them if none is named")
    parser.add_argument("-o", "--output", type=Path, help="the document to write")
    arguments = parser.parse_args()
    chosen = [case for case in cases() if not arguments.names or case.name in arguments.names]
    verdicts = {}
    for number, case in enumerate(chosen, 1):
        verdicts[case] = judge(case, scaled=False), judge(case, scaled=True)
        if arguments.output is None:
            print(f"{case.name:30} {' | '.join(document.row(*verdicts[case]))}")
        elif sys.stderr.isatty():
            print(f"\r{number} of {len(chosen)}", end="", file=sys.stderr)
    if arguments.output is not None:
        arguments.output.write_text(document.write(verdicts))
    wrong = [
        f"{case.name}: {v.reason}" for case, pair in verdicts.items() for v in pair if v.verdict == WRONG
    ]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
