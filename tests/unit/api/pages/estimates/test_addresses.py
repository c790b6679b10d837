"""The address of an estimate: what it shows, to whom, and for how long."""

import dataclasses
import re
import time

import pytest

from api.app import create_app
from shared.domain.ids import JobId, new_id
from shared.domain.job import JobState
from shared.redis.job_store.store import JobStore
from shared.redis.workers import WorkerRegistry
from tests.unit.api.pages.estimates.conftest import BROWSER, CAR, PRICE, ask, old_id


def price_of(html: str) -> str:
    """The price that a page shows."""
    found = re.search(r'<data value="(\d+)">', html)
    return found[1] if found else ""


def test_the_form_leads_to_an_address_whose_result_takes_the_focus(browser, cached):
    cached()
    answer = browser.post("/?lang=ar", data=CAR)
    assert answer.status_code == 303
    assert re.fullmatch(r"/estimations/[0-9a-z]{26}\?lang=ar#resultat", answer.headers["Location"])


def test_another_process_shows_the_same_after_the_cache_and_the_month_have_changed(
    settings, servers, browser, cached, monkeypatch
):
    cached()
    path = ask(browser)
    first = browser.get(path).text
    servers.cache.flushall()
    servers.broker.flushall()
    cached(price=2 * PRICE)
    monkeypatch.setattr("shared.redis.cache.current_month", lambda: 30_000)
    again = create_app(settings).test_client().get(path).text
    assert price_of(first) == price_of(again) == "90000"
    assert first == again
    for said in ("67\u202f500", "117\u202f000", "Dacia Logan 2020", "Au-dessus du marché"):
        assert said in again


def test_the_page_states_date_and_reference_and_has_a_code_for_paper(browser, cached):
    cached()
    path = ask(browser)
    html = browser.get(path).text
    tail = path[-7:].upper()
    assert f'<bdi class="reference">{tail[:4]}-{tail[4:]}</bdi>' in html
    assert re.search(r'<time datetime="20\d\d-\d\d-\d\d">Estimation du \d+ \w+ 20\d\d</time>', html)
    assert 'class="qr"' in html


def test_the_page_describes_itself_to_messengers_and_hides_from_search(browser, cached):
    cached()
    path = ask(browser)
    for language, said in (("fr", "Neuf voitures"), ("ar", "تسع سيارات"), ("en", "Nine")):
        answer = browser.get(f"{path}?lang={language}")
        tags = dict(re.findall(r'<meta property="og:([a-z:]+)" content="([^"]*)">', answer.text))
        assert tags["url"] == f"http://localhost{path}?lang={language}"
        assert tags["image"] == f"http://localhost{path}.png?lang={language}"
        assert "Dacia Logan 2020" in tags["title"]
        assert said in tags["description"]
        assert "https://wa.me/?text=" in answer.text
        assert "noindex" in answer.headers["X-Robots-Tag"]
        assert '<meta name="robots" content="noindex, nofollow">' in answer.text
        assert answer.headers["Content-Language"] == language


def test_nothing_of_the_visitor_is_stored(browser, cached, settings):
    cached()
    headers = {"User-Agent": "Secret/1", "X-Forwarded-For": "203.0.113.9", "Accept-Language": "ar"}
    path = ask(browser, headers=headers)
    folder = settings.batches_path / "estimates" / path.rsplit("/", 1)[-1]
    (record,) = folder.iterdir()
    content = record.read_text()
    for text in ("Secret", "203.0.113.9", "127.0.0.1", "ar-", '"ar"'):
        assert text not in content


def test_a_full_disk_still_shows_the_estimate_and_says_that_it_has_no_address(
    settings, cached, tmp_path
):
    (tmp_path / "file").write_text("in the way")
    page = create_app(dataclasses.replace(settings, blobs_path=tmp_path / "file")).test_client()
    cached()
    answer = page.post("/", data=CAR)
    assert answer.status_code == 200
    assert price_of(answer.text) == "90000"
    assert "n\u2019a pas d\u2019adresse" in answer.text
    assert 'id="partager"' not in answer.text


