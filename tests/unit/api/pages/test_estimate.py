"""The page at `/`, with a real broker, a real cache and a real model, and no worker."""

import dataclasses
import json
import re
import time
from urllib.parse import urlencode

import pytest

from api.app import create_app
from api.pages.car.form import example_values
from api.pages.car.views import EXTRAS
from api.pages.policy import PAGE_CSP
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.domain.clock import month_number
from shared.domain.ids import JobId, new_id
from shared.domain.job import JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.keys.entries import Scope, new_key
from shared.redis.cache import EstimateCache
from shared.redis.job_store.store import JobStore
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.conftest import wait_until
from tests.unit.model_store import small_models

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CAR = example_values() | {"company": "Dacia", "model": "Logan"}
PRICE = 90_000.0
SHARES = (0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory):
    """A registry with one small model, active."""
    path = tmp_path_factory.mktemp("small")
    ModelRegistry(path).activate(save_bundle(small_models.train(), path).id, by="test")
    return path


@pytest.fixture(scope="module")
def settings(session_servers, small_model, tmp_path_factory):
    """Servers and a model; nobody works on the queue, and nobody waits long for it."""
    return dataclasses.replace(
        session_servers.settings,
        models_path=small_model,
        audit_path=tmp_path_factory.mktemp("audit"),
        predict_wait_s=0.1,
    )


@pytest.fixture(scope="module")
def app(settings):
    return create_app(settings)


@pytest.fixture
def page(app, servers):
    # A thread of the application may still write the end of an earlier test's request.
    wait_until(lambda: servers.broker.flushdb() and servers.broker.dbsize() == 0)
    return app.test_client()


@pytest.fixture
def lonely_page(small_model, tmp_path):
    """The page with a model but without any server."""
    home = tmp_path / "home"
    return create_app(with_server_urls(Settings(home=home, models_path=small_model))).test_client()


@pytest.fixture
def estimate(small_model):
    return Estimate(
        price_mad=PRICE,
        quantiles_mad=tuple(PRICE * share for share in SHARES),
        model_version=str(ModelRegistry(small_model).active_version()),
        model_known=True,
    )


@pytest.fixture
def cached(servers, estimate):
    """The estimate of `CAR` stands in the cache."""
    cache = EstimateCache(servers.cache, 3600, time.time)

    def put(**changes) -> None:
        shown = dataclasses.replace(estimate, **changes)
        cache.put([(load_car_request(CAR).car, EXTRAS, shown)])

    return put


def error_of(html: str, name: str) -> str:
    """The message beside a field."""
    found = re.search(rf'<p class="message" id="{name}-error">(.*?)</p>', html)
    return found[1] if found else ""


def test_the_page_loads_nothing_from_elsewhere(page):
    answer = page.get("/", headers={"Accept": BROWSER})
    loaded = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
    assert all(address.startswith(("/", "#")) for address in loaded)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style", answer.text), "the policy forbids them"
    assert answer.headers["Content-Security-Policy"] == PAGE_CSP


def test_the_page_and_its_assets_are_found_and_small(page):
    answer = page.get("/", headers={"Accept": BROWSER})
    addresses = re.findall(r'"(/assets/[^"]*)"', answer.text)
    assets = [page.get(address) for address in addresses]
    assert [asset.status_code for asset in assets] == [200] * 7
    assert all("immutable" in asset.headers["Cache-Control"] for asset in assets)
    assert sum(len(part.data) for part in [answer, *assets]) < 100_000


def test_every_input_has_a_label_and_every_description_exists(page):
    html = page.post("/", data=CAR | {"year": "1890", "doors": "99"}).text
    inputs = re.findall(r'<(?:input|select) id="(\w+)" name="(\w+)"', html)
    assert all(identifier == name for identifier, name in inputs)
    assert {name for name, _ in inputs} == set(re.findall(r'<label for="(\w+)"', html))
    described = " ".join(re.findall(r'aria-describedby="([^"]*)"', html)).split()
    assert described
    assert set(described) <= set(re.findall(r' id="([\w-]+)"', html))


