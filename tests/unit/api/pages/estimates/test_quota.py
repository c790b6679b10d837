"""How many estimates are kept per day."""

import pytest

from api.estimates.quota import DailyQuota
from api.http.context import EXTENSION
from shared.domain.clock import DAY_S
from shared.domain.errors import StorageUnavailable
from shared.domain.ids import CallerId
from tests.unit.api.pages.estimates.conftest import CAR, ask

DEALER, RIVAL = CallerId("dealer"), CallerId("rival")
NOON = 20_000.5 * DAY_S


def test_a_caller_and_all_callers_together_have_a_number_per_day():
    quota = DailyQuota(per_caller=2, total=3)
    for caller in (DEALER, DEALER, RIVAL):
        quota.require_left(caller, NOON)
        quota.count(caller, NOON)
    for caller in (DEALER, RIVAL):
        with pytest.raises(StorageUnavailable):
            quota.require_left(caller, NOON)
    quota.require_left(DEALER, NOON + DAY_S)


def test_one_caller_does_not_take_the_number_of_another():
    quota = DailyQuota(per_caller=1, total=3)
    quota.count(DEALER, NOON)
    quota.require_left(RIVAL, NOON)
    with pytest.raises(StorageUnavailable):
        quota.require_left(DEALER, NOON)


def test_visitors_of_one_address_do_not_take_the_number_of_others():
    quota = DailyQuota(per_caller=3, total=9, per_address=1)
    quota.count(DEALER, NOON, "first")
    with pytest.raises(StorageUnavailable):
        quota.require_left(DEALER, NOON, "first")
    quota.require_left(DEALER, NOON, "second")
    quota.count(DEALER, NOON, "second")
    quota.count(DEALER, NOON, "third")
    with pytest.raises(StorageUnavailable):
        quota.require_left(DEALER, NOON, "fourth")
    quota.require_left(DEALER, NOON + DAY_S, "first")
    for _ in range(3):  # other callers have no address
        quota.require_left(RIVAL, NOON)
        quota.count(RIVAL, NOON)


def test_beyond_it_the_page_shows_the_estimate_and_says_that_it_has_no_address(
    browser, cached, settings
):
    cached()
    quota = browser.application.extensions[EXTENSION].estimates.quota
    quota.per_caller = 1
    ask(browser)
    answer = browser.post("/", data=CAR)
    assert answer.status_code == 200
    assert '<data value="90000">' in answer.text
    assert "n\u2019a pas d\u2019adresse" in answer.text
    assert len(list((settings.batches_path / "estimates").glob("**/*.json"))) == 1


def test_beyond_it_a_slow_estimate_is_still_made(browser):
    browser.application.extensions[EXTENSION].estimates.quota.per_caller = 0
    assert browser.get(ask(browser)).status_code == 202
    refused = browser.post(
        "/predict?keep=true", json={"company": "Dacia", "model": "Logan", "year": 2018}
    )
    assert refused.status_code == 503
    assert refused.json["type"].endswith("#storage-unavailable")
