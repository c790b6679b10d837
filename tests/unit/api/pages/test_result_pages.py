"""The pages of an ended file: its value, its rows, and the form of their cells."""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.batches.cell_corrections import correct_rows
from api.batches.retries import BatchRetries
from api.batches.rows.reading import BatchRows
from api.http.context import EXTENSION
from shared.domain.batch import Batch, RowCounts
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import CallerId
from shared.redis.batch_ledger.ledger import BatchLedger
from tests import batch_parts
from tests.batch_parts import BulkPath
from tests.conftest import Servers
from tests.unit.api.pages.arabic_text import assert_arabic

HEADER = "Réf;Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Prix"
ROWS = [
    "A1;Dacia;Logan;2018;Diesel;Manuelle;98 500;70 000",
    "A2;Renault;Clio;demain;Diesel;Manuelle;61 000;",
    "A3;Kia;<b>Picanto</b>;hier;Essence;Manuelle;33 000;99 000",
    "A4;Dacia;Sandero;2019;Essence;Auto;45 000;900 000",
]
STOCK = "\n".join([HEADER, *ROWS]).encode()


class Site(SimpleNamespace):
    """A client of the pages, and the pipeline that works for it."""

    client: FlaskClient
    path: BulkPath

    def get(self, address: str, status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def batch(self, batch: Batch) -> Batch:
        return self.path.get(batch.manifest.id)


CALLER = CallerId("local")
"""Of the pages while there are no keys."""


@pytest.fixture
def site(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(batch_parts, "CALLER", CALLER)
    path = BulkPath(tmp_path / "bulk", servers.broker, chunk_rows=3)
    settings = dataclasses.replace(
        servers.settings, models_path=tmp_path / "models", blobs_path=tmp_path / "blobs"
    )
    app = create_app(settings)
    batches = dataclasses.replace(path.batches, send=lambda *args, **kw: work(path, *args, **kw))
    app.extensions[EXTENSION] = dataclasses.replace(
        app.extensions[EXTENSION],
        batches=batches,
        batch_results=path.results,
        batch_rows=BatchRows(results=path.results),
        batch_retries=BatchRetries(batches=batches),
    )
    yield Site(client=app.test_client(), path=path)
    path.changes.close()


def work(path: BulkPath, *args: Any, **options: Any) -> None:
    """Carry a batch out as soon as its first step is queued, as workers do."""
    path.send(*args, **options)
    path.drain()


def text_of(html: str) -> str:
    """The visible text of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def entries(html: str) -> dict[str, str]:
    """The fields of the form of cells with their values."""
    found = re.findall(r'<input type="(?:text|hidden)"[^>]*? name="([^"]+)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}


def test_an_address_behind_the_last_page_shows_the_last_one(site: Site) -> None:
    batch = site.path.run(STOCK)
    text = text_of(site.get(f"/fichiers/{batch.manifest.id}?lang=en&page=9"))
    assert "Rows 1 to 4 of 4" in text
    assert "No row is like this." not in text


def test_a_brand_without_its_accents_is_the_chosen_one(site: Site) -> None:
    batch = site.path.run(STOCK)
    brand = re.search(
        r'<option value="([^"]+)">',
        site.get(f"/fichiers/{batch.manifest.id}").split('id="brand"')[1].split("</select>")[0],
    )
    assert brand
    html = site.get(f"/fichiers/{batch.manifest.id}?brand={brand[1].upper()}")
    assert f'<option value="{brand[1]}" selected>' in html


def test_the_page_adds_up_the_file_and_shows_its_rows(site: Site) -> None:
    batch = site.path.run(STOCK)
    html = site.get(f"/fichiers/{batch.manifest.id}?lang=en")
    text = text_of(html)
    assert "Value of the whole file" in text
    assert "2 cars valued" in text
    assert "Above the market" in text
    assert "Rows 1 to 4 of 4" in text
    assert "<b>Picanto</b>" not in html
    assert "Most frequent reasons of rejected rows" in text
    marked = re.search(r'<td class="own wrong">.*?</td>', html, re.DOTALL)
    assert marked
    assert "demain" in marked[0]
    assert "Year" in marked[0]


def test_links_of_the_table_keep_filter_and_language(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}"
    html = site.get(f"{address}?lang=en&brand=Dacia&sort=-price")
    assert "Rows 1 to 2 of 2" in text_of(html)
    links = [unescape(one) for one in re.findall(r'href="([^"]+#lignes)"', html)]
    by_brand = next(one for one in links if "sort=brand" in one)
    assert "brand=Dacia" in by_brand
    assert "lang=en" in by_brand
    assert 'aria-sort="descending"' in html
    assert "No row is like this." in text_of(site.get(f"{address}?lang=en&brand=Lada"))
    assert "Rows 1 to 4" in text_of(site.get(f"{address}?lang=en&sort=wrong&page=x"))


def test_a_text_filters_the_rows_and_stays_in_links_and_form(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}"
    html = site.get(f"{address}?lang=en&q=MANUELLE&brand=Dacia&sort=-price")
    assert "Rows 1 to 1 of 1" in text_of(html)
    field = re.search(r'<input id="q"[^>]*>', html)
    assert field
    assert 'value="MANUELLE"' in field[0]
    links = [unescape(one) for one in re.findall(r'href="([^"]+#lignes)"', html)]
    assert all("q=MANUELLE" in one for one in links if "sort=brand" in one)
    assert any("q=" not in one for one in links), "show all rows"
    hidden = entries(html)
    assert hidden["q"] == "MANUELLE"
    none = site.get(f"{address}?lang=ar&q=%3Cb%3E")
    assert "&lt;b&gt;" in none
    assert_arabic(none, ("<b>", *HEADER.split(";"), *";".join(ROWS).split(";"), "stock.csv"))
    assert "Rows 1 to 4" in text_of(site.get(f"{address}?lang=en&q=" + "x" * 101))
    answer = site.client.get(f"/batches/{batch.manifest.id}/rows?q=picanto")
    assert [row["cells"]["Réf"] for row in answer.get_json()["rows"]] == ["A3"]


def test_one_link_opens_the_form_of_all_rejected_rows(site: Site) -> None:
    batch = site.path.run(STOCK)
    html = site.get(f"/fichiers/{batch.manifest.id}?lang=en")
    link = re.search(r'href="([^"]+)">Correct the rejected rows<', html)
    assert link
    form = site.get(unescape(link[1]))
    assert re.findall(r'name="ligne" value="(\d+)"', form) == ["2", "3"]
    good = site.path.run("\n".join([HEADER, ROWS[0]]).encode())
    address = f"/fichiers/{good.manifest.id}"
    assert "Correct the rejected rows" not in site.get(f"{address}?lang=en")
    assert site.client.get(f"{address}/lignes?refusees=1").status_code == 303


def test_cells_of_several_rows_are_corrected_in_their_place(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/lignes?lang=en"
    form = entries(site.get(f"{address}&ligne=2&ligne=1"))
    form |= {"cellule-2-3": "2017", "cellule-1-6": "12 000"}
    answer = site.client.post(address, data={**form, "ligne": ["2", "1"]})
    assert answer.status_code == 303
    page = site.get(answer.headers["Location"].partition("#")[0])
    assert "Rows valued again: 2. Still rejected: 0." in text_of(page)
    after = site.batch(batch)
    assert after.progress.counts == RowCounts(valid=3, invalid=1)
    rows = BatchRows(results=site.path.results).rows(after, [1, 2])
    assert [row.cells[0] for row in rows] == ["A1", "A2"]
    assert (rows[0].cells[6], rows[1].cells[3]) == ("12 000", "2017")
    assert all(row.added["price_mad"] for row in rows)


def test_a_row_that_is_still_wrong_returns_with_its_entry_and_its_reason(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/lignes?lang=en"
    form = entries(site.get(f"{address}&ligne=2"))
    answer = site.client.post(address, data={**form, "cellule-2-3": "après-demain"})
    assert "/lignes?" in answer.headers["Location"]
    page = site.get(answer.headers["Location"])
    assert entries(page)["cellule-2-3"] == "après-demain"
    assert 'aria-invalid="true"' in page
    assert "Still rejected: 1." in text_of(page)


def test_a_form_that_is_out_of_date_undoes_no_correction(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/lignes?lang=en"
    stale = entries(site.get(f"{address}&ligne=2"))
    row = BatchRows(results=site.path.results).rows(batch, [2])[0]
    cells = ["2016" if cell == "demain" else cell for cell in row.cells]
    correct_rows(site.path.batches, batch, [(row.line, cells)], CALLER)
    site.path.drain()
    answer = site.client.post(address, data={**stale, "cellule-2-6": "5 000"})
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    assert "corrected meanwhile" in text_of(page)
    form = entries(page)
    assert (form["cellule-2-3"], form["cellule-2-6"]) == ("2016", "5 000")
    sent = site.client.post(address, data=form)
    assert sent.status_code == 303
    row = BatchRows(results=site.path.results).rows(site.batch(batch), [2])[0]
    assert (row.cells[3], row.cells[6]) == ("2016", "5 000")


def test_a_form_that_is_sent_twice_corrects_once(site: Site) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/lignes?lang=en"
    form = {**entries(site.get(f"{address}&ligne=2")), "cellule-2-3": "2017"}
    assert site.client.post(address, data=form).status_code == 303
    again = site.client.post(address, data=form)
    assert again.status_code == 200
    assert "No cell was changed." in text_of(again.get_data(as_text=True))
    assert len(site.batch(batch).progress.corrections) == 1


def test_a_cancelled_file_goes_on_and_an_ended_one_is_deleted(site: Site) -> None:
    batch_id = site.path.accept(STOCK)
    site.path.batches.cancel(batch_id, CALLER)
    site.path.sweep_until_ended(batch_id)
    address = f"/fichiers/{batch_id}"
    assert "Go on with this file" in site.get(f"{address}?lang=en")
    assert site.client.post(f"{address}/relancer?lang=en").status_code == 303
    site.path.sweep_until_ended(batch_id)
    assert "Rows 1 to 4 of 4" in text_of(site.get(f"{address}?lang=en"))
    gone = site.client.post(f"{address}/supprimer?lang=en")
    assert gone.headers["Location"] == "/fichiers?lang=en"
    site.get(address, 410)


def test_the_workbook_has_numeric_prices_and_headers_in_the_language_of_the_page(
    site: Site,
) -> None:
    import openpyxl  # noqa: PLC0415 - slow to import

    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/resultats/classeur"
    for language, name in (("fr", "Prix estimé (MAD)"), ("en", "Estimated price (MAD)")):
        data = site.client.get(f"{address}?lang={language}").get_data()
        sheet = openpyxl.load_workbook(io.BytesIO(data)).active
        header, first, *_ = list(sheet.iter_rows(values_only=True))
        assert isinstance(first[header.index(name)], int | float)
        assert not sheet.sheet_view.rightToLeft
    data = site.client.get(f"{address}?lang=ar").get_data()
    sheet = openpyxl.load_workbook(io.BytesIO(data)).active
    assert sheet.sheet_view.rightToLeft
    assert any(isinstance(cell.value, int | float) for cell in sheet[2])


@pytest.mark.parametrize("form", ["csv", "excel", "parquet"])
def test_downloads_of_a_page_have_headers_in_its_language_and_can_be_sent_again(
    site: Site, form: str
) -> None:
    batch = site.path.run(STOCK)
    names = {
        "fr": ("Prix estimé (MAD)", "Remarques sur la ligne"),
        "ar": ("الثمن المقدر (درهم)", "ملاحظات على الصف"),
        "en": ("Estimated price (MAD)", "Notes on the row"),
    }
    for language, words in names.items():
        page = site.get(f"/fichiers/{batch.manifest.id}?lang={language}")
        address = f"/fichiers/{batch.manifest.id}/resultats/{form}?lang={language}"
        assert f'href="{address}"' in page
        data = site.client.get(address).get_data()
        header, rows = read_table(data, form)
        assert header[:8] == HEADER.split(";")
        assert set(words) <= set(header)
        assert not {"price_mad", "row_notes", "row_status"} & set(header)
        again = site.path.run(data)
        assert again.progress.counts.done == len(rows) == len(ROWS)
        assert {column.index for column in again.manifest.dialect.columns.values()} <= set(range(8))
        assert again.progress.counts == batch.progress.counts


def test_json_of_a_page_and_downloads_of_the_api_have_the_documented_names(site: Site) -> None:
    batch = site.path.run(STOCK)
    first, *_ = site.get(f"/fichiers/{batch.manifest.id}/resultats/json?lang=ar").splitlines()
    assert "price_mad" in json.loads(first)
    english = {"Accept-Language": "en"}
    answer = site.client.get(f"/batches/{batch.manifest.id}/results", headers=english)
    assert "price_mad" in answer.get_data(as_text=True).splitlines()[0]


def read_table(data: bytes, form: str) -> tuple[list[str], list[Any]]:
    """Header and rows of a download."""
    if form == "parquet":
        from pyarrow import parquet  # noqa: PLC0415 - slow to import

        table = parquet.read_table(io.BytesIO(data))
        return table.column_names, table.to_pylist()
    header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=";")
    return header, rows


def test_the_api_has_the_same_pages(site: Site) -> None:
    batch = site.path.run(STOCK)
    answer = site.client.get(f"/batches/{batch.manifest.id}/rows?status=rejected&sort=brand")
    page = answer.get_json()
    assert [row["cells"]["Réf"] for row in page["rows"]] == ["A3", "A2"]
    assert page["rows"][0]["errors"][0]["column"] == "Année"
    assert (page["total"], page["pages"]) == (2, 1)
    assert page["summary"]["statuses"]["rejected"] == 2
    wrong = site.client.get(f"/batches/{batch.manifest.id}/rows?sort=colour")
    assert wrong.status_code == 422


@pytest.mark.parametrize("language", ["ar", "en"])
def test_only_french_pages_have_narrow_spaces(site: Site, language: str) -> None:
    batch = site.path.run(STOCK.replace(b" 000", b"000"), language=language)
    address = f"/fichiers/{batch.manifest.id}"
    for path in (address, f"{address}/lignes"):
        page = unescape(site.get(f"{path}?lang={language}&ligne=2"))
        assert "\u202f" not in page
    assert "50%" in site.get(f"{address}?lang={language}")
    assert "50\u202f%" in site.get(f"{address}?lang=fr")


def test_arabic_pages_have_no_french_or_english_words(site: Site) -> None:
    batch_id = site.path.accept(STOCK, language="ar")
    address = f"/fichiers/{batch_id}"
    names = (*HEADER.split(";"), *";".join(ROWS).split(";"), "Picanto", "stock.csv")
    site.path.batches.cancel(batch_id, CALLER)
    assert_arabic(site.get(f"{address}?lang=ar"), names)
    site.path.sweep_until_ended(batch_id)
    assert_arabic(site.get(f"{address}?lang=ar"), names)
    site.client.post(f"{address}/relancer")
    site.path.sweep_until_ended(batch_id)
    page = site.get(f"{address}?lang=ar")
    assert 'dir="rtl"' in page
    assert_arabic(page, names)
    assert_arabic(site.get(f"{address}/lignes?lang=ar&ligne=2&ligne=3"), names)
    stale = entries(site.get(f"{address}/lignes?lang=ar&ligne=2"))
    conflict = {**stale, "avant-2-3": "1999", "cellule-2-3": "2017"}
    answer = site.client.post(f"{address}/lignes?lang=ar", data=conflict)
    assert_arabic(answer.get_data(as_text=True), names)


def test_notes_and_reasons_of_a_french_upload_are_in_the_language_of_the_reader(site: Site) -> None:
    rows = [*ROWS, "A5;Dacia;Logan;2018;Diesel;Manuelle;beaucoup;70 000"]
    batch = site.path.run("\n".join([HEADER, *rows]).encode(), language="fr")
    address = f"/fichiers/{batch.manifest.id}"
    names = (*HEADER.split(";"), *";".join(rows).split(";"), "Picanto", "stock.csv")
    for page in (f"{address}?lang=ar", f"{address}/lignes?lang=ar&ligne=2&ligne=5"):
        html = site.get(page)
        assert "قيمة مُهملة: الحقل «المسافة المقطوعة»" in html
        assert 'lang="fr" dir="auto"' not in html
        assert_arabic(html, names)
    assert "Valeur ignorée" in site.get(f"{address}?lang=fr")
    assert "Value ignored: Odometer" in site.get(f"{address}?lang=en")
    answer = site.client.get(
        f"/batches/{batch.manifest.id}/rows", headers={"Accept-Language": "en"}
    )
    found = {row["line"]: row["result"] for row in answer.get_json()["rows"]}
    assert found[6]["row_notes"].startswith("Value ignored: Odometer")
    assert found[3]["row_error"].startswith("Year of first registration: expected")
    assert found[2]["row_error"] is None


def test_an_outage_says_what_does_not_answer_and_tries_again(site: Site) -> None:
    batch_id = site.path.accept(STOCK)
    folder = site.path.folder / "batches" / batch_id
    (folder / "manifest.json").rename(folder / "kept")
    (folder / "manifest.json").mkdir()
    answer = site.client.get(f"/fichiers/{batch_id}?lang=en")
    text = answer.get_data(as_text=True)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "The storage of the files does not answer" in text
    refresh = f'content="5; url=/fichiers/{batch_id}?lang=en"'
    assert f'<noscript><meta http-equiv="refresh" {refresh}></noscript>' in text
    assert f'data-reload="/fichiers/{batch_id}?lang=en"' in text
    (folder / "manifest.json").rmdir()
    (folder / "kept").rename(folder / "manifest.json")
    # No worker has ever announced itself to this broker.
    assert "No worker is running" in site.get(f"/fichiers/{batch_id}?lang=en")


def test_entries_are_kept_while_the_queue_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = site.path.run(STOCK)
    address = f"/fichiers/{batch.manifest.id}/lignes?lang=en"
    form = {**entries(site.get(f"{address}&ligne=2")), "cellule-2-3": "2017"}

    def unreachable(*_: object, **__: object) -> None:
        raise BrokerUnavailable(reason="down for the test")

    monkeypatch.setattr(BatchLedger, "ping", unreachable)
    answer = site.client.post(address, data=form)
    assert answer.status_code == 503
    assert entries(answer.get_data(as_text=True))["cellule-2-3"] == "2017"
    monkeypatch.undo()
    monkeypatch.setattr(batch_parts, "CALLER", CALLER)
    assert site.client.post(address, data=entries(answer.get_data(as_text=True))).status_code == 303