def test_the_model_suggests_brands_and_models(page):
    html = page.get("/", headers={"Accept": BROWSER}).text
    assert '<option value="Dacia">' in html
    assert '<option value="Logan" label="Dacia">' in html
    models = re.findall(r'<option value="([^"]*)" label="[^"]*">', html)
    assert models[:3] == ["Clio", "Golf", "Logan"], "the most listed of all brands first"


def test_with_a_brand_only_its_models_are_suggested(page):
    html = page.get("/?company=dacia", headers={"Accept": BROWSER}).text
    shown = re.search(r'<datalist id="model-options">(.*?)</datalist>', html, re.DOTALL)
    models = re.findall(r'value="([^"]*)"', shown[1] if shown else "")
    assert models[:3] == ["Logan", "Sandero", "Duster"]
    assert "Clio" not in models


def test_the_example_fills_the_form(page):
    html = page.get("/?exemple=1", headers={"Accept": BROWSER}).text
    assert 'value="Toyota"' in html
    assert '<option value="Petrol" selected>Essence</option>' in html


def test_a_wrong_value_is_named_beside_its_field_and_the_others_are_kept(page):
    answer = page.post("/", data=CAR | {"year": "1890", "doors": "99", "edition": '<b>"sport"'})
    assert answer.status_code == 422
    assert "1990" in error_of(answer.text, "year")
    assert "9" in error_of(answer.text, "doors")
    assert '<a href="#year">' in answer.text
    assert 'value="1890"' in answer.text
    assert 'value="Logan"' in answer.text
    assert 'value="&lt;b&gt;&#34;sport&#34;"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 2


def test_an_empty_form_names_every_required_field(page):
    answer = page.post("/")
    assert answer.status_code == 422
    assert "3 champs sont à corriger" in answer.text


def test_an_estimate_shows_price_interval_and_verdict(page, cached):
    cached()
    answer = page.post("/", data=CAR | {"asking_price_mad": "120 000"}, follow_redirects=True)
    assert answer.status_code == 200
    assert '<data value="90000">90\u202f000</data>' in answer.text
    assert "affichées entre <b>67\u202f500</b> et <b>117\u202f000</b> MAD" in answer.text
    assert "Au-dessus du marché" in answer.text
    assert "données jusqu\u2019à juin 2026" in answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_the_page_states_the_age_of_the_data_and_warns_when_they_are_old(page, cached, monkeypatch):
    """The model of the page quotes the prices of June 2026."""
    for months, is_old in ((3, False), (15, True)):
        month = month_number("2026-06") + months
        monkeypatch.setattr("shared.redis.cache.current_month", lambda month=month: month)
        cached(month=month)
        text = page.post("/", data=CAR, follow_redirects=True).text
        assert f"données jusqu\u2019à juin 2026 (il y a {months} mois)" in text
        assert ("annonces du modèle ont au moins 15" in text) is is_old


def link(car: dict[str, str]) -> str:
    return f"/?{urlencode(car)}"


def test_a_link_with_a_car_shows_form_and_estimate(page, cached):
    cached()
    answer = page.get(
        link(CAR | {"utm_source": "mail"}), headers={"Accept": BROWSER}, follow_redirects=True
    )
    assert answer.status_code == 200
    assert '<data value="90000">' in answer.text
    assert 'value="Logan"' in answer.text
    assert "utm_source" not in answer.text


def test_a_link_without_a_required_field_fills_the_form_only(page):
    answer = page.get(link({"company": "Škoda", "fuel": "Diesel"}), headers={"Accept": BROWSER})
    assert answer.status_code == 200
    assert 'value="Škoda"' in answer.text
    assert 'aria-invalid="true"' not in answer.text
    assert "<data " not in answer.text


