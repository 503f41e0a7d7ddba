"""Random and sampled waves whose products come close to a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write an RBFSampler, SkewedChi2Sampler, AdditiveChi2Sampler or PolynomialCountSketch.

    In float64: only the last turn of a wave counts, and its length grows with the readings.
    """
    graph.kind = np.dtype(np.float64)
    return graph.leave(_WRITERS[type(step).__name__](step, graph, graph.enter(source)))


def _cosines(step: Any, graph: Graph, source: str) -> str:
    """Rahimi and Recht, "Random features for large-scale kernel machines", 2007."""
    waves = graph.product(source, step.random_weights_, step.random_offset_)
    return graph.add("Mul", graph.add("Cos", waves), graph.constant(np.sqrt(2 / step.n_components)))


def _skewed(step: Any, graph: Graph, source: str) -> str:
    """Li, Ionescu and Sminchisescu, "Random Fourier approximations for skewed kernels", 2010.

    Where scikit-learn refuses a reading, at most minus the skewedness, the answer is not a number.
    """
    shifted = graph.add("Add", source, graph.constant(np.array(float(step.skewedness))))
    return _cosines(step, graph, graph.add("Log", shifted))


def _additive(step: Any, graph: Graph, source: str) -> str:
    """Vedaldi and Zisserman, "Efficient additive kernels via explicit feature maps", 2010.

    scikit-learn refuses a negative reading; here its root is not a number.
    """
    # scikit-learn 1.5 has a default for each number of steps.
    interval = step.sample_interval or {1: 0.8, 2: 0.5, 3: 0.4}[step.sample_steps]
    none = graph.add("Equal", source, graph.constant(np.array(0.0)))
    zero, one = graph.constant(np.array(0.0)), graph.constant(np.array(1.0))
    turn = graph.add("Log", graph.add("Where", none, one, source))
    root = graph.add("Sqrt", source)
    found = [graph.add("Mul", root, graph.constant(np.array(np.sqrt(interval))))]
    for number in range(1, step.sample_steps):
        size = np.sqrt(2 * interval / np.cosh(np.pi * number * interval))
        angle = graph.add("Mul", turn, graph.constant(np.array(number * interval)))
        scaled = graph.add("Mul", root, graph.constant(np.array(size)))
        found += [graph.add("Mul", scaled, graph.add(wave, angle)) for wave in ("Cos", "Sin")]
    found = [graph.add("Where", none, zero, each) for each in found]
    return graph.add("Concat", *found, axis=1)


def _sketch(step: Any, graph: Graph, source: str) -> str:
    """Pham and Pagh, "Fast and scalable polynomial kernels via explicit feature maps", 2013.

    The convolution of the sketches is a product of their spectra, each one a product with the rows: the sketch
    and the Fourier transform in one matrix.
    """
    count = step.n_components
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(count), np.arange(count)) / count)
    spectrum: tuple[str, str] | None = None
    for places, signs in zip(step.indexHash_, step.bitHash_, strict=True):
        matrix = signs[:, None] * fourier[places]
        features = step.n_features_in_
        offset = np.sqrt(step.coef0) * matrix[features:].sum(axis=0)
        scaled = np.sqrt(step.gamma) * matrix[:features]
        factor = (
            graph.product(source, scaled.real, offset.real),
            graph.product(source, scaled.imag, offset.imag),
        )
        spectrum = factor if spectrum is None else _multiplied(graph, spectrum, factor)
    if spectrum is None:
        raise Unwritable("a PolynomialCountSketch without a degree")
    back = fourier.conj() / count
    real = graph.product(spectrum[0], back.real)
    return graph.add("Sub", real, graph.product(spectrum[1], back.imag))


def _multiplied(graph: Graph, one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    (a, b), (c, d) = one, other
    real = graph.add("Sub", graph.add("Mul", a, c), graph.add("Mul", b, d))
    return real, graph.add("Add", graph.add("Mul", a, d), graph.add("Mul", b, c))


_WRITERS = {
    "AdditiveChi2Sampler": _additive,
    "PolynomialCountSketch": _sketch,
    "RBFSampler": _cosines,
    "SkewedChi2Sampler": _skewed,
}
