"""The model card over HTTP: from the registry's folder, and nothing else of it."""

import dataclasses
import json

import pytest

from api.app import create_app
from api.models.card_views import CARD_CSP
from model_store.cards.card import write_card
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.keys.entries import Scope, new_key
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.unit.model_store import small_models

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "en"}


@pytest.fixture(scope="module")
def models_path(tmp_path_factory: pytest.TempPathFactory):
    """Versions without a card, with an English card, and with both, which is active."""
    path = tmp_path_factory.mktemp("models")
    trained = dataclasses.replace(small_models.train(trees=5), metrics=small_models.SCORES)
    bare = save_bundle(trained, path)
    (path / "bare").write_text(bare.id)
    found = small_models.card_predictions(400)

    def english_card(made):
        files = write_card(made, found)
        return {name: files[name] for name in files if "-fr" not in name and "-ar" not in name}

    def card_of_the_release_before(made):
        return {name: text for name, text in write_card(made, found).items() if "-ar" not in name}

    (path / "french").write_text(save_bundle(trained, path, card_of_the_release_before).id)
    (path / "english").write_text(save_bundle(trained, path, english_card).id)
    version = save_bundle(trained, path, lambda made: write_card(made, found))
    ModelRegistry(path).activate(version.id, by="test")
    return path


@pytest.fixture
def settings(models_path, tmp_path):
    """Settings without servers: a card needs none."""
    return with_server_urls(Settings(home=tmp_path / "home", models_path=models_path))


@pytest.fixture
def client(settings):
    return create_app(settings).test_client()


@pytest.fixture
def active(models_path):
    return ModelRegistry(models_path).active()


