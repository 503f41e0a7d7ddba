"""A device calls nobody's home: onnxruntime's own reporting is off before it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["lineside_agent.model", "lineside_export.measure"])
def test_onnxruntime_reports_nothing(tmp_path: Path, module: str) -> None:
    """Where it reports, it keeps a session file among the temporary files and a thread that sends."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # With any of these it would be off anyway.
        if name not in ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI")
    }
    program = f"import {module}, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []
