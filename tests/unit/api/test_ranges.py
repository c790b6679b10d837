"""Byte ranges of result files (RFC 9110, section 14)."""

import pytest
from flask import Flask

from api.batches.result_views import _requested_range
from api.http.problems import RangeNotSatisfiable

VALIDATORS = ('"tag"', "Sun, 29 Nov 2026 07:00:00 GMT")


def requested(header: str, *, method: str = "GET", **headers: str) -> tuple[int, int] | None:
    """Start and stop in a file of 100 bytes."""
    sent = {"Range": header} | {name.replace("_", "-"): value for name, value in headers.items()}
    with Flask(__name__).test_request_context(method=method, headers=sent):
        return _requested_range(100, VALIDATORS)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-", (10, 100)),
        ("bytes=10-500", (10, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("BYTES = 5-7", (5, 8)),
    ],
)
def test_a_range_is_cut_to_the_file(header: str, span: tuple[int, int]) -> None:
    assert requested(header) == span


@pytest.mark.parametrize(
    "header", ["", "items=0-1", "bytes=7-5", "bytes=x", "bytes=0-1,5-6", "bytes=-", "bytes"]
)
def test_unreadable_headers_other_units_and_several_ranges_are_ignored(header: str) -> None:
    assert requested(header) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested(header)


def test_a_range_needs_get_and_a_matching_validator() -> None:
    assert requested("bytes=1-2", method="HEAD") is None
    assert requested("bytes=1-2", If_Range='"other"') is None
    for validator in VALIDATORS:
        assert requested("bytes=1-2", If_Range=validator) == (1, 3)
