"""What `lineside agent check` says about a sensor that is read at another rate than the model's readings were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from test_agent_commands import check, init, make_bundle

from lineside_agent.check import rate_note
from lineside_contract.bundle import Bundle, write_bundle
from lineside_contract.manifest import Channel


@pytest.mark.parametrize(
    ("trained", "count", "step_ns", "note"),
    [
        (1000.0, 100, 1_000_000, ""),
        (1050.0, 100, 1_000_000, ""),
        (2000.0, 100, 1_000_000, "1000 readings come in a second, trained on 2000"),
        (100.0, 100, 1_000_000, "1000 readings come in a second, trained on 100"),
        (None, 100, 1_000_000, ""),
        (2000.0, 9, 1_000_000_000, ""),  # too few
        (2000.0, 100, 1_000, ""),  # a burst that had waited
        (2000.0, 100, 0, ""),
        (2000.0, 100, -1_000_000, ""),  # the clock was set back
    ],
)
def test_only_what_is_plainly_another_rate_is_noted(trained, count, step_ns, note) -> None:
    assert rate_note(trained, np.arange(count) * step_ns) == note


@pytest.mark.parametrize(("trained", "noted"), [(12000.0, False), (25600.0, True)])
def test_the_check_compares_the_sensor_with_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained, noted
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.bundle.zip"
    make_bundle(path, [Channel(name="vibration_x_g")])
    bundle = Bundle.open(path)
    manifest = replace(bundle.manifest, sampling_rate_hz=trained)
    write_bundle(path, manifest, dict(bundle.files))
    init(sensor="simulated")
    capsys.readouterr()
    monkeypatch.setenv("LINESIDE__SENSORS__MAIN__OUTPUT", "waveform")
    code, steps = check(capsys, "--offline")
    assert code == 0, steps
    assert ("12000 readings come in a second" in steps["channels"]["detail"]) == noted
