"""Train five small networks of different kinds with PyTorch, each with the rows that it is exported with.

    pip install 'lineside[export,torch]' --extra-index-url https://download.pytorch.org/whl/cpu
    python train.py networks        # a few minutes on one core
    python compare.py networks      # every way to store each of them: bytes, time, noise, agreement

Vibration is simulated: a shaft at 29 Hz, noise, and for a worn bearing the impulses of its inner or outer race that
make the housing ring (readings at 1 kHz, windows of 128, two channels). The digits are scikit-learn's.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

LENGTH, RATE_HZ = 128, 1000
STATES = ("ok", "inner", "outer")
# Impulses in a second of each state.
_IMPULSES = {1: 87, 2: 141}


class Rows(NamedTuple):
    """Inputs as a network takes them, and the class of each."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def vibration(windows: int, state: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return readings, shape (windows * LENGTH, 2), of a machine in one state."""
    count = windows * LENGTH
    time = np.arange(count) / RATE_HZ
    signal = 0.6 * np.sin(2 * np.pi * 29 * time + generator.uniform(0, 6))[:, None] * [1, 0.7]
    signal = signal + generator.normal(0, 0.25, (count, 2))
    if state:
        impulses = np.zeros(count)
        at = np.arange(0, count, RATE_HZ / _IMPULSES[state]) + generator.uniform(0, 1)
        impulses[at.astype(int) % count] = 1
        decay = np.arange(40) / RATE_HZ
        ringing = np.convolve(impulses, np.exp(-160 * decay) * np.sin(2 * np.pi * 330 * decay))[:count]
        signal += (ringing * generator.uniform(0.5, 1.2))[:, None] * [1, 0.6]
    return signal.astype(np.float32)


def machines(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the readings of `count` machines, one after the other, and the state at each reading."""
    generator = np.random.default_rng(seed)
    states = [index % len(STATES) for index in range(count)]
    readings = np.concatenate([vibration(20, state, generator) for state in states])
    return readings, np.repeat(states, 20 * LENGTH)


def cut(readings: NDArray[np.float32], states: NDArray[np.int64]) -> Rows:
    """Cut readings into windows, channels first."""
    windows = readings.reshape(-1, LENGTH, readings.shape[1]).transpose(0, 2, 1)
    return Rows(np.ascontiguousarray(windows), states[LENGTH - 1 :: LENGTH])


class SeparableCNN(nn.Sequential):
    """Depthwise separable convolutions, as in small keyword spotters."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv1d(2, 16, 9, padding=4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2)),
            *(
                nn.Conv1d(16, 16, 5, padding=2, groups=16),
                nn.Conv1d(16, 32, 1),
                nn.BatchNorm1d(32),
                nn.ReLU(),
            ),
            *(nn.MaxPool1d(2), nn.Conv1d(32, 64, 5, padding=2), nn.BatchNorm1d(64), nn.ReLU()),
            *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)),
        )


class Inverted(nn.Module):
    """An inverted residual with squeeze and excitation, as in MobileNetV3."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.Hardswish())
        self.deep = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner), nn.BatchNorm2d(inner), nn.Hardswish()
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, inner, 1),
            nn.Hardsigmoid(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.deep(self.wide(x))
        return x + self.narrow(inner * self.gate(inner))


class MobileCNN(nn.Sequential):
    """A small MobileNetV3 of pictures of 8 by 8."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.Hardswish(), Inverted(24, 96)),
            *(nn.MaxPool2d(2), Inverted(24, 96), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
        )


