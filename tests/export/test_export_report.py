"""`lineside export --report`: one file that holds everything, escapes everything and loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Workplace
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier

from lineside_contract.bundle import Bundle
from lineside_export.report.axis import linear, logarithmic
from lineside_export.report.markdown import html
from lineside_export.report.markup import tag

_VOID = {"meta", "br"}


class _Page(HTMLParser):
    """Reads a page, and insists that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self.tables: list[list[list[str]]] = []
        self._heading = False
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "img", "iframe", "object"), tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("src", "href"), value
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "h2":
            self._heading = True
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._heading = self._heading and tag != "h2"

    def handle_data(self, data):
        if self._heading:
            self.sections[data] = ""
        elif self.sections:
            last = list(self.sections)[-1]
            self.sections[last] += data
        if self.open and self.open[-1] in ("td", "th", "span") and "table" in self.open:
            self.tables[-1][-1][-1] += data


def _report(work: Workplace, *extra: object, target: str | None = "y") -> tuple[str, _Page]:
    result = work.export("--report", "report.html", *extra, target=target)
    assert result.code == 0, result.err
    assert "The report is report.html." in result.err
    text = (work.folder / "report.html").read_text()
    return text, _Page(text)


def test_a_classifiers_report_says_what_the_bundle_says(work: Workplace, digits_like) -> None:
    rows, labels = digits_like
    work.save(MLPClassifier((16,), max_iter=60, random_state=0).fit(rows[:300], labels[:300]))
    work.rows(rows[300:], labels[300:])
    text, page = _report(work)
    manifest = Bundle.open(work.folder / "m-1.0.0.bundle.zip").manifest
    assert list(page.sections) == [
        "Candidates",
        "Answers before and after",
        "Difference by output",
        "Channels",
        "Operators in the graph",
        "Model card",
    ]
    table = page.tables[0]
    assert [row[0] for row in table[1:]] == [each.name for each in manifest.candidates]
    assert [row[-2] for row in table[1:]] == [each.verdict for each in manifest.candidates]
    drawing = re.search(r"<svg.*?</svg>", text, re.S)
    assert drawing
    marks = [node for node in ElementTree.fromstring(drawing[0]).iter() if node.tag == "circle"]
    measured = [each for each in manifest.candidates if each.bytes and each.latency_1_us]
    assert len(marks) == len(measured) + 1  # the chosen one's ring
    before, after = page.tables[1], page.tables[2]
    for matrix, metric in ((before, manifest.metric_original), (after, manifest.metric_exported)):
        counts = np.array([[int(cell.replace(",", "")) for cell in row[1:]] for row in matrix[1:]])
        assert counts.sum() == manifest.rows_held_back
        assert np.trace(counts) / counts.sum() == pytest.approx(metric)
    assert [row[0] for row in page.tables[3][1:]] == [f"probability {label}" for label in (0, 1, 2)]


@pytest.fixture
def digits_like() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 700)
    return (generator.normal(size=(700, 4)) + labels[:, None]).astype(np.float32), labels


def test_a_regressors_errors_are_drawn(work: Workplace) -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(500, 3)).astype(np.float32)
    work.save(Ridge().fit(rows, rows @ [1, 2, 3]))
    work.rows(rows, rows @ [1, 2, 3] + generator.normal(size=500))
    text, page = _report(work)
    dots = re.findall(r'class="dot"', text)
    rows_held_back = Bundle.open(work.folder / "m-1.0.0.bundle.zip").manifest.rows_held_back
    assert len(dots) == 2 * rows_held_back
    assert page.tables[1][1][0] == "value y"


@pytest.mark.parametrize(
    "model",
    [IsolationForest(n_estimators=10, random_state=0), KMeans(3, n_init=1, random_state=0)],
    ids=lambda m: type(m).__name__,
)
def test_models_without_a_truth(work: Workplace, model) -> None:
    rows = np.random.default_rng(2).normal(size=(400, 3)).astype(np.float32)
    work.save(model.fit(rows))
    work.rows(rows)
    _, page = _report(work, target=None)
    assert "no truth in the rows" in page.sections["Answers before and after"]
    assert float(page.tables[2][1][1]) < 1e-3  # the scores' largest difference


def test_names_from_outside_are_escaped(work: Workplace) -> None:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(300, 2)).astype(np.float32)
    labels = np.where(rows[:, 0] > 0, "<script>alert(1)</script>", 'a"&b')
    work.save(LogisticRegression().fit(rows, labels))
    work.rows(rows, labels, ["<img src=x>", "b|c"])
    text, page = _report(work)  # the page's reader refuses scripts and images
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [row[0] for row in next(t for t in page.tables if t[0][0] == "channel")[1:]] == [
        "<img src=x>",
        "b|c",
    ]


def test_a_dry_run_writes_the_report_and_no_bundle(work: Workplace) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 2)).astype(np.float32)
    work.save(Ridge().fit(rows, rows[:, 0]))
    work.rows(rows, rows[:, 0])
    _report(work, "--dry-run")
    assert not (work.folder / "m-1.0.0.bundle.zip").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("report.txt", "does not end in .html"),
        ("nowhere/report.html", "The folder nowhere does not exist."),
        ("folder.html", "folder.html cannot be written."),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_the_work(work: Workplace, place: str, said: str) -> None:
    (work.folder / "folder.html").mkdir()
    work.refused(work.export("--report", place), said)  # there is no model yet: nobody looked


def test_the_axes_have_round_ticks_in_sight() -> None:
    for axis in (
        logarithmic([9.0, 13.0], 0, 100),
        logarithmic([1e3, 1e6], 0, 100),
        linear([0.1, 0.9], 0, 100),
    ):
        ticks = axis.ticks()
        assert len(ticks) >= 2
        assert all(0 <= axis.at(tick) <= 100 for tick in ticks)
    assert linear([5.0], 0, 100).at(5.0) == 50


def test_markdown_of_a_card() -> None:
    assert html("# A\n\n| a | b |\n| --- | --- |\n| 1\\|2 | **x** |\n\n- <i>") == (
        '<h3>A</h3><div class="wide"><table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>'
        '<tbody><tr><th scope="row">1|2</th><td><strong>x</strong></td></tr></tbody></table></div>'
        "<ul><li>&lt;i&gt;</li></ul>"
    )
    assert tag("p", 'a"<', title='"', lang=None) == '<p title="&quot;">a&quot;&lt;</p>'


def test_the_report_of_an_earlier_run_survives_a_refusal(work: Workplace) -> None:
    report = Path(work.folder / "report.html")
    report.write_text("before")
    assert work.export("--report", "report.html").code == 2  # no model
    assert report.read_text() == "before"
