"""WindowFeatures: right by their definitions, the same in the graph, and worth having."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from lineside_agent.model import Answers, Model
from lineside_agent.sensors.bearing import Bearing, defect_orders
from lineside_agent.sensors.simulated import Fault, Settings, simulate
from lineside_contract.bundle import Bundle
from lineside_export.ask import ask
from lineside_export.convert.sklearn import OPSETS
from lineside_export.features import WindowFeatures
from lineside_export.features.graph import register
from lineside_export.features.plan import SHAPE, SPECTRAL
from lineside_export.windows import sliding

RATE_HZ = 1000.0
BUNDLE = "m-1.0.0.bundle.zip"


def _everything(length: int, channels: int = 1) -> WindowFeatures:
    """Features of all kinds; windows must have 20 readings or more."""
    return WindowFeatures(
        channels=channels,
        length=length,
        rate_hz=RATE_HZ,
        features=SHAPE + SPECTRAL,
        bands=[(0, 120), (120, 240), (240, 500)],
        envelope_band=(150, 450),
        envelope_bands=[(5, 60), (60, 110)],
    )


def _session(features: WindowFeatures) -> tuple[onnxruntime.InferenceSession, int]:
    register()
    inputs = [("input", FloatTensorType([None, features.n_features_in_]))]
    data = convert_sklearn(features, initial_types=inputs, target_opset=OPSETS).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options), len(data)


def _run(session: onnxruntime.InferenceSession, rows: np.ndarray) -> np.ndarray:
    return session.run(None, {"input": rows.astype(np.float32)})[0]


def _named(features: WindowFeatures, row: np.ndarray) -> dict[str, float]:
    found = features.fit(row.reshape(1, -1)).transform(row.reshape(1, -1))
    return dict(zip(features.get_feature_names_out(), found[0].astype(float), strict=True))


def _hard(length: int, channels: int) -> np.ndarray:
    """Windows that numerical carelessness gets wrong."""
    random = np.random.default_rng(0)
    time = np.arange(length)[:, None] + np.zeros((1, channels))
    noise = random.normal(size=(length, channels))
    found = [noise * scale for scale in (1.0, 1e-30, 1e-42, 1e30)]
    found += [np.full_like(noise, value) for value in (0, 1, -7, 0.1, 1e4, 1e-38, 3e38)]
    found += [noise + 1e4, noise * 1e-3 + 1e4, noise * 1e-3 - 1e5]
    for place in (0, 1, length // 2, length - 1):
        impulse = np.zeros_like(noise)
        impulse[place] = 1
        found += [impulse, impulse * 1e6 + 1e4, impulse * -1e-20, impulse + noise * 1e-6]
    waves = [np.sin(2 * np.pi * time * cycles / length) for cycles in (1, 3, 3.5, length / 4, length / 2 - 1)]
    found += [*waves, np.sign(waves[1]), time, (-1.0) ** time, time % 2 * 1e6]
    return np.array(found).reshape(len(found), -1).astype(np.float32)


# A power of two and not, even and odd: onnxruntime transforms each its own way.
@pytest.mark.parametrize(("length", "channels"), [(256, 1), (250, 2), (999, 1), (2048, 3), (20, 1)])
def test_the_graph_is_the_transformer(length, channels) -> None:
    rows = _hard(length, channels)
    features = _everything(length, channels).fit(rows)
    expected = features.transform(rows)

    found = _run(_session(features)[0], rows)

    assert found.dtype == expected.dtype == np.float32
    # A handful of band energies, 16 orders of magnitude below the window's, end in other digits.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0)
    kinds = len(SHAPE + SPECTRAL)
    shape = np.arange(expected.shape[1]) % (expected.shape[1] // channels) < kinds
    np.testing.assert_array_equal(found[:, shape], expected[:, shape])


_SESSIONS = {}


@settings(max_examples=150, deadline=None)
@given(arrays(np.float32, 24, elements=st.floats(-(2.0**40), 2.0**40, width=32)))
def test_the_graph_is_the_transformer_on_any_window(row) -> None:
    features = _everything(24).fit(row.reshape(1, -1))
    if not _SESSIONS:
        _SESSIONS["any"] = _session(features)[0]
    expected = features.transform(row.reshape(1, -1))
    np.testing.assert_allclose(_run(_SESSIONS["any"], row.reshape(1, -1)), expected, rtol=1e-5, atol=0)


def test_a_reading_that_is_missing_spoils_its_channel_and_no_other() -> None:
    rows = np.random.default_rng(1).normal(size=(3, 128)).astype(np.float32)
    rows[1, 10] = np.nan  # the fifth reading of the first of two channels
    features = _everything(64, 2).fit(rows)
    for found in (features.transform(rows), _run(_session(features)[0], rows)):
        assert not np.isnan(found[[0, 2]]).any()
        first, second = np.split(found[1], 2)
        assert np.isnan(first).all()
        assert not np.isnan(second).any()
    # scikit-learn never takes an infinity; a device that is given one answers nothing, too.
    rows[1, 10] = np.inf
    assert np.isnan(np.split(_run(_session(features)[0], rows)[1], 2)[0]).all()


def test_many_windows_at_once_are_as_one_by_one() -> None:
    rows = np.random.default_rng(2).normal(size=(50, 100))
    features = _everything(100).fit(rows)
    alone = np.concatenate([features.transform(row.reshape(1, -1)) for row in rows])
    np.testing.assert_array_equal(features.transform(rows), alone)
    np.testing.assert_array_equal(_run(_session(features)[0], rows), alone)


def test_the_shape_is_what_scipy_says() -> None:
    row = np.random.default_rng(3).gamma(2, size=300).astype(np.float32)
    found = _named(WindowFeatures(), row)
    exact = row.astype(np.float64)
    swing = exact - exact.mean()
    expected = {
        "mean": exact.mean(),
        "std": exact.std(),
        "rms": np.sqrt(np.mean(exact**2)),
        "minimum": exact.min(),
        "maximum": exact.max(),
        "peak_to_peak": np.ptp(exact),
        "crest_factor": np.abs(swing).max() / exact.std(),
        "skewness": scipy.stats.skew(exact),
        "kurtosis": scipy.stats.kurtosis(exact, fisher=False),
        "zero_crossings": np.count_nonzero(np.diff(np.sign(swing))),
    }
    assert found == pytest.approx({f"x0_{name}": value for name, value in expected.items()}, rel=1e-6)


@pytest.mark.parametrize("length", [512, 500, 501])
def test_the_spectrum_is_what_scipy_says(length) -> None:
    row = np.random.default_rng(4).normal(size=length).astype(np.float32)
    bands = [(0, 100), (100, 101.9), (250, 500)]
    features = WindowFeatures(length=length, rate_hz=RATE_HZ, features=SPECTRAL, bands=bands)
    frequency, density = scipy.signal.periodogram(row.astype(np.float64), RATE_HZ, "hann")
    # scipy takes the mean away before the taper too. Neither the mean's bin nor Nyquist's counts here.
    inner = (frequency > 0) & (frequency < RATE_HZ / 2)
    frequency, power = frequency[inner], density[inner] * RATE_HZ / length

    centroid, dominant, *energies = _named(features, row).values()

    assert centroid == pytest.approx(np.average(frequency, weights=power), rel=1e-6)
    assert dominant == pytest.approx(frequency[power.argmax()], rel=1e-6)
    expected = [power[(frequency >= low) & (frequency < high)].sum() for low, high in bands]
    assert energies == pytest.approx(expected, rel=1e-6)


def test_a_tone_has_its_frequency_and_half_its_amplitude_squared() -> None:
    time = np.arange(1024) / 1024
    tone = 5 + 3 * np.sin(2 * np.pi * 100 * time)
    features = WindowFeatures(rate_hz=1024, features=SPECTRAL, bands=[(90, 110), (110, 500)])
    found = _named(features, tone)
    assert found["x0_spectral_centroid_hz"] == pytest.approx(100, abs=1e-3)
    assert found["x0_dominant_frequency_hz"] == 100
    assert found["x0_energy_90_110_hz"] == pytest.approx(4.5, rel=1e-6)
    assert found["x0_energy_110_500_hz"] < 1e-12


def test_the_envelope_finds_what_modulates_a_resonance() -> None:
    time = np.arange(2000) / 2000
    depth, amplitude = 0.4, 2.0
    ringing = amplitude * (1 + depth * np.cos(2 * np.pi * 30 * time)) * np.sin(2 * np.pi * 600 * time)
    hum = 10 * np.sin(2 * np.pi * 50 * time)
    features = WindowFeatures(
        rate_hz=2000,
        features=(),
        envelope_band=(500, 700),
        envelope_bands=[(25, 35), (55, 65), (40, 50)],
    )
    first, second, between = _named(features, ringing + hum).values()
    # (1 + d cos)^2 = 1 + d^2 / 2 + 2 d cos(a) + d^2 / 2 cos(2 a), times the amplitude squared.
    assert first == pytest.approx((amplitude**2 * 2 * depth) ** 2 / 2, rel=1e-5)
    assert second == pytest.approx((amplitude**2 * depth**2 / 2) ** 2 / 2, rel=1e-5)
    assert between < 1e-9 * first


def test_the_envelope_is_that_of_the_hilbert_transform() -> None:
    length = 1000
    row = np.random.default_rng(5).normal(size=length).astype(np.float32)
    spectrum = np.fft.rfft(row)
    frequency = np.fft.rfftfreq(length, 1 / RATE_HZ)
    spectrum[(frequency < 200) | (frequency >= 300)] = 0
    squared = np.abs(scipy.signal.hilbert(np.fft.irfft(spectrum, length))) ** 2
    frequency, density = scipy.signal.periodogram(squared, RATE_HZ, "hann")
    expected = (density * RATE_HZ / length)[(frequency >= 20) & (frequency < 50)].sum()
    features = WindowFeatures(
        rate_hz=RATE_HZ, features=(), envelope_band=(200, 300), envelope_bands=[(20, 50)]
    )
    assert list(_named(features, row).values()) == pytest.approx([expected], rel=1e-6)


def test_equal_readings_have_no_shape_and_no_frequency() -> None:
    found = _named(_everything(64), np.full(64, 10000.1))
    level = float(np.float32(10000.1))
    assert found.pop("x0_mean") == found.pop("x0_rms") == level
    assert found.pop("x0_minimum") == found.pop("x0_maximum") == level
    assert set(found.values()) == {0.0}


def test_an_offset_changes_only_what_it_should() -> None:
    steps = np.random.default_rng(6).integers(-50, 50, 128) / 64  # float32 holds them on top of the offset
    plain, lifted = (_named(_everything(128), steps + offset) for offset in (0, 4096))
    for name in ("mean", "rms", "minimum", "maximum"):
        assert lifted.pop(f"x0_{name}") != plain.pop(f"x0_{name}")
    assert lifted == pytest.approx(plain, rel=1e-6, abs=1e-12)


def test_columns_are_channel_by_channel_and_say_so() -> None:
    readings = np.random.default_rng(7).normal(size=(40, 2)) * [1, 100]
    features = WindowFeatures(channels=("x", "y"), rate_hz=100, features=["std", "rms"], bands=[(0, 12.5)])
    rows = sliding(readings, 20, 20)
    found = features.fit_transform(rows)
    names = features.get_feature_names_out().tolist()
    assert names == ["x_std", "x_rms", "x_energy_0_12.5_hz", "y_std", "y_rms", "y_energy_0_12.5_hz"]
    np.testing.assert_allclose(found[:, [0, 3]], [readings[:20].std(axis=0), readings[20:].std(axis=0)], 1e-6)


@pytest.mark.filterwarnings("ignore")
def test_it_is_an_estimator_as_scikit_learn_wants_it() -> None:
    results = check_estimator(WindowFeatures(), on_fail=None, on_skip=None)
    assert [each["check_name"] for each in results if each["status"] == "failed"] == []
    assert len(results) > 30
    features = _everything(64)
    assert clone(features).get_params() == features.get_params()


_BAD = {
    "unknown": ({"features": ["kurtosi"]}, "Did you mean 'kurtosis'"),
    "twice": ({"features": ["std", "std"]}, "twice"),
    "nothing": ({"features": []}, "not one feature"),
    "no rate": ({"features": SPECTRAL}, "need rate_hz"),
    "beyond Nyquist": ({"bands": [(10, 60)], "rate_hz": 100}, "half the sampling rate"),
    "backwards": ({"bands": [(20, 10)], "rate_hz": 100}, "not one between"),
    "empty band": ({"bands": [(10.1, 10.2)], "rate_hz": 100}, "only multiples of 1.5625 Hz"),
    "wrong length": ({"length": 60}, "Rows of 64 feature"),
    "text": ({"channels": "xy"}, "not the text"),
    "half an envelope": ({"envelope_band": (10, 20), "rate_hz": 100}, "need each other"),
    "fast envelope": (
        {"envelope_band": (10, 20), "envelope_bands": [(20, 30)], "rate_hz": 100},
        "is empty",
    ),
}


@pytest.mark.parametrize("name", _BAD)
def test_parameters_that_cannot_be_are_refused(name) -> None:
    parameters, words = _BAD[name]
    with pytest.raises(ValueError, match=words):
        WindowFeatures(**parameters).fit(np.zeros((2, 64)))


def test_the_graph_is_small_whatever_the_window() -> None:
    sizes = [_session(_everything(length).fit(np.zeros((1, length))))[1] for length in (64, 4096)]
    assert sizes[1] < sizes[0] + 200
    assert sizes[1] < 12_000


_PREDICTORS = {
    "logistic": LogisticRegression(),
    "network": MLPClassifier((16,), max_iter=300, random_state=0),
    "forest": RandomForestClassifier(20, random_state=0),
}
_WINDOW = ("--window", 64, "--hop", 32, "--group", "run")


def _signals(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Readings of two channels, what each is, and which run it belongs to: noise, a tone, impulses."""
    random = np.random.default_rng(seed)
    time = np.arange(2000)
    found = random.normal(size=(3, 2000, 2)) + 20
    found[1] += 2 * np.sin(2 * np.pi * 0.1 * time)[:, None]
    found[2, ::23] += 6
    kinds = np.repeat(["even", "tone", "strikes"], 2000)
    return found.reshape(-1, 2), kinds, np.repeat([0, 1, 2], 2000)