def test_without_days_nothing_is_kept(settings, cached):
    page = create_app(dataclasses.replace(settings, estimate_days=0)).test_client()
    cached()
    answer = page.post("/", data=CAR)
    assert answer.status_code == 200
    assert price_of(answer.text) == "90000"
    assert not (settings.batches_path / "estimates").exists()


@pytest.mark.parametrize(
    ("language", "said"),
    [("fr", "Estimation expirée"), ("ar", "انتهت صلاحية التقدير"), ("en", "Estimate expired")],
)
def test_an_expired_address_says_so_in_the_language_of_the_reader(browser, language, said):
    answer = browser.get(f"/estimations/{old_id(366)}", headers={"Accept-Language": language})
    assert answer.status_code == 410
    assert said in answer.text
    assert browser.get(f"/estimations/{old_id(364)}").status_code == 404


@pytest.mark.parametrize(
    "tampered",
    [
        new_id(),
        new_id(0),
        new_id(time.time() + 10 * 86_400),
        "nonsense",
        "..",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%00",
        "A" * 26,
        "z" * 26,
        "é" * 26,
        "a" * 5000,
    ],
)
def test_a_tampered_address_is_unknown(browser, tampered):
    for suffix in ("", ".pdf", ".png"):
        answer = browser.get(f"/estimations/{tampered}{suffix}", headers=BROWSER)
        assert answer.status_code == 404
    assert browser.get(f"/valuations/{tampered}").status_code == 404


def test_another_end_of_the_same_time_is_unknown(browser, cached):
    cached()
    path = ask(browser)
    other = path[:-1] + ("0" if path[-1] != "0" else "1")
    assert browser.get(path).status_code == 200
    assert browser.get(other).status_code == 404


def test_a_slow_estimate_keeps_its_address_and_is_kept_when_it_is_made(
    browser, servers, settings, cached
):
    path = ask(browser)
    waiting = browser.get(path)
    assert waiting.status_code == 202
    assert 'value="Logan"' in waiting.text
    assert browser.get(f"{path}.pdf").headers["Location"] == path
    estimate = cached()
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(JobId(path.rsplit("/", 1)[-1]), JobState.SUCCEEDED, [estimate])
    assert price_of(browser.get(path).text) == "90000"
    servers.broker.flushall()
    assert price_of(create_app(settings).test_client().get(path).text) == "90000"


def test_an_estimate_that_was_never_made_keeps_its_car(browser, servers):
    path = ask(browser)
    servers.broker.flushall()
    answer = browser.get(path)
    assert answer.status_code == 410
    assert "n\u2019a pas été faite" in answer.text
    assert 'value="Logan"' in answer.text


def test_the_wait_says_how_many_are_before(browser, servers):
    WorkerRegistry(servers.broker).heartbeat("interactive@host:1", ["interactive"])
    ask(browser, CAR | {"year": "2015"})
    html = browser.get(ask(browser)).text
    assert "1 demande est avant la vôtre." in html
    assert "arrêtés" not in html


def test_an_outage_keeps_the_entries_and_tries_again(settings):
    gone = dataclasses.replace(settings, redis_url="unix:///nonexistent/broker.sock")
    page = create_app(gone).test_client()
    answer = page.post("/", data=CAR)
    assert answer.status_code == 503
    assert 'value="Logan"' in answer.text
    (address,) = re.findall(r'data-refresh="([^"]*)"', answer.text)
    again = page.get(address.replace("&amp;", "&"), headers=BROWSER)
    assert again.status_code == 503
    assert "essai=2" in again.text
    assert 'value="Logan"' in again.text
    last = page.get(address.replace("&amp;", "&").replace("essai=1", "essai=11"), headers=BROWSER)
    assert "data-refresh" not in last.text
