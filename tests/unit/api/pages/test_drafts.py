"""The pages of drafts, with a real broker; the worker's part runs in the test's process."""

import dataclasses
import html
import io
import re
import time

import openpyxl
import pytest

from api.app import create_app
from api.pages.files.draft_views import draft_path
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from shared.blobs.draft_files import DraftFiles
from shared.blobs.stores import open_blob_store
from shared.domain.files.draft import DRAFT_TTL_S
from shared.domain.ids import BatchId, new_id
from shared.redis.batch_ledger.ledger import make_ledger
from shared.redis.connections import connect
from shared.redis.workers import WorkerRegistry
from tests.unit.api.pages.arabic_text import assert_arabic
from tests.unit.model_store import small_models
from worker.batches.drafts.previews import DraftPreviewer

BRITISH = (
    "make,model,year,price,transmission,mileage,fuelType,engineSize,Ref\n"
    "Dacia,Logan,2018,9500,Manual,31000,Diesel,1.5,A1\n"
    "Renault,Cleo,1016,8000,Manual,41000,Petrol,1.2,A2\n"
)


@pytest.fixture(scope="module")
def settings(session_servers, tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    ModelRegistry(path).activate(save_bundle(small_models.train(), path).id, by="test")
    return dataclasses.replace(
        session_servers.settings, models_path=path, blobs_path=tmp_path_factory.mktemp("blobs")
    )


@pytest.fixture
def page(settings, servers):
    assert servers.broker.ping()
    return create_app(settings).test_client()


@pytest.fixture
def live_worker(servers):
    """A worker that reads all formats of this release."""
    WorkerRegistry(servers.broker).heartbeat("worker@host", ["control"])


@pytest.fixture
def work(settings, tmp_path):
    """Do what a worker does with the message of a preview; takes the address of the draft."""
    ledger = make_ledger(connect(settings.redis_url), time.time, settings)
    files = DraftFiles(open_blob_store(settings))
    previewer = DraftPreviewer(files, ledger, spool=tmp_path, max_bytes=10**9)
    return lambda address: previewer.run(draft_id_of(address))


def draft_id_of(address: str) -> BatchId:
    return BatchId(address.partition("?")[0].partition("#")[0].rpartition("/")[2])


def upload(page, data: bytes | str, name: str = "parc.csv", query: str = "", **fields: str) -> str:
    """Store a file as a draft; its address without language."""
    content = data.encode() if isinstance(data, str) else data
    answer = page.post(f"/fichiers{query}", data={**fields, "file": (io.BytesIO(content), name)})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    address = answer.headers["Location"]
    assert "/brouillons/" in address
    return address


def shown(page, address: str, status: int = 200) -> str:
    answer = page.get(address)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def form_of(text: str) -> dict[str, str]:
    """The fields of the form of choices as a browser without JavaScript sends them."""
    form = re.search(r'<form[^>]*id="choix".*?</form>', text, re.DOTALL)
    assert form
    values = {}
    pattern = (
        r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"|<select[^>]*name="([^"]*)".*?</select>'
    )
    for found in re.finditer(pattern, form[0], re.DOTALL):
        if found[1]:
            values[found[1]] = html.unescape(found[2])
            continue
        options = re.findall(r'<option value="([^"]*)"( selected)?', found[0])
        chosen = [value for value, selected in options if selected] or [options[0][0]]
        values[found[3]] = html.unescape(chosen[0])
    return values


def options_of(page, answer) -> dict:
    """The options of the batch to whose page an answer leads."""
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return page.get(f"/batches/{draft_id_of(answer.headers['Location'])}").get_json()["options"]


def test_an_uploaded_file_is_shown_with_its_columns_before_it_is_valued(page, work) -> None:
    address = upload(page, BRITISH, query="?lang=en")
    assert page.get("/jobs?kind=batch").get_json()["items"] == []
    work(address)
    text = shown(page, address)
    values = form_of(text)
    assert values["column-company"] == "#1"
    assert values["column-km_driven"] == "#6"
    assert values["unit-km_driven"] == "km"
    assert values["unit-asking_price_mad"] == "MAD"
    assert re.search(r'id="column-company-hint">\s*<span class="confidence certain"', text)
    assert re.search(r'id="column-km_driven-hint">\s*<span class="confidence unsure"', text)
    assert '<bdi class="sample">31000</bdi>' in text
    assert "Text (CSV)" in text
    assert "The file has 2 rows." in text
    assert "1 row would be rejected." in text
    assert "expected a whole number from 1990" in text
    assert "Renault Clio" in text, "how brand and model were read"


def test_what_was_not_changed_is_no_choice(page, work) -> None:
    address = upload(page, BRITISH)
    work(address)
    answer = page.post(f"{address}/estimer", data=form_of(shown(page, address)))
    options = options_of(page, answer)
    assert (options["columns"], options["units"], options["dry_run"]) == ({}, {}, False)


@pytest.mark.usefixtures("live_worker")
def test_a_british_file_is_completed_by_units(page, work) -> None:
    address = upload(page, BRITISH)
    work(address)
    values = form_of(shown(page, address))
    values |= {"unit-km_driven": "miles", "unit-asking_price_mad": "other"}
    answer = page.post(address, data=values)
    assert answer.headers["Location"] == f"{address}#apercu"
    work(address)
    again = form_of(shown(page, address))
    assert (again["unit-km_driven"], again["column-asking_price_mad"]) == ("miles", "")
    options = options_of(page, page.post(f"{address}/estimer", data=again))
    assert options["units"] == {"km_driven": "miles", "asking_price_mad": "other"}


def test_a_file_with_unknown_headers_is_completed_on_its_page(page, work) -> None:
    data = "Firme;Gamme zz;Circule;Tableau\nOpel;Corsa;2015;110 000\nFord;Fiesta;2017;9\n"
    address = upload(page, data)
    work(address)
    text = shown(page, address)
    assert "Il manque les colonnes" in text
    values = form_of(text) | {
        "column-company": "#1", "column-model": "#2", "column-year": "#3", "column-km_driven": "#4",
    }  # fmt: skip
    assert page.post(address, data=values).status_code == 303
    work(address)
    text = shown(page, address)
    assert "Il manque les colonnes" not in text
    assert "Opel Corsa" in text
    assert 'class="confidence chosen"' in text
    columns = options_of(page, page.post(f"{address}/estimer", data=form_of(text)))["columns"]
    assert columns == {"company": "#1", "model": "#2", "year": "#3", "km_driven": "#4"}


@pytest.mark.usefixtures("live_worker")
def test_sheet_and_header_row_are_chosen(page, work) -> None:
    book = openpyxl.Workbook()
    notes, cars = book.active, book.create_sheet("Mars")
    notes.title = "Notes"
    for sheet in (notes, cars):
        sheet.append(["Stock"])
        sheet.append(["Firme", "Type", "Mise"])
        sheet.append(["Marque", "Modèle", "Année"])
        sheet.append(["Dacia", "Logan", 2018])
    file = io.BytesIO()
    book.save(file)
    address = upload(page, file.getvalue(), "parc.xlsx")
    work(address)
    text = shown(page, address)
    assert form_of(text)["sheet"] == "Notes"
    assert '<option value="#3">3: Marque | Modèle | Année</option>' in text
    values = form_of(text) | {"sheet": "Mars", "header": "#2", "column-year": "#1"}
    page.post(address, data=values)
    work(address)
    text = shown(page, address)
    values = form_of(text)
    assert (values["sheet"], values["header"]) == ("Mars", "#2")
    assert values["column-year"] != "#1", "columns of another header mean nothing"
    page.post(address, data=values | {"header": "#3"})
    work(address)
    options = options_of(page, page.post(f"{address}/estimer", data=form_of(shown(page, address))))
    assert (options["sheet"], options["header"]) == ("Mars", 3)


@pytest.mark.usefixtures("live_worker")
def test_a_header_chosen_at_the_start_shows_its_columns_first_and_keeps_the_units(
    page, work
) -> None:
    address = upload(page, f"Stock of May\n{BRITISH}", query="?lang=en")
    work(address)
    values = form_of(shown(page, address))
    assert values["header"] == "", "row 2 is recognised, without a choice"
    values |= {"header": "#2", "unit-km_driven": "miles", "constant-fuel": "Diesel"}
    start = address.replace("?", "/estimer?")
    answer = page.post(start, data=values)
    assert answer.headers["Location"].startswith(f"{draft_path(draft_id_of(address))}?avis=")
    assert page.get("/jobs?kind=batch").get_json()["items"] == []
    work(address)
    text = shown(page, answer.headers["Location"])
    assert "its columns were recognised anew" in text
    assert "its columns were recognised anew" not in shown(page, address)
    values = form_of(text)
    assert (values["header"], values["unit-km_driven"]) == ("#2", "miles")
    assert values["constant-fuel"] == "Diesel"
    options = options_of(page, page.post(start, data=values))
    assert (options["header"], options["units"]) == (2, {"km_driven": "miles"})
    assert options["constants"] == {"fuel": "Diesel"}


@pytest.mark.usefixtures("live_worker")
@pytest.mark.parametrize("action", ["", "/estimer"])
def test_a_form_from_before_another_change_starts_nothing(page, work, action: str) -> None:
    address = upload(page, BRITISH)
    work(address)
    old = form_of(shown(page, address))
    page.post(address, data=old | {"unit-km_driven": "miles"})
    work(address)
    answer = page.post(f"{address}{action}", data=old | {"constant-fuel": "Diesel"})
    assert page.get("/jobs?kind=batch").get_json()["items"] == []
    text = shown(page, answer.headers["Location"])
    assert "Les choix avaient changé" in text
    current = form_of(text)
    assert (current["unit-km_driven"], current["constant-fuel"]) == ("miles", "")
    options = options_of(page, page.post(f"{address}/estimer", data=current))
    assert options["units"] == {"km_driven": "miles"}


@pytest.mark.usefixtures("live_worker")
def test_a_header_that_was_refused_with_another_entry_is_still_chosen(page, work) -> None:
    address = upload(page, f"Stock of May\n{BRITISH}")
    work(address)
    values = form_of(shown(page, address)) | {"header": "#2", "constant-year": "1850"}
    refused = page.post(f"{address}/estimer", data=values)
    assert refused.status_code == 422
    kept = form_of(refused.get_data(as_text=True)) | {"constant-year": ""}
    assert kept["header"] == "#2"
    page.post(address, data=kept)
    work(address)
    assert form_of(shown(page, address))["header"] == "#2"


@pytest.mark.usefixtures("live_worker")
def test_a_chosen_unit_is_shown_while_columns_are_missing(page, work) -> None:
    address = upload(page, "Firme;Gamme zz;Circule;Tableau\nOpel;Corsa;2015;110 000\n")
    work(address)
    page.post(address, data=form_of(shown(page, address)) | {"unit-km_driven": "miles"})
    work(address)
    assert form_of(shown(page, address))["unit-km_driven"] == "miles"


@pytest.mark.parametrize("action", ["", "/estimer"])
def test_one_column_for_two_fields_is_refused_by_their_names(page, work, action: str) -> None:
    address = upload(page, BRITISH)
    work(address)
    values = form_of(shown(page, address)) | {"column-km_driven": "#3"}
    answer = page.post(f"{address}{action}?lang=en", data=values)
    assert answer.status_code == 422
    text = html.unescape(answer.get_data(as_text=True))
    names = "Year of first registration, Odometer"
    assert f"Column 3 is chosen for several fields: {names}" in text
    assert form_of(text)["column-km_driven"] == "#3"
    corrected = values | {"column-km_driven": "#6"}
    assert page.post(f"{address}{action}", data=corrected).status_code == 303


def test_notices_and_problems_speak_of_the_form_and_not_of_the_api(page, work) -> None:
    notices = upload(page, BRITISH, query="?lang=en")
    work(notices)
    text = html.unescape(shown(page, notices))
    assert "its unit is not stated, read as km. If it is in miles, choose so beside" in text
    assert "in its header" not in text
    cars = "Dacia;Logan;2018\nRenault;Clio;2019\n"
    for header, words in (("", "No header row"), ("yes", "The first row seems to be a car")):
        address = upload(page, cars, query="?lang=en", header=header)
        work(address)
        text = html.unescape(shown(page, address))
        assert words in text
        assert "?header=" not in text
        assert "?columns=" not in text


def test_brand_and_model_may_be_one_column(page, work) -> None:
    address = upload(page, "Titre zz;Quand\nDacia Logan;2018\nRenault Clio;2019\n")
    work(address)
    values = form_of(shown(page, address))
    values |= {"column-company": "#1", "column-model": "#1", "column-year": "#2"}
    assert page.post(address, data=values).status_code == 303


def test_a_second_submission_starts_no_second_batch(page, work) -> None:
    address = upload(page, BRITISH)
    first = page.post(f"{address}/estimer")
    second = page.post(f"{address}/estimer", data={"sent": "1", "header": "yes"})
    assert first.headers["Location"] == second.headers["Location"]
    assert page.get(address).headers["Location"] == first.headers["Location"]
    assert len(page.get("/jobs?kind=batch").get_json()["items"]) == 1
    work(address)  # a late message finds no file


def test_the_file_is_deleted_when_its_batch_starts_and_when_the_user_says_so(
    page, settings
) -> None:
    started, deleted = upload(page, BRITISH), upload(page, BRITISH)
    page.post(f"{started}/estimer")
    assert page.post(f"{deleted}/supprimer").headers["Location"] == "/fichiers"
    for address in (started, deleted):
        assert not (settings.batches_path / draft_id_of(address) / "source").exists()
    assert "existe pas" in shown(page, deleted, 404)
    assert page.post(f"{deleted}/supprimer").status_code == 303


def test_an_expired_draft_says_so(page) -> None:
    old = new_id(time.time() - DRAFT_TTL_S - 1)
    for method in (page.get, page.post):
        answer = method(f"/fichiers/brouillons/{old}?lang=en")
        assert answer.status_code == 410
        assert "This draft has expired" in answer.get_data(as_text=True)


def test_the_page_says_that_no_worker_runs_and_refreshes_itself(page, work) -> None:
    address = upload(page, BRITISH)
    text = shown(page, f"{address}?lang=en")
    assert "No worker is running" in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert "Value it without a preview" in text
    work(address)
    assert "No worker is running" not in shown(page, f"{address}?lang=en")


@pytest.mark.usefixtures("live_worker")
def test_a_busy_worker_is_waited_for(page) -> None:
    text = shown(page, f"{upload(page, BRITISH)}?lang=en")
    assert "The first rows are being read" in text
    assert "No worker is running" not in text


def test_a_refused_choice_is_named_and_all_entries_are_kept(page, work) -> None:
    address = upload(page, BRITISH)
    work(address)
    values = form_of(shown(page, address))
    values |= {"constant-fuel": "", "constant-year": "1850", "unit-km_driven": "miles"}
    answer = page.post(f"{address}/estimer", data=values)
    assert answer.status_code == 422
    kept = form_of(answer.get_data(as_text=True))
    assert (kept["constant-year"], kept["unit-km_driven"]) == ("1850", "miles")
    assert page.get("/jobs?kind=batch").get_json()["items"] == []


def test_wrong_kinds_of_files_are_refused_with_their_reason(page) -> None:
    for data, word in ((b"%PDF-1.7\n" + b"x" * 600, "PDF"), (b"", "vide")):
        answer = page.post("/fichiers", data={"file": (io.BytesIO(data), "parc.csv")})
        assert answer.status_code in {415, 422}
        assert word in answer.get_data(as_text=True)


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_the_pages_are_in_the_chosen_language_and_keep_it(page, work, language: str) -> None:
    address = upload(page, BRITISH, query=f"?lang={language}")
    assert address.endswith(f"?lang={language}")
    work(address)
    text = shown(page, address)
    assert f'<html lang="{language}"' in text
    action = re.search(r'<form[^>]*action="([^"]*)" id="choix"', text)
    assert action
    assert action[1].endswith(f"?lang={language}")
    titles = {"fr": "Vos colonnes", "ar": "أعمدتك", "en": "Your columns"}
    assert [each for each in titles if titles[each] in text] == [language]


def test_drafts_count_with_what_their_caller_stores(page, servers) -> None:
    address = upload(page, BRITISH)
    (name,) = servers.broker.keys("*batch-bytes-of*")
    assert servers.broker.hget(name, draft_id_of(address)) == str(len(BRITISH)).encode()
    page.post(f"{address}/supprimer")
    assert servers.broker.hget(name, draft_id_of(address)) is None


def test_arabic_pages_hold_no_other_language(page, work) -> None:
    header = "الماركة;الموديل;السنة;الكيلومترات"
    arabic = f"{header}\nداسيا;لوغان;2018;120000\nداسيا;لوغان;1018;كثير\n"  # noqa: RUF001
    names = ["UTF-", "Windows-", "ISO", "Latin-", "Mac", "Roman", "DOS", "utf-"]
    assert_arabic(shown(page, "/fichiers?lang=ar"), names=names)
    refused = page.post("/fichiers?lang=ar", data={"file": (io.BytesIO(b""), "a.csv")})
    assert_arabic(refused.get_data(as_text=True), names=names)
    address = upload(page, arabic, query="?lang=ar")
    assert_arabic(shown(page, address), names=names)
    work(address)
    assert_arabic(shown(page, address), names=names)
    wrong = upload(page, "ب;ت\n1;2\n", query="?lang=ar")
    work(wrong)
    assert_arabic(shown(page, wrong), names=names)
    assert_arabic(shown(page, f"/fichiers/brouillons/{new_id()}?lang=ar", 404), names=names)