def _two_channels() -> WindowFeatures:
    return WindowFeatures(
        channels=("a", "b"),
        length=64,
        rate_hz=RATE_HZ,
        features=SHAPE + SPECTRAL,
        bands=[(80, 120)],
        envelope_band=(100, 400),
        envelope_bands=[(20, 80)],
    )


def _save(work, model) -> None:
    readings, kinds, runs = _signals(1)
    cut = [sliding(readings[runs == run], 64, 32) for run in range(3)]
    truth = np.repeat(["even", "tone", "strikes"], [len(rows) for rows in cut])
    work.save(model.fit(np.concatenate(cut), truth))
    readings, kinds, runs = _signals(2)
    work.rows(readings, np.column_stack([runs, kinds]), names=["a", "b"])
    text = (work.folder / "rows.csv").read_text()
    (work.folder / "rows.csv").write_text(text.replace("a,b,y0,y1", "a,b,run,y", 1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", _PREDICTORS)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_pipeline_of_features_is_exported_and_verified(work, kind, scaled) -> None:
    steps = [StandardScaler()] if scaled else []
    model = make_pipeline(_two_channels(), *steps, clone(_PREDICTORS[kind]))
    _save(work, model)

    result = work.export(*_WINDOW, "--rate-hz", RATE_HZ)  # no type is to be trusted by hand

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    manifest = bundle.manifest
    assert (manifest.window.length, manifest.window.hop, manifest.sampling_rate_hz) == (64, 32, RATE_HZ)
    assert [channel.name for channel in manifest.channels] == ["a", "b"]
    readings, _, _ = _signals(3)
    rows = np.ascontiguousarray(sliding(readings, 64, 64), np.float32)
    answers = Model.open(bundle).predict(rows)
    assert np.mean(answers.label == model.predict(rows)) > 0.99
    # No int8 of the layers behind may reach into the features.
    assert all(each.agreement > 0.98 for each in manifest.candidates if each.agreement is not None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", 32, "--rate-hz", RATE_HZ), ("windows of 64", "the window is 32", "--window 64")),
        ((*_WINDOW, "--rate-hz", 100), ("readings at 1000 Hz", "the rate is 100 Hz", "--rate-hz 1000")),
        (_WINDOW, ("no rate is given", "--rate-hz 1000")),
        ((*_WINDOW, "--rate-hz", RATE_HZ, "--channels", "b,a"), ("given b,a", "--channels a,b")),
        # The same number of values, but otherwise divided.
        (("--window", 128, "--rate-hz", RATE_HZ, "--channels", "a"), ("windows of 64",)),
    ],
)
def test_windows_other_than_the_features_own_are_refused(work, arguments, words) -> None:
    _save(work, make_pipeline(_two_channels(), StandardScaler(), LogisticRegression()))
    work.refused(work.export(*arguments), *words)


def test_features_that_were_tampered_with_are_refused(work) -> None:
    model = make_pipeline(_two_channels(), StandardScaler(), LogisticRegression())
    _save(work, model)
    model[0].bands = [("low", None)]
    work.save(model)
    work.refused(work.export(*_WINDOW, "--rate-hz", RATE_HZ), "WindowFeatures cannot be used")


_FAULTS = (None, "bearing_outer", "bearing_inner", "bearing_ball", "imbalance")
_LENGTH = 1024
_MACHINE = {"output": "waveform", "sample_rate_hz": 6000, "resonance_hz": 2000}


def _machine(seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the vibration of five machines, each with its own fault, a light one."""
    found, kinds = [], []
    for index, kind in enumerate(_FAULTS):
        faults = [Fault(kind=kind, severity=0.1)] if kind else []
        own = Settings(**_MACHINE, seed=seed + index)
        values = simulate(own, seconds, faults).values[:, :1]
        found.append(sliding(values, _LENGTH, _LENGTH // 2))
        kinds += [kind or "healthy"] * len(found[-1])
    return np.concatenate(found), np.array(kinds)


def test_bearing_faults_are_told_apart_on_a_device(work) -> None:
    turns = Settings().speed_rpm / 60
    orders = defect_orders(Bearing())
    strikes = [orders.ftf * turns, orders.bsf * turns, orders.bpfo * turns, orders.bpfi * turns]
    features = WindowFeatures(
        channels=("vibration_x_g",),
        length=_LENGTH,
        rate_hz=6000,
        features=("rms", "kurtosis"),
        bands=[(10, 40), (1500, 2500)],
        envelope_band=(1500, 2500),
        envelope_bands=[(0.9 * each, 1.1 * each + 6) for each in strikes],
    )
    rows, kinds = _machine(0, 3.0)
    model = make_pipeline(features, StandardScaler(), LogisticRegression(C=10, max_iter=2000)).fit(
        rows, kinds
    )
    raw = RandomForestClassifier(30, random_state=0).fit(rows, kinds)
    work.save(model)
    held_back, truth = _machine(50, 2.0)
    readings = held_back[:, : _LENGTH // 2].reshape(-1, 1)  # the windows overlap by half
    names = np.repeat(truth, _LENGTH // 2)
    work.rows(readings, names, names=["vibration_x_g"])

    result = work.export(
        "--window", _LENGTH, "--group", "y", "--rate-hz", 6000, "--unit", "vibration_x_g=g", "--channels",
        "vibration_x_g",
    )  # fmt: skip

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    assert len(bundle.files["model.onnx"]) < 20_000
    unseen, truth = _machine(90, 2.0)
    answers = Model.open(bundle).predict(np.ascontiguousarray(unseen, np.float32))
    assert np.mean(answers.label == truth) > 0.95
    # What the features are for: a forest of the readings themselves learns next to nothing.
    assert raw.score(unseen, truth) < 0.7


class _Counting:
    """A model that answers with its rows' first value, and remembers how many it was asked about at once."""

    def __init__(self) -> None:
        self.asked = []

    def predict(self, inputs) -> Answers:
        self.asked.append(len(inputs))
        return Answers(inputs[:, 0].astype(np.int64), None, None, inputs[:, :1])


def test_many_long_windows_are_asked_about_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr("lineside_export.ask.MOST_VALUES", 100)
    rows = np.arange(250, dtype=np.float32).reshape(-1, 10)
    model = _Counting()
    answers = ask(model, rows)
    assert model.asked == [10, 10, 5]
    np.testing.assert_array_equal(answers.label, rows[:, 0])
    np.testing.assert_array_equal(answers.scores, rows[:, :1])
    assert answers.probabilities is None