def test_a_link_with_a_wrong_value_names_it(page):
    answer = page.get(link(CAR | {"year": "1890"}), headers={"Accept": BROWSER})
    assert answer.status_code == 422
    assert "1990" in error_of(answer.text, "year")
    assert 'value="Logan"' in answer.text


def test_a_link_of_a_busy_service_waits_too(page):
    answer = page.get(link(CAR), headers={"Accept": BROWSER})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/estimations/")
    assert page.get(answer.headers["Location"]).status_code == 202


def test_the_page_after_waiting_says_how_the_car_was_read(page, servers, estimate):
    sent = page.post("/", data=CAR | {"model": "Sandeero", "fuel": "", "city": "Rabat"})
    address = sent.headers["Location"]
    assert 'value="Sandeero"' in page.get(address).text
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(JobId(address.rsplit("/", 1)[-1]), JobState.SUCCEEDED, [estimate])
    done = page.get(address).text
    assert "Lu comme Dacia Sandero" in done
    assert "Sans le carburant" in done
    assert 'value="Sandeero"' in done


def test_an_unknown_model_and_ignored_values_are_said(page, cached):
    cached(model_known=False)
    html = page.post("/", data=CAR | {"condition": "rutilante"}, follow_redirects=True).text
    assert "absent de nos données" in html
    assert "Valeur inconnue" in html


def test_an_asking_price_of_an_unknown_model_is_not_judged(page, cached):
    """A Bugatti at 30,000,000 MAD was "+4,588 %, almost all comparable cars ask less"."""
    for company in ((), ("company",)):
        cached(model_known=False, unpriced=company)
        html = page.post(
            "/", data=CAR | {"asking_price_mad": "30 000 000"}, follow_redirects=True
        ).text
        assert "Prix demandé non jugé" in html
        assert "Au-dessus du marché" not in html
        assert "voitures comparables sont affichées moins cher" not in html
        assert ("Cette marque et ce modèle sont absents" in html) is bool(company)
        assert "Si la marque" not in html


def test_an_asking_price_beyond_the_scale_says_so(page, cached):
    cached()
    for asking, is_beyond in (("120 000", False), ("30 000 000", True), ("1 000", True)):
        html = page.post("/", data=CAR | {"asking_price_mad": asking}, follow_redirects=True).text
        assert ("(hors échelle)" in html) is is_beyond


def test_fields_without_an_effect_are_named_in_one_line(page, cached):
    cached(unpriced=("edition", "city"))
    html = page.post("/", data=CAR, follow_redirects=True).text
    assert "Sans effet sur ce prix" in html
    assert "Version et Ville. Le modèle ne connaît pas ces valeurs." in html


def test_a_busy_service_shows_a_page_that_waits_and_then_the_result(page, servers, estimate):
    address = page.post("/", data=CAR).headers["Location"]
    waiting = page.get(address)
    assert waiting.status_code == 202
    assert f'<meta http-equiv="refresh" content="5; url={address}?attente=1">' in waiting.text
    assert "Les processus de calcul sont arrêtés" in waiting.text, "no worker runs"

    job_id = JobId(address.rsplit("/", 1)[-1])
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(job_id, JobState.SUCCEEDED, [estimate])
    arrived = page.get(f"{address}?attente=1")
    assert (arrived.status_code, arrived.headers["Location"]) == (303, f"{address}#resultat")
    done = page.get(address)
    assert done.status_code == 200
    assert "Dacia Logan 2020" in done.text
    assert "http-equiv" not in done.text


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        (JobState.FAILED, 500, "Tâche abandonnée"),
        (JobState.CANCELLED, 200, "Estimation annulée"),
    ],
)
def test_a_job_without_result_says_so_and_keeps_the_car(page, servers, state, status, said):
    address = page.post("/", data=CAR).headers["Location"]
    jobs = JobStore(servers.broker, time.time, retention_s=600, lease_s=30)
    jobs.finish(JobId(address.rsplit("/", 1)[-1]), state, error="attempts-exhausted")
    answer = page.get(address)
    assert answer.status_code == status
    assert said in answer.text
    assert 'value="Logan"' in answer.text


