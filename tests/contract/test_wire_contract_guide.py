"""The wire contract's guide shows every message, as it really is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lineside_contract.messages import decode, encode
from lineside_contract.schemas import PUBLISHED

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "wire-contract.md").read_text()
SECTIONS = dict(re.findall(r"^### `(.+?)`\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL))


def test_it_has_a_section_for_every_kind() -> None:
    assert sorted(SECTIONS) == sorted(published.address for published in PUBLISHED.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_example_is_a_message_with_nothing_too_much(name: str) -> None:
    published = PUBLISHED[name]
    section = SECTIONS[published.address]
    (example,) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    assert json.loads(encode(decode(example.encode(), published.type))) == json.loads(example)
    assert section.lstrip().startswith(f"QoS {published.qos}{', retained' if published.retained else '.'}")
