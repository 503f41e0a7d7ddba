"""Print every way to store the networks that train.py made: bytes, time, and how alike they answer.

python compare.py networks [DEVICE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from lineside_contract.errors import InputError
from lineside_contract.manifest import Candidate, Window
from lineside_export.dataset import Columns
from lineside_export.export import export
from lineside_export.networks.meaning import Meaning
from lineside_export.settings import Settings

STATES = Meaning(task="classification", classes=("ok", "inner", "outer"), logits=True)
NETWORKS = {
    "separable": ("vibration.csv", Window(length=128, hop=128), STATES),
    "lstm": ("vibration.csv", Window(length=128, hop=128), STATES),
    "attention": ("vibration.csv", Window(length=128, hop=128), STATES),
    "mobile": ("digits.csv", Window(), Meaning(task="classification", logits=True)),
    "autoencoder": ("vibration.csv", Window(length=128, hop=128), Meaning(task="outlier", threshold=0.08)),
}


def compare(name: str, folder: Path, device: str) -> list[Candidate]:
    """Try every way to write one network. Raises InputError if it cannot be exported."""
    rows, window, meaning = NETWORKS[name]
    target = () if meaning.task == "outlier" else ("state",)
    settings = Settings(
        model=folder / f"{name}.onnx",
        data=folder / rows,
        name=name,
        version="1.0.0",
        meaning=meaning,
        columns=Columns(target=target, ignore=() if target else ("state",)),
        window=window,
        held_back=0.5,
        device=device,
        dry_run=True,
    )
    return export(settings).manifest.candidates


def main(folder: Path, device: str) -> None:
    """Print one table in Markdown."""
    print("| network | candidate | bytes | us, 1 row | us, 256 rows | agreement | verdict |")
    print("|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        for each in compare(name, folder, device):
            if each.bytes is None:
                print(f"| {name} | {each.name} | | | | | {each.reason} |")
                continue
            print(
                f"| {name} | {each.name} | {each.bytes:,} | {each.latency_1_us:.0f} | {each.latency_256_us:.0f} "
                f"| {each.agreement:.4f} | {each.verdict}: {each.reason} |"
            )


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1] if len(sys.argv) > 1 else "networks"),
            sys.argv[2] if len(sys.argv) > 2 else "auto",
        )
    except InputError as error:
        sys.exit(str(error))
