"""The wheels that a Raspberry Pi would install: Lineside's own, and what its agent needs, for aarch64."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pi_userland import CACHE, PYTHON_OF, SUITE

REPOSITORY = Path(__file__).parents[2]
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
# glibc of the suites: pip takes only the platforms that it is told, so every one is named. With manylinux2014
# alone it finds an onnxruntime of 2023, which numpy 2 crashes.
_NEWEST_GLIBC = {"bookworm": 36, "trixie": 41}


def wheels() -> Path:
    """Return a folder with the wheels of `lineside[agent]`, Lineside's own freshly built."""
    folder = CACHE / f"wheels-{SUITE}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("lineside-*.whl"):
        old.unlink()
    subprocess.run([*_PIP, "wheel", "--no-deps", "-w", folder, REPOSITORY], check=True)
    (own,) = folder.glob("lineside-*.whl")
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(_NEWEST_GLIBC[SUITE], 16, -1)]
    subprocess.run(
        [
            *_PIP,
            "download",
            *platforms,
            "--platform=manylinux2014_aarch64",
            "--implementation=cp",
            f"--python-version={PYTHON_OF[SUITE]}",
            "--only-binary=:all:",
            f"--find-links={folder}",
            "-d",
            folder,
            f"{own}[agent]",
        ],
        check=True,
    )
    return folder
