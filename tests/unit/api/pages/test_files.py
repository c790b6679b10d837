"""The pages of files, with a real broker and no worker."""

import dataclasses
import io
import re

import pytest

from api.app import create_app
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId, new_id
from shared.tabular.headers import match_columns
from tests.batch_parts import GOOD_ROW, HEADER
from tests.unit.model_store import small_models
from tests.workbooks import workbook

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


def hand_in(page, data: bytes = CARS, query: str = "?estimer=1"):
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
    assert "telles quelles\u202f: ref" in text
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
    assert "Le stockage des fichiers ne répond pas" in shown.get_data(as_text=True)
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


def selected(html: str, name: str) -> str:
    """The chosen option of a select."""
    choices = re.search(rf'<select id="{name}".*?</select>', html, re.DOTALL)
    assert choices
    found = re.search(r'<option value="([^"]*)" selected>', choices[0])
    return found[1] if found else ""


STRANGE = (
    "Produit par;Gamme zz;Mise circ.;Compteur\nSkoda;Fabia;2017;91 000\nSeat;Leon;2016;80 000\n"
)


def test_the_columns_of_a_refused_file_can_be_chosen_with_their_first_cells(page) -> None:
    html = hand_in(page, STRANGE.encode()).get_data(as_text=True)
    assert ">Produit par (Skoda, Seat)</option>" in html
    assert ">Gamme zz (Fabia, Leon)</option>" in html
    assert selected(html, "column-km_driven") == "#4", "known columns are chosen"
    assert selected(html, "column-fuel") == ""


def post_form(page, data: bytes = CARS, name: str = "parc.csv", **fields: str):
    names = {key.replace("__", "-"): text for key, text in fields.items()}
    return page.post("/fichiers?estimer=1", data={**names, "file": (io.BytesIO(data), name)})


def test_chosen_columns_complete_a_file_with_unknown_headers(page) -> None:
    answer = post_form(
        page, STRANGE.encode(), column__company="#1", column__model="#2", column__year="#3"
    )
    assert answer.status_code == 303
    batch = page.get(answer.headers["Location"].replace("fichiers", "batches")).get_json()
    columns = batch["input"]["columns"]
    assert (columns["company"], columns["model"]) == ("Produit par", "Gamme zz")
    assert columns["year"] == "Mise circ."
    shown = page.get(answer.headers["Location"]).get_data(as_text=True)
    assert "Produit par" in shown


def test_a_choice_that_is_not_enough_is_kept(page) -> None:
    html = post_form(page, STRANGE.encode(), column__company="#2").get_data(as_text=True)
    assert selected(html, "column-company") == "#2"
    assert "Il manque" in html
    left_out = post_form(page, STRANGE.encode(), column__km_driven="-").get_data(as_text=True)
    assert selected(left_out, "column-km_driven") == ""
    assert '<select id="column-km_driven" name="column-km_driven">\n<option value="-">' in left_out


def test_a_recognised_column_can_be_left_out(page) -> None:
    answer = post_form(page, column__km_driven="-", column__fuel="")
    batch = page.get(answer.headers["Location"].replace("fichiers", "batches")).get_json()
    assert "km_driven" not in batch["input"]["columns"]
    assert "fuel" in batch["input"]["columns"]


def test_the_options_of_the_form_reach_the_batch(page) -> None:
    data = "Logan;2018;Essence\nDuster;2019;Diesel\n".encode("utf-16")
    answer = post_form(
        page, data, header="no", encoding="utf-16", constant__company="Dacia",
        constant__transmission="Manual", column__model="#1", column__year="#2",
    )  # fmt: skip
    assert answer.status_code == 303
    batch = page.get(answer.headers["Location"].replace("fichiers", "batches")).get_json()
    assert batch["options"]["header"] is False
    assert batch["options"]["constants"] == {"company": "Dacia", "transmission": "Manual"}
    assert batch["input"]["encoding"].startswith("utf-16")


def test_a_wrong_common_value_is_named_and_kept(page) -> None:
    answer = post_form(page, constant__year="1850", sheet="Mars")
    html = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "Année" in html
    assert 'value="1850"' in html
    assert 'value="Mars"' in html
    assert "<details open>" in html


def test_two_contradicting_columns_are_asked_for(page) -> None:
    data = b"marque,brand,model,year\nKia,Seat,Rio,2017\nFord,Opel,Fiesta,2018\n"
    html = hand_in(page, data).get_data(as_text=True)
    assert "toutes deux" in html
    assert "Il manque" not in html
    assert ">brand (Seat, Opel)</option>" in html
    assert post_form(page, data, column__company="#2").status_code == 303


def test_fields_behind_the_file_or_too_long_ones_are_refused(page) -> None:
    late = page.post("/fichiers", data={"file": (io.BytesIO(CARS), "a.csv"), "other": "1"})
    assert late.status_code == 422
    long = post_form(page, constant__company="x" * 70_000)
    assert long.status_code == 422
    assert "formulaire" in long.get_data(as_text=True)


def test_the_column_of_prices_is_chosen_if_its_name_is_known(page) -> None:
    html = hand_in(page, STRANGE.replace("Compteur", "Prix").encode()).get_data(as_text=True)
    assert selected(html, "column-asking_price_mad") == "#4"


def test_a_workbook_that_a_worker_refused_is_completed_on_its_page(page, settings) -> None:
    data = workbook([["Produit par", "Gamme zz", "Mise zz"], ["Skoda", "Fabia", "x"]])
    address = post_form(page, data, "parc.xlsx", sheet="S").headers["Location"]
    with pytest.raises(UnreadableUpload) as refused:
        match_columns(["Produit par", "Gamme zz", "Mise zz"], (), [["Skoda", "Fabia", "x"]])
    files = BatchFiles(open_blob_store(settings))
    files.write_refusal(BatchId(address.rpartition("/")[2]), refused.value.problems)
    html = page.get(address).get_data(as_text=True)
    assert ">Gamme zz (Fabia)</option>" in html
    assert 'value="S"' in html, "the options are kept"
