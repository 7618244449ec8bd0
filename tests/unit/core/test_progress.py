from __future__ import annotations

import pytest

from cachecore.progress import bytes_text, copies_text, transfer_text


def test_copies() -> None:
    assert copies_text(38, 40) == "38/40"


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (0, 0, "0/0 B"),
        (512, 1000, "512/1000 B"),
        (0, 2**30, "0.0/1.0 GiB"),
        (3 * 2**28, 2**30, "0.8/1.0 GiB"),
        (5 * 2**40, 10 * 2**40, "5.0/10.0 TiB"),
    ],
)
def test_bytes_are_in_the_unit_of_the_total(done: int, total: int, text: str) -> None:
    assert bytes_text(done, total) == text


def test_the_rate_is_shown_while_something_moves() -> None:
    assert transfer_text(2**29, 2**30, 2**20) == "0.5/1.0 GiB at 1.0 MiB/s"
    assert transfer_text(2**30, 2**30, 0) == "1.0/1.0 GiB"