def test_a_browser_gets_a_page_that_loads_only_its_own_plots(client, active):
    answer = client.get(f"/models/{active.id}/card", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert answer.headers["Content-Security-Policy"] == CARD_CSP
    assert "Accept" in answer.headers["Vary"]
    assert f"<h1>Model card {active.id}</h1>" in answer.text
    assert answer.text.count("<img ") == 7
    plots = [one for one in active.files if one.endswith(".png") and "card-fr" not in one]
    assert len(plots) == 7
    for name in plots:
        address = f"/models/{active.id}/{name}"
        assert address in answer.text
        plot = client.get(address)
        assert (plot.status_code, plot.mimetype) == (200, "image/png")
        assert plot.data.startswith(b"\x89PNG")


def test_everybody_else_gets_markdown_and_active_stands_for_the_version(client, active):
    answer = client.get("/models/active/card", headers={"Accept-Language": "en"})
    assert answer.mimetype == "text/markdown"
    assert answer.text.startswith(f"# Model card {active.id}")
    assert client.get(f"/models/{active.id}/card.md").data == answer.data


@pytest.mark.parametrize(
    ("headers", "query", "title"),
    [
        ({}, "", "Fiche du modèle"),
        ({"Accept-Language": "fr-MA,fr;q=0.9,en;q=0.5"}, "", "Fiche du modèle"),
        ({"Accept-Language": "en-GB"}, "", "Model card"),
        ({"Accept-Language": "fr"}, "?lang=en", "Model card"),
        ({"Accept-Language": "en"}, "?lang=fr", "Fiche du modèle"),
        ({"Accept-Language": "ar-MA,ar;q=0.9,fr;q=0.5"}, "", "بطاقة النموذج"),
        ({"Accept-Language": "en"}, "?lang=ar", "بطاقة النموذج"),
    ],
)
def test_the_language_is_that_of_the_query_else_of_the_header(
    client, active, headers, query, title
):
    answer = client.get(f"/models/active/card{query}", headers=headers)
    assert shown(answer.text).startswith(f"# {title} {active.id}")
    languages = {"Fiche du modèle": "fr", "Model card": "en", "بطاقة النموذج": "ar"}
    assert answer.headers["Content-Language"] == languages[title]
    assert "Accept-Language" in answer.headers["Vary"]
    page = client.get(f"/models/active/card{query}", headers=headers | {"Accept": "text/html"})
    assert f"<h1>{title} {active.id}</h1>" in shown(page.text)


def shown(text):
    """A text without the signs that keep an id from left to right."""
    return text.translate(dict.fromkeys(map(ord, "\u2066\u2069")))


def test_the_french_page_is_french_with_its_own_plots_and_leads_to_the_english_one(client, active):
    page = client.get("/models/active/card?lang=fr", headers=BROWSER).text
    assert '<article class="model-card" lang="fr" dir="ltr">' in page
    assert page.count("card-fr-") == 7
    assert f"/models/{active.id}/card-fr.md" in page
    assert f'href="/models/{active.id}/card?lang=en"' in page
    assert "The same" not in page
    plot = client.get(f"/models/{active.id}/card-fr-predicted.png")
    assert plot.data.startswith(b"\x89PNG")


def test_an_unknown_language_is_refused(client):
    assert client.get("/models/active/card?lang=de").status_code == 422


def test_a_card_in_english_only_is_sent_and_the_page_says_so(client, models_path):
    english = (models_path / "english").read_text()
    answer = client.get(f"/models/{english}/card", headers={"Accept-Language": "fr"})
    assert answer.text.startswith(f"# Model card {english}")
    assert answer.headers["Content-Language"] == "en"
    page = client.get(f"/models/{english}/card", headers=BROWSER | {"Accept-Language": "fr"}).text
    assert "en anglais" in page
    assert '<article class="model-card" lang="en" dir="ltr">' in page


def test_the_arabic_page_runs_from_right_to_left_and_shows_the_french_plots(client, active):
    page = client.get("/models/active/card", headers=BROWSER | {"Accept-Language": "ar-MA"}).text
    assert '<html lang="ar" dir="rtl">' in page
    assert '<article class="model-card" lang="ar" dir="rtl">' in page
    assert page.count("/card-fr-") == 7
    assert f"/models/{active.id}/card-ar.md" in page
    assert client.get(f"/models/{active.id}/card-ar.md").text.startswith("# بطاقة النموذج")


def test_an_arabic_reader_of_an_older_version_gets_its_french_card(client, models_path):
    french = (models_path / "french").read_text()
    headers = BROWSER | {"Accept-Language": "ar"}
    page = client.get(f"/models/{french}/card", headers=headers)
    assert page.headers["Content-Language"] == "fr"
    assert '<html lang="ar" dir="rtl">' in page.text
    assert '<article class="model-card" lang="fr" dir="ltr">' in page.text
    assert "بالفرنسية" in page.text
    english = (models_path / "english").read_text()
    page = client.get(f"/models/{english}/card", headers=headers)
    assert page.headers["Content-Language"] == "en"
    assert "بالإنجليزية" in page.text


def test_a_file_that_is_already_there_is_not_sent_again(client, active):
    address = f"/models/{active.id}/card-importance.png"
    etag = client.get(address).headers["ETag"]
    assert client.get(address, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize(
    "name",
    [
        "bundle.joblib",
        "forest.npz",
        "manifest.json",
        "encoder.json",
        "card",
        "card-nothing.png",
        "card-..%2f..%2fACTIVE.md",
        "..%2fACTIVE",
        "%2e%2e%2fhistory.jsonl",
        "..%5c..%5cACTIVE",
    ],
)
def test_nothing_else_of_the_registry_is_served(client, active, name):
    answer = client.get(f"/models/{active.id}/{name}")
    assert answer.status_code == (200 if name == "card" else 404)


@pytest.mark.parametrize("version", ["nothing", "2026-01-01T000000-abcdef", "..", "..%2f.."])
def test_a_version_that_is_not_there_has_no_card(client, version):
    assert client.get(f"/models/{version}/card").status_code == 404
    assert client.get(f"/models/{version}/card.md").status_code == 404


def test_a_version_without_a_card_says_so_and_has_no_link(client, models_path):
    bare = (models_path / "bare").read_text()
    answer = client.get(f"/models/{bare}/card", headers=BROWSER)
    assert answer.status_code == 404
    assert answer.json["type"].endswith("#model-card-not-found")
    links = {one["version"]: one["links"] for one in client.get("/models").json["models"]}
    assert links.pop(bare) == {}
    assert links == {version: {"card": f"/models/{version}/card"} for version in links}


def test_a_card_that_was_changed_is_refused(client, models_path, active):
    path = models_path / active.id / "card.json"
    whole = path.read_bytes()
    path.write_text(json.dumps({"title": "Perfect", "blocks": []}))
    try:
        answer = client.get(f"/models/{active.id}/card", headers=BROWSER)
    finally:
        path.write_bytes(whole)
    assert answer.status_code == 409
    assert "Perfect" not in answer.text


def test_the_list_says_when_a_version_was_last_activated(client, models_path, active):
    told = {one["version"]: one for one in client.get("/models").json["models"]}
    (change,) = ModelRegistry(models_path).history()
    assert told.pop(active.id)["activated_at"] == change.at
    assert {other["activated_at"] for other in told.values()} == {None}
    assert client.get("/models/active").json["activated_at"] == change.at


def test_the_page_leads_to_the_card(client, active):
    page = client.get("/?lang=fr", headers=BROWSER).text
    assert f'href="/models/{active.id}/card?lang=fr"' in page


def test_with_keys_the_card_needs_one_and_a_browser_may_send_it_as_password(settings):
    key, entry = new_key("reader", frozenset({Scope.PREDICT}))
    settings.home.mkdir()
    settings.keys_file.write_text(json.dumps([entry.to_json()]))
    client = create_app(settings).test_client()
    assert client.get("/models/active/card").status_code == 401
    assert client.get("/models/active/card", auth=("any", key)).status_code == 200
    assert client.post("/models/rollback", auth=("any", key)).status_code == 401


def test_the_card_is_documented_as_it_answers(client):
    document = client.get("/openapi.json").json
    responses = document["paths"]["/models/{version}/card"]["get"]["responses"]
    assert responses["200"]["description"]
    for headers in (BROWSER, {}):
        answer = client.get("/models/active/card", headers=headers)
        assert answer.mimetype in responses["200"]["content"]


def test_without_an_active_version_there_is_no_active_card(tmp_path):
    lonely = Settings(home=tmp_path / "home", models_path=tmp_path / "none")
    client = create_app(with_server_urls(lonely)).test_client()
    assert client.get("/models/active/card").status_code == 503
