"""Conditional requests are evaluated as RFC 9110, section 13.2.2, says."""

import pytest
from flask import Flask, Response

from api.http.conditional import conditional, is_known
from api.http.problems import PreconditionFailed

CHANGED = "Sun, 29 Nov 2026 07:00:00 GMT"
BEFORE, AFTER = "Sun, 29 Nov 2026 06:59:59 GMT", "Sun, 29 Nov 2026 07:00:01 GMT"


def known(headers: dict[str, str], etag: str = '"a"', method: str = "GET") -> bool:
    """Whether the answer is 304."""
    with Flask(__name__).test_request_context(method=method, headers=headers):
        return is_known(etag, CHANGED)


@pytest.mark.parametrize("etag", ['"a"', 'W/"a"'])
@pytest.mark.parametrize("sent", ['"a"', 'W/"a"', '"x", W/"a"', "*"])
def test_if_none_match_is_compared_weakly(etag: str, sent: str) -> None:
    assert known({"If-None-Match": sent}, etag)
    assert known({"If-None-Match": sent}, etag, "HEAD")
    assert not known({"If-None-Match": sent}, etag, "POST")
    assert not known({"If-None-Match": '"b"'}, etag)


@pytest.mark.parametrize("sent", ['"a"', '"x", "a"', "*"])
def test_if_match_holds_for_a_strong_etag(sent: str) -> None:
    assert not known({"If-Match": sent})
    assert known({"If-Match": sent, "If-None-Match": '"a"'})


@pytest.mark.parametrize(
    ("etag", "sent"), [('"a"', '"b"'), ('"a"', 'W/"a"'), ('W/"a"', '"a"'), ('W/"a"', 'W/"a"')]
)
def test_if_match_refuses_another_or_a_weak_etag(etag: str, sent: str) -> None:
    with pytest.raises(PreconditionFailed):
        known({"If-Match": sent, "If-None-Match": '"a"'}, etag)


def test_any_representation_satisfies_a_star() -> None:
    assert not known({"If-Match": "*"}, 'W/"a"')


def test_dates_count_without_etags_only() -> None:
    assert known({"If-Modified-Since": CHANGED})
    assert not known({"If-Modified-Since": BEFORE})
    assert not known({"If-Modified-Since": CHANGED, "If-None-Match": '"b"'})
    assert not known({"If-Unmodified-Since": AFTER})
    assert not known({"If-Unmodified-Since": CHANGED})
    assert not known({"If-Unmodified-Since": BEFORE, "If-Match": '"a"'})
    with pytest.raises(PreconditionFailed):
        known({"If-Unmodified-Since": BEFORE})


@pytest.mark.parametrize("date", ["yesterday", ""])
def test_a_date_that_cannot_be_read_is_ignored(date: str) -> None:
    assert not known({"If-Modified-Since": date, "If-Unmodified-Since": date})


def test_a_response_that_the_caller_has_becomes_304() -> None:
    with Flask(__name__).test_request_context(headers={"If-None-Match": '"a"'}):
        assert conditional(Response(b"x", headers={"ETag": 'W/"a"'})).status_code == 304
        assert conditional(Response(b"x", headers={"ETag": '"b"'})).status_code == 200
