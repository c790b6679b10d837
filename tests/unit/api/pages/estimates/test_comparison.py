"""The comparison of kept estimates, and the list of this browser."""

import re

from tests.unit.api.pages.arabic_text import assert_arabic
from tests.unit.api.pages.estimates.conftest import CAR, SECOND_CAR, ask, old_id


def row(html: str, label: str) -> list[str]:
    """The cells of a row of the table, without markup."""
    (cells,) = re.findall(
        rf'rowheader">{label}(?:<span[^>]*>[^<]*</span>)?</th>(.*?)</tr>', html, re.DOTALL
    )
    return [re.sub(r"<[^>]*>", "", one).strip() for one in re.findall(r"<td.*?</td>", cells)]


def left_out(html: str) -> str:
    """What is said of the cars for which there is no place."""
    (told,) = re.findall(r'<h2 id="en-trop">(.*?)</section>', html, re.DOTALL)
    return told


def test_cars_stand_side_by_side_with_their_differences(browser, cached):
    cached()
    cached(SECOND_CAR, 100_000.0)
    first, second = ask(browser), ask(browser, SECOND_CAR)
    html = browser.get(f"/comparer?id={first[-26:]}&id=http://localhost{second}%3Flang=ar").text
    assert row(html, "Prix") == [
        "90\u202f000\u00a0MAD",
        "100\u202f000\u00a0MAD10\u202f000\u00a0MAD de plus",
    ]
    assert row(html, "Carburant") == ["Essence", "Diesel"]
    assert row(html, "Avis") == ["Au-dessus du marché", "Au-dessus du marché"]
    marked = re.findall(r'class="differs">\s*<th[^>]*>([^<]*)', html)
    assert marked == ["Carburant", "Kilométrage"]
    assert html.count('scope="col"') == 2


def test_addresses_that_lead_nowhere_are_told_beside_their_field(browser, cached):
    cached()
    good, expired = ask(browser), old_id(400)
    answer = browser.get(f"/comparer?id={good}&id={expired}&id=nonsense")
    assert answer.status_code == 200
    errors = dict(re.findall(r'<p class="message" id="id-(\d)-error">(.*?)</p>', answer.text))
    assert "365" in errors["2"]
    assert "pas l\u2019adresse d\u2019une estimation" in errors["3"]
    assert 'value="nonsense"' in answer.text
    assert "Dacia Logan 2020" in answer.text
    assert browser.get(f"/comparer?id={expired}").status_code == 410
    assert browser.get(f"/comparer?id={old_id(1)}").status_code == 404


def test_no_more_than_four_cars_and_each_once(browser, cached):
    paths = []
    for year in range(2014, 2020):
        car = CAR | {"year": str(year)}
        cached(car)
        paths.append(ask(browser, car))
    query = "&".join(f"id={path}" for path in [paths[0], *paths])
    html = browser.get(f"/comparer?{query}").text
    assert re.findall(r"Dacia Logan (\d{4})</a>", html) == ["2014", "2015", "2016", "2017"]
    told = left_out(html)
    assert told.startswith("2 voitures ne sont pas comparées")
    assert "Quatre voitures tiennent" in told
    assert re.findall(r"Dacia Logan (\d{4})<", told) == ["2018", "2019"]


def test_more_cars_than_fit_are_counted_or_named_as_they_were_written(browser):
    query = "&".join(f"id=nonsense{number}" for number in range(20))
    told = left_out(browser.get(f"/comparer?{query}&lang=en").text)
    assert told.startswith("16 cars are left out")
    assert re.findall(r"nonsense(\d+)", told) == [str(number) for number in range(4, 12)]
    assert "and 8 more" in told
    arabic = browser.get(f"/comparer?{query}&lang=ar").text
    assert_arabic(arabic, ["nonsense"])


def test_the_address_and_the_id_of_a_car_are_one_car(browser, cached):
    cached()
    path = ask(browser)
    html = browser.get(f"/comparer?id={path[-26:]}&id=http://localhost{path}&id={path}").text
    assert html.count('scope="col"') == 1
    assert 'id="en-trop"' not in html


def test_the_list_is_in_the_browser_only_and_says_so(browser):
    for language, said in (("fr", "navigateur"), ("ar", "متصفحك"), ("en", "browser")):
        answer = browser.get(f"/estimations?lang={language}")
        assert answer.status_code == 200
        assert said in answer.text
        assert "<noscript>" in answer.text


def test_with_keys_estimates_of_others_are_not_compared(keyed, cached):
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    assert page.get(f"/comparer?id={path}").status_code == 401
    assert page.get(f"/comparer?id={path}", auth=keyed.other).status_code == 404
    assert page.get(f"/comparer?id={path}", auth=keyed.owner).status_code == 200
