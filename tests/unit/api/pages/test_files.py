"""The pages of files, with a real broker and no worker."""

import dataclasses
import io

import pytest

from api.app import create_app
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.domain.ids import new_id
from tests.batch_parts import GOOD_ROW, HEADER
from tests.unit.model_store import small_models

CARS = f"{HEADER},ref\n{GOOD_ROW},A1\n".encode()


@pytest.fixture(scope="module")
def settings(session_servers, tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    ModelRegistry(path).activate(save_bundle(small_models.train(), path).id, by="test")
    return dataclasses.replace(
        session_servers.settings, models_path=path, blobs_path=tmp_path_factory.mktemp("blobs")
    )


@pytest.fixture
def page(settings, servers):
    assert servers.broker.dbsize() == 0
    return create_app(settings).test_client()


def hand_in(page, data: bytes = CARS, query: str = ""):
    return page.post(f"/fichiers{query}", data={"file": (io.BytesIO(data), "parc.csv")})


def test_a_file_has_a_page_that_refreshes_itself_without_a_script(page) -> None:
    answer = hand_in(page)
    assert answer.status_code == 303
    shown = page.get(answer.headers["Location"])
    assert shown.status_code == 200
    text = shown.get_data(as_text=True)
    assert '<noscript><meta http-equiv="refresh"' in text
    assert "En attente" in text
    assert "Kilométrage" in text
    assert "telles quelles&#8239;: ref" in text
    assert "connect-src 'self'" in shown.headers["Content-Security-Policy"]
    state = page.get(f"{answer.headers['Location']}/suivi?etat=1").get_json()
    assert state["state"] == "QUEUED"


def test_uploaded_batches_are_listed_and_can_be_cancelled(page) -> None:
    address = hand_in(page, query="?verifier=1").headers["Location"]
    assert f'<a href="{address}">' in page.get("/fichiers").get_data(as_text=True)
    assert page.post(f"{address}/annuler").status_code == 303
    batch_id = address.rpartition("/")[2]
    batch = page.get(f"/batches/{batch_id}").get_json()
    assert (batch["cancel_requested"], batch["options"]["dry_run"]) == (True, True)


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"<b>x</b>\n"])
def test_a_refusal_is_a_french_page_with_the_form(page, data: bytes) -> None:
    refused = hand_in(page, data)
    assert refused.status_code == 422
    text = refused.get_data(as_text=True)
    assert 'class="alert error"' in text
    assert 'name="file"' in text
    assert "<b>x</b>" not in text


def test_an_unknown_batch_is_not_found_in_french(page) -> None:
    for path in ("", "/suivi", "/resultats/csv", "/refusees"):
        answer = page.get(f"/fichiers/{new_id()}{path}")
        assert answer.status_code == 404
        assert "Lot introuvable" in answer.get_data(as_text=True)


def test_results_that_are_not_there_yet_are_a_page_or_the_first_rows(page) -> None:
    address = hand_in(page).headers["Location"]
    rows = page.get(f"{address}/resultats/csv")
    assert (rows.status_code, rows.headers["Carprice-Results"]) == (200, "partial")
    refused = page.get(f"{address}/refusees")
    assert refused.status_code == 409
    assert "Résultat pas encore prêt" in refused.get_data(as_text=True)
    assert refused.headers["Retry-After"] == "2"


def test_an_unknown_format_is_not_found(page) -> None:
    address = hand_in(page).headers["Location"]
    answer = page.get(f"{address}/resultats/docx")
    assert answer.status_code == 404
    assert "Page introuvable" in answer.get_data(as_text=True)


def test_a_store_that_cannot_be_read_is_an_outage_not_a_defect(page, settings) -> None:
    address = hand_in(page).headers["Location"]
    batch_id = address.rpartition("/")[2]
    manifest = settings.batches_path / batch_id / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    for path in (f"/batches/{batch_id}", f"/batches/{batch_id}/results", "/jobs?kind=batch"):
        answer = page.get(path)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2"), path
        assert answer.get_json()["type"].endswith("storage-unavailable")
    assert page.delete(f"/batches/{batch_id}").status_code == 503
    shown = page.get(address)
    assert (shown.status_code, shown.headers.get("Retry-After")) == (503, "2")
    assert "Stockage indisponible" in shown.get_data(as_text=True)
    assert page.get("/fichiers").status_code == 200


def test_another_host_learns_nothing_of_the_batches(page) -> None:
    address = hand_in(page).headers["Location"]
    answer = page.get("/fichiers", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert address not in answer.get_data(as_text=True)


def test_another_site_may_not_upload_files(page) -> None:
    answer = page.post("/fichiers", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_missing_columns_are_asked_for_in_the_words_of_the_page(page) -> None:
    answer = hand_in(page, b"Marque;Couleur\nDacia;bleu\n")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert text.count("Il manque") == 1
    assert "Modèle, Année" in text
    assert "Marque, Couleur" in text
    assert "columns=" not in text
    one_missing = hand_in(page, CARS.replace(b"year", b"when")).get_data(as_text=True)
    assert "Il manque la colonne" in one_missing
