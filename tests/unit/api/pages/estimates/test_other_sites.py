"""Pages of other sites may ask for a price without keys, but have nothing stored."""

from urllib.parse import urlencode

import pytest

from tests.unit.api.pages.estimates.conftest import BROWSER, CAR, ask

ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://elsewhere.example"},
]


@pytest.fixture
def kept(settings):
    """Lists what is stored of estimates."""
    return lambda: list((settings.batches_path / "estimates").glob("**/*.json"))


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_form_or_link_of_another_site_stores_nothing(browser, cached, kept, headers):
    cached()
    for answer in (
        browser.post("/", data=CAR, headers=headers | BROWSER),
        browser.get(f"/?{urlencode(CAR)}", headers=headers | BROWSER),
    ):
        assert answer.status_code == 200
        assert '<data value="90000">' in answer.text
        assert 'value="Logan"' in answer.text
        assert 'id="partager"' not in answer.text
    assert kept() == []


def test_a_slow_estimate_of_another_site_is_shown_but_not_stored(browser, kept):
    path = ask(browser, headers=ELSEWHERE[0])
    assert browser.get(path).status_code == 202
    assert kept() == []


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_page_of_another_site_keeps_no_answer_of_the_api(browser, cached, kept, headers):
    cached()
    car = {"company": "Dacia", "model": "Logan", "year": 2018}
    refused = browser.post("/predict?keep=true", json=car, headers=headers)
    assert refused.status_code == 403
    assert refused.json["type"].endswith("#cross-site-refused")
    assert browser.post("/predict", json=car, headers=headers).status_code in {200, 202}
    assert kept() == []


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}])
def test_the_form_of_this_site_is_kept(browser, cached, kept, headers):
    cached()
    assert browser.get(ask(browser, headers=headers)).status_code == 200
    assert len(kept()) == 1