class SpectralLSTM(nn.Module):
    """A learned spectrum, its logarithm and an LSTM, as in detectors of speech."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum = nn.Conv1d(2, 64, 32, stride=8, bias=False)
        self.mix = nn.Sequential(nn.Conv1d(32, 32, 3, padding=1), nn.ReLU())
        self.memory = nn.LSTM(32, 64, batch_first=True)
        self.head = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.spectrum(x)
        power = parts[:, :32] ** 2 + parts[:, 32:] ** 2
        found = self.memory(self.mix(torch.log(power + 1e-3)).transpose(1, 2))[0]
        return self.head(found[:, -1])


class Attention(nn.Module):
    """One layer of a transformer over patches of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv1d(2, 48, 8, stride=8)
        self.place = nn.Parameter(torch.randn(1, LENGTH // 8, 48) * 0.1)
        self.layer = nn.TransformerEncoderLayer(48, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(48, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.patches(x).transpose(1, 2) + self.place).mean(dim=1))


class Autoencoder(nn.Sequential):
    """What it was not trained on it makes a poor copy of: trained on good machines, its error tells the others."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv1d(2, 16, 8, stride=4, padding=2), nn.ReLU()),
            *(nn.Conv1d(16, 8, 8, stride=4, padding=2), nn.ReLU()),
            *(nn.ConvTranspose1d(8, 16, 8, stride=4, padding=2), nn.ReLU()),
            nn.ConvTranspose1d(16, 2, 8, stride=4, padding=2),
        )


def fit(network: nn.Module, rows: Rows, loss: Callable[..., torch.Tensor], epochs: int) -> nn.Module:
    """Train a network with Adam; loss: of its outputs, the inputs and the labels."""
    inputs, labels = torch.from_numpy(rows.inputs), torch.from_numpy(rows.labels)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            loss(network(inputs[chosen]), inputs[chosen], labels[chosen]).backward()
            optimizer.step()
    return network.eval()


def classify(outputs: torch.Tensor, _: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy."""
    return nn.functional.cross_entropy(outputs, labels)


def copy(outputs: torch.Tensor, inputs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of a copy."""
    return nn.functional.mse_loss(outputs, inputs)


def save(network: nn.Module, example: NDArray[np.float32], path: Path) -> None:
    """Write a network as an ONNX file that takes any number of inputs at once."""
    torch.onnx.export(
        network,
        (torch.from_numpy(example[:2]),),
        path,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        external_data=False,
        verbose=False,
    )


def write(path: Path, names: list[str], values: NDArray[np.float32], truth: list[str]) -> None:
    """Write rows with their truth as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "state"])
        writer.writerows([*row, label] for row, label in zip(values.tolist(), truth, strict=True))


def main(folder: Path) -> None:
    """Train the networks and write them with their rows."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    trained, (readings, states) = cut(*machines(60, 0)), machines(24, 1)
    held = cut(readings, states)
    write(folder / "vibration.csv", ["x", "y"], readings, [STATES[state] for state in states])
    for name, kind in (("separable", SeparableCNN), ("lstm", SpectralLSTM), ("attention", Attention)):
        network = fit(kind(), trained, classify, 25)
        report(name, network, held)
        save(network, held.inputs, folder / f"{name}.onnx")
    good = Rows(trained.inputs[trained.labels == 0], trained.labels[trained.labels == 0])
    network = fit(Autoencoder(), good, copy, 60)
    save(network, held.inputs, folder / "autoencoder.onnx")
    digits = load_digits()
    pictures = Rows((digits.images[:, None] / 16).astype(np.float32), digits.target.astype(np.int64))
    network = fit(MobileCNN(), Rows(*(each[:1000] for each in pictures)), classify, 25)
    rest = Rows(*(each[1000:] for each in pictures))
    report("mobile", network, rest)
    save(network, rest.inputs, folder / "mobile.onnx")
    flat = rest.inputs.reshape(len(rest.inputs), -1)
    write(folder / "digits.csv", [f"p{at}" for at in range(64)], flat, [str(each) for each in rest.labels])


def report(name: str, network: nn.Module, held: Rows) -> None:
    """Print the share of right answers to rows that training did not see."""
    with torch.inference_mode():
        found = network(torch.from_numpy(held.inputs)).argmax(dim=1).numpy()
    print(f"{name}: {np.mean(found == held.labels):.3f} of {len(found)} right")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "networks"))
