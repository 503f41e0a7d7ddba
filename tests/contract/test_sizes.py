"""Sizes as settings and arguments say them."""

from __future__ import annotations

import pytest

from lineside_contract.sizes import as_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1.5 kB", 1500), ("256MB", 256_000_000), ("2GiB", 2 << 30), ("1mib", 1 << 20)],
)
def test_sizes_are_read_in_both_kinds_of_units(text: str, size: int) -> None:
    assert as_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "1.", "1e6", "12 bananas", "1 000", "nan", "0x10", "1MB\n2"]
)
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write it as"):
        as_bytes(text)