@pytest.mark.parametrize("job_id", ["nonsense", new_id(), "..", "%00"])
def test_an_unknown_estimate_is_a_friendly_404(page, job_id):
    answer = page.get(f"/estimations/{job_id}")
    assert answer.status_code == 404
    assert "<form" in answer.text or job_id == ".."


def test_a_list_of_cars_is_no_estimate_of_the_page(page):
    job = page.post("/jobs", json=[{**CAR, "year": 2020, "km_driven": 1000}])
    assert page.get(f"/estimations/{job.json['id']}").status_code == 404


def test_without_a_model_the_page_says_so_with_503(servers, tmp_path):
    settings = dataclasses.replace(servers.settings, models_path=tmp_path / "none")
    page = create_app(settings).test_client()
    assert page.get("/", headers={"Accept": BROWSER}).status_code == 200
    answer = page.post("/", data=CAR)
    assert answer.status_code == 503
    assert "Modèle non chargé" in answer.text
    assert 'value="Logan"' in answer.text


def test_without_a_queue_the_page_says_so_with_503(lonely_page):
    answer = lonely_page.post("/", data=CAR)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "attente indisponible" in answer.text
    assert 'value="Logan"' in answer.text


def test_an_oversized_form_is_refused_in_french(page):
    answer = page.post("/", data={"company": "x" * 3_000_000})
    assert answer.status_code == 413
    assert answer.mimetype == "text/html"


def test_an_unexpected_failure_shows_a_page_without_details(page, monkeypatch):
    monkeypatch.setattr("api.pages.car.views.load_car_request", None)
    answer = page.post("/", data=CAR)
    assert answer.status_code == 500
    assert "Erreur interne" in answer.text
    assert "NoneType" not in answer.text


@pytest.fixture
def keyed(settings, tmp_path):
    """The page of a service that asks for a key, and the key."""
    key, entry = new_key("dealer", frozenset({Scope.PREDICT}))
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([entry.to_json()]))
    return create_app(dataclasses.replace(settings, api_keys_file=keys)).test_client(), key


def test_with_keys_the_browser_asks_for_one_and_keeps_the_form(keyed):
    page, _ = keyed
    assert page.get("/", headers={"Accept": BROWSER}).status_code == 200
    answer = page.post("/", data=CAR)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert 'value="Logan"' in answer.text


def test_the_key_as_password_opens_the_page_alone(keyed, cached):
    page, key = keyed
    cached()
    assert page.post("/", data=CAR, auth=("", key)).status_code == 303
    assert page.post("/", data=CAR, auth=("", key + "x")).status_code == 401
    accept = {"Accept": BROWSER}
    assert page.get(link(CAR), headers=accept, auth=("", key)).status_code == 303
    asked = page.get(link(CAR), headers=accept)
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert page.post("/predict", json={}, auth=("", key)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "is_valued"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://elsewhere.example"}, False),
    ],
)
def test_a_remembered_password_pays_for_no_car_of_another_site(keyed, cached, headers, is_valued):
    page, key = keyed
    cached()
    shown = page.get(link(CAR), headers=headers | {"Accept": BROWSER}, auth=("", key))
    assert shown.status_code == (303 if is_valued else 200)
    assert is_valued or 'value="Logan"' in shown.text
    answer = page.post("/", data=CAR, headers=headers, auth=("", key))
    assert answer.status_code == (303 if is_valued else 403)


def test_without_keys_the_form_is_open_to_all_sites(page, cached):
    cached()
    site = {"Sec-Fetch-Site": "cross-site", "Accept": BROWSER}
    assert "<data " in page.post("/", data=CAR, headers=site).text
    assert "<data " in page.get(link(CAR), headers=site).text
