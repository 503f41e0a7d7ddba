"""Every link from one document to another leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ["benchmarks", "broker-config", "collector", "docs", "edge_agent", "examples", "export"]
DOCUMENTS = [
    *REPOSITORY.glob("*.md"),
    *(each for folder in FOLDERS for each in (REPOSITORY / folder).rglob("*.md")),
]


def headings(document: Path) -> set[str]:
    """Return the anchors that GitHub gives a document's headings."""
    lines = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line) for line in lines]
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text())
    for link in links:
        file, _, heading = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        assert not heading or heading in headings(target), link
