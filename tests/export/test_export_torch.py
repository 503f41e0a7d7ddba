"""PyTorch files become bundles that answer as the modules do. Skipped where PyTorch is not installed."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from small_networks import LENGTH, STATES, machine

from lineside_contract.errors import InputError
from lineside_export.networks.files import READERS, open_file
from lineside_export.networks.meaning import Meaning

TRAINED, SEEN = machine(200, 0), machine(100, 1)


def test_a_pytorch_file_is_trusted_like_a_pickle(tmp_path) -> None:
    """Whether PyTorch is there or not: nothing is opened before that."""
    for suffix in READERS.keys() - {".onnx"}:
        path = tmp_path / f"model{suffix}"
        path.write_bytes(b"PK\x03\x04")
        with pytest.raises(InputError, match="can run any code") as refusal:
            open_file(path, Meaning(), 1, trusted=False)
        assert "torch.onnx.export" in refusal.value.hint
        with pytest.raises(InputError, match="no such file"):
            open_file(tmp_path / f"none{suffix}", Meaning(), 1, trusted=True)


def test_what_to_do_without_pytorch(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "model.pt2").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="PyTorch is not installed") as refusal:
        open_file(tmp_path / "model.pt2", Meaning(), 1, trusted=True)
    assert "lineside[torch]" in refusal.value.hint


torch = pytest.importorskip(
    "torch",
    reason="PyTorch is too large for every run: pip install 'lineside[torch]' "
    "--extra-index-url https://download.pytorch.org/whl/cpu",
)
pytest.importorskip("onnxscript", reason="part of lineside[torch]")
nn = torch.nn


class Convolutions(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv1d(2, 8, 9, padding=4), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(8, 16, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 2)),
        )


class Memory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.GRU(2, 12, batch_first=True)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.memory(x)[0][:, -1])


# A pickle names the module that a class is in; another process would have to find it there.
WINDOWS = torch.from_numpy(TRAINED.windows)


def fitted(network, inputs):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    labels, optimizer = torch.from_numpy(TRAINED.labels), torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(12):
        for chosen in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return fitted(Convolutions(), WINDOWS)


def program(network, example, *, any_rows: bool, path: str = "model.pt2") -> Path:
    dynamic = ({0: torch.export.Dim("rows")},) if any_rows else None
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), path)
    return Path(path)


def expected(network, inputs) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(inputs)).softmax(dim=1).numpy()


@pytest.mark.parametrize("any_rows", [True, False])
def test_a_program_becomes_a_bundle(work, network, any_rows) -> None:
    """Also one that was exported for one window at a time."""
    work.rows(SEEN.readings, [STATES[state] for state in SEEN.states], ["x", "y"], target_name="state")
    path = program(network, WINDOWS[: 2 if any_rows else 1], any_rows=any_rows)
    command = ("export", path, "--data", "rows.csv", "--window", LENGTH, "--target", "state", "--json")
    meaning = ("--classes", "ok,worn", "--logits", "--trust-pickle", "--candidate", "float32")
    result = work.run(*command, *meaning, "-o", "m-1.0.0.bundle.zip")
    assert result.code == 0, result.err
    manifest = json.loads(result.out)
    assert manifest["metric_exported"] > 0.9
    assert manifest["estimator"] == "PyTorch(Conv, Gemm)"
    found = [
        json.loads(line)
        for line in work.run("predict", "m-1.0.0.bundle.zip", "rows.csv", "--json").out.splitlines()
    ]
    likely = expected(network, SEEN.windows)
    np.testing.assert_allclose([each["probability_worn"] for each in found], likely[:, 1], atol=1e-4)


def test_a_pickled_module(tmp_path, monkeypatch, network) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(network, "model.pt")
    with pytest.raises(InputError, match="does not tell the shape") as refusal:
        open_file(Path("model.pt"), Meaning(logits=True), LENGTH, trusted=True)
    assert "--input-shape" in refusal.value.hint
    with pytest.raises(InputError, match="cannot export the module for inputs"):
        open_file(Path("model.pt"), Meaning(logits=True, shape=(3, LENGTH)), LENGTH, trusted=True)
    found = open_file(Path("model.pt"), Meaning(logits=True, shape=(2, LENGTH)), LENGTH, trusted=True)
    assert found.schema.estimator == "Convolutions(Conv, Gemm)"
    rows = SEEN.readings.reshape(-1, 2 * LENGTH)
    np.testing.assert_allclose(found.answer(rows).probabilities, expected(network, SEEN.windows), atol=1e-5)


def test_a_recurrent_network_channels_last(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    windows = torch.from_numpy(np.ascontiguousarray(TRAINED.windows.transpose(0, 2, 1)))
    network = fitted(Memory(), windows)
    found = open_file(
        program(network, windows[:2], any_rows=True), Meaning(logits=True), LENGTH, trusted=True
    )
    rows = SEEN.readings.reshape(-1, 2 * LENGTH)
    likely = expected(network, SEEN.readings.reshape(-1, LENGTH, 2))
    np.testing.assert_allclose(found.answer(rows).probabilities, likely, atol=1e-5)
    assert "GRU" in found.schema.estimator


def test_the_guide_s_module(work) -> None:
    """What the guide shows of PyTorch, which the guide's own test leaves out."""
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "networks.md").read_text()
    program, command = (
        re.search(rf"^```{kind}\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)[1] for kind in ("py", "sh")
    )
    signal = np.random.default_rng(0).normal(size=(2000, 2))
    motors = np.repeat(["left", "right"], 1000)
    lines = [f"{motor},{x},{y}" for motor, (x, y) in zip(motors, signal, strict=True)]
    Path("vibration.csv").write_text("\n".join(["motor,x,y", *lines]))
    exec(compile(program, "guide", "exec"), {})
    result = work.run(*shlex.split(command.replace("\\\n", " ").removeprefix("$ lineside ")))
    assert result.code == 0, result.err


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


def test_pytorch_files_that_do_not_do(tmp_path, monkeypatch, network) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(network.state_dict(), "weights.pt")
    torch.jit.save(torch.jit.trace(network, WINDOWS[:1]), "script.pt")
    torch.export.save(torch.export.export(Two(), (WINDOWS[:1], WINDOWS[:1])), "two.pt2")
    Path("broken.pt2").write_bytes(b"PK\x03\x04 no zip")
    for name, words in (
        ("weights.pt", "holds a OrderedDict, not a whole module"),
        ("script.pt", "not a whole module"),
        ("two.pt2", "takes 2 inputs"),
        ("broken.pt2", "cannot be loaded"),
    ):
        with pytest.raises(InputError, match=words) as refusal:
            open_file(Path(name), Meaning(logits=True, shape=(2, LENGTH)), LENGTH, trusted=True)
        assert refusal.value.hint
