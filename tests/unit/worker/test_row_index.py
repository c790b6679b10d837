"""Pages of rows: sorted, filtered, and with the reasons of rejected rows, by the row index."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.batches import cell_corrections
from api.batches.rows import reading
from api.batches.rows.reading import BatchRows, ResultRow, RowPage, RowQuery
from shared.blobs.row_index import RowFilter, RowOrder
from shared.domain.batch import Batch, ResultTable, RowCounts
from shared.domain.errors import TooManyRowsForSearch
from shared.domain.files.exports import STORED
from tests.batch_parts import CALLER, BulkPath
from tests.conftest import Servers

HEADER = "stock;marque;modèle;année;carburant;boîte;km;prix"
ROWS = [
    "A1;Dacia;Sandero;2017;Diesel;Manuelle;98 500;61 000",
    "A2;Renault;Kadjar;1789;Diesel;Manuelle;61 000;",
    'A3;Peugeot;"2008\nAllure";2016;Essence;Auto;74 200;1 000 000',
    "",
    "A4;Kia;Picanto;demain;Essence;Manuelle;33 000;99 000",
    "A5;Dacia;Logan;2019;Essence;Auto;45 000;",
    "A6;Land Rover;Evoque;2018;Diesel;Auto;12 000;50 000",
]
STOCK = "\n".join([HEADER, *ROWS]).encode()


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker, chunk_rows=2)
    yield bulk
    bulk.changes.close()


def page_of(path: BulkPath, batch: Batch, **query: object) -> RowPage:
    batch = path.get(batch.manifest.id)
    return BatchRows(results=path.results).page(batch, RowQuery(**query))


def stocks(page: RowPage) -> list[str]:
    return [row.cells[0] for row in page.rows]


def row_of(page: RowPage, stock: str) -> ResultRow:
    return next(row for row in page.rows if row.cells[0] == stock)


def test_a_page_has_the_rows_of_the_results_with_their_lines_and_reasons(path: BulkPath) -> None:
    batch = path.run(STOCK)
    page = page_of(path, batch)
    assert (page.total, page.pages) == (6, 1)
    assert [(row.number, row.line) for row in page.rows] == [
        (1, 2), (2, 3), (3, 4), (4, 7), (5, 8), (6, 9),
    ]  # fmt: skip
    file = path.results.file(batch, ResultTable.RESULTS, STORED)
    text = b"".join(file.blocks(0, file.size)).decode()
    stored = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))[1:]
    assert [[*row.cells, *row.added.values()] for row in page.rows] == stored
    assert page.rows[2].cells[2] == "2008\nAllure"
    assert [(one["column"], one["code"]) for one in row_of(page, "A4").errors] == [
        ("année", "not-a-number")
    ]
    assert not row_of(page, "A1").errors


def test_the_head_adds_up_all_rows(path: BulkPath) -> None:
    page = page_of(path, path.run(STOCK))
    prices = [float(row.added["price_mad"]) for row in page.rows if row.added["price_mad"]]
    assert len(prices) == 4
    assert page.head["total_mad"] == pytest.approx(sum(prices))
    assert page.head["statuses"] == {"valued": 4, "valid": 0, "rejected": 2, "failed": 0}
    assert sum(page.head["verdicts"].values()) == 6
    assert page.head["verdicts"][""] == 3
    assert {reason["field"] for reason in page.head["reasons"]} == {"year"}
    assert sum(reason["rows"] for reason in page.head["reasons"]) == 2
    assert page.head["brands"] == ["Dacia", "Kia", "Land Rover", "Peugeot", "Renault"]


def test_rows_are_sorted_with_those_without_a_value_last(path: BulkPath) -> None:
    batch = path.run(STOCK)
    cheapest = page_of(path, batch, order=RowOrder.PRICE)
    prices = [float(row.added["price_mad"]) for row in cheapest.rows[:4]]
    assert prices == sorted(prices)
    assert stocks(cheapest)[4:] == ["A2", "A4"]
    dearest = page_of(path, batch, order=RowOrder.PRICE, descending=True)
    assert stocks(dearest) == [*reversed(stocks(cheapest)[:4]), "A2", "A4"]
    brands = page_of(path, batch, order=RowOrder.BRAND)
    assert stocks(brands) == ["A1", "A5", "A4", "A6", "A3", "A2"]
    differences = page_of(path, batch, order=RowOrder.DIFFERENCE, descending=True)
    assert stocks(differences)[0] == "A3"
    assert stocks(differences)[3:] == ["A2", "A4", "A5"]


def test_filters_select_rows_in_every_order(path: BulkPath) -> None:
    batch = path.run(STOCK)
    for order in RowOrder:
        for descending in (False, True):
            dacias = page_of(
                path, batch, order=order, descending=descending, wanted=RowFilter(brand="dacia")
            )
            assert (dacias.total, sorted(stocks(dacias))) == (2, ["A1", "A5"])
            rejected = page_of(
                path, batch, order=order, descending=descending,
                wanted=RowFilter(status="rejected", brand="Kia"),
            )  # fmt: skip
            assert (rejected.total, stocks(rejected)) == (1, ["A4"])
    above = page_of(path, batch, wanted=RowFilter(verdict="above_market"))
    assert "A3" in stocks(above)
    assert page_of(path, batch, wanted=RowFilter(brand="Ferrari")).total == 0


def test_a_text_in_a_cell_selects_rows_in_every_order(
    path: BulkPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = path.run(STOCK)
    for order in RowOrder:
        for descending in (False, True):
            found = page_of(path, batch, order=order, descending=descending, text="essence")
            assert (found.total, sorted(stocks(found))) == (3, ["A3", "A4", "A5"])
    dacia = page_of(path, batch, text="ESSENCE", wanted=RowFilter(brand="Dacia"))
    assert stocks(dacia) == ["A5"]
    assert stocks(page_of(path, batch, text="2008\nallure")) == ["A3"]
    assert stocks(page_of(path, batch, text="range rover")) == ["A6"], "only read so"
    assert stocks(page_of(path, batch, text="a4")) == ["A4"]
    for none in ("valued", "rejected", "A1;Dacia", "prix"):
        assert page_of(path, batch, text=none).total == 0, none
    monkeypatch.setattr(reading, "SEARCH_MAX_ROWS", 5)
    with pytest.raises(TooManyRowsForSearch):
        page_of(path, batch, text="essence")


def test_a_search_is_answered_by_the_rows_as_they_are_corrected(path: BulkPath) -> None:
    batch = path.run(STOCK)
    reader = BatchRows(results=path.results)
    assert reader.page(batch, RowQuery(text="demain")).total == 1
    correction = f"{HEADER};row_line\nA4;Kia;Picanto;2018;Essence;Manuelle;33 000;99 000;7\n"
    path.correct(batch, correction.encode())
    corrected = path.get(batch.manifest.id)
    assert reader.page(corrected, RowQuery(text="demain")).total == 0
    assert reader.page(corrected, RowQuery(text="a4")).rows[0].added["row_status"] == "valued"


def test_a_brand_is_found_without_its_accents(path: BulkPath) -> None:
    rows = [
        "C1;Citroën;C3;2017;Diesel;Manuelle;98 500;",
        "C2;Skoda;Octavia;2016;Diesel;Auto;120 000;",
    ]
    batch = path.run("\n".join([HEADER, *rows]).encode())
    for brand, stock in (("citroen", "C1"), ("CITROËN", "C1"), ("Škoda", "C2"), ("skoda", "C2")):
        assert stocks(page_of(path, batch, wanted=RowFilter(brand=brand))) == [stock]


def test_pages_of_many_rows_join_without_gaps(path: BulkPath) -> None:
    good = "B{0};Dacia;Logan;20{1};Diesel;Manuelle;{2};50000"
    rows = [good.format(at, 10 + at % 9, 1000 + at * 37 % 9001) for at in range(130)]
    rows[77] = "B77;Dacia;Logan;demain;Diesel;Manuelle;1;5"
    path.split_by(50)
    batch = path.run("\n".join([HEADER, *rows]).encode())
    for order, descending in ((RowOrder.LINE, False), (RowOrder.PRICE, True)):
        for wanted in (RowFilter(), RowFilter(status="valued")):
            pages = [
                page_of(path, batch, order=order, descending=descending, wanted=wanted, page=at)
                for at in (1, 2, 3, 4)
            ]
            assert [len(page.rows) for page in pages[:2]] == [50, 50]
            assert not pages[3].rows
            found = [row for page in pages for row in page.rows]
            assert len({row.number for row in found}) == pages[0].total == len(found)
            prices = [float(row.added["price_mad"]) for row in found if row.added["price_mad"]]
            if order is RowOrder.PRICE:
                assert prices == sorted(prices, reverse=True)


def correct_rows(path: BulkPath, batch: Batch, changes: dict[int, dict[str, str]]) -> Batch:
    """Send rows of a batch back with other cells, as the page does."""
    numbers = list(changes)
    rows = BatchRows(results=path.results).rows(batch, numbers)
    corrected = [
        (row.line, [changes[row.number].get(str(at), cell) for at, cell in enumerate(row.cells)])
        for row in rows
    ]
    correction = cell_corrections.correct_rows(path.batches, batch, corrected, CALLER)
    path.drain()
    assert path.get(correction.manifest.id).progress.error is None
    return path.get(batch.manifest.id)


def test_valued_and_rejected_rows_are_corrected_in_their_place(path: BulkPath) -> None:
    batch = path.run(STOCK)
    before = page_of(path, batch)
    after = correct_rows(path, batch, {1: {"6": "12 000"}, 2: {"3": "2018"}})
    assert after.progress.counts == RowCounts(valid=5, invalid=1)
    page = page_of(path, after)
    assert stocks(page) == stocks(before)
    assert page.rows[0].cells[6] == "12 000"
    assert page.rows[0].added["price_mad"] != before.rows[0].added["price_mad"]
    assert row_of(page, "A2").added["row_status"] == "valued"
    assert [one.added for one in page.rows[2:]] == [one.added for one in before.rows[2:]]


FORMULAS = (
    "id;marque;modèle;année;km;prix;note\n"
    "1;Dacia;Logan;2018;+120 000 km;90000;'=a\n"
    '2;="Dacia";="Logan";="2018";="120000";90000;\'a\n'
    "3;Dacia;Logan;demain;+120 000 km;90000;''-x\n"
).encode()


def test_a_corrected_cell_leaves_the_others_as_the_file_has_them(path: BulkPath) -> None:
    batch = path.run(FORMULAS)
    before = page_of(path, batch)
    own = [list(row.cells) for row in before.rows]
    assert own[0][4:] == ["+120 000 km", "90000", "'=a"]
    assert own[1][1:] == ['="Dacia"', '="Logan"', '="2018"', '="120000"', "90000", "'a"]
    changes = {number: {"5": "95000"} for number in (1, 2, 3)}
    page = page_of(path, correct_rows(path, batch, changes))
    assert [list(row.cells) for row in page.rows] == [
        [*cells[:5], "95000", cells[6]] for cells in own
    ]
    prices = [row.added["price_mad"] for row in page.rows]
    assert prices == [row.added["price_mad"] for row in before.rows]
    assert all(prices[:2])


def test_a_valued_row_may_become_a_rejected_one_and_return(path: BulkPath) -> None:
    batch = path.run(STOCK)
    worse = correct_rows(path, batch, {5: {"3": "hier"}})
    assert worse.progress.counts == RowCounts(valid=3, invalid=3)
    page = page_of(path, worse)
    assert [one["column"] for one in row_of(page, "A5").errors] == ["année"]
    rejected = path.results.file(worse, ResultTable.REJECTED, STORED)
    text = b"".join(rejected.blocks(0, rejected.size)).decode()
    assert [line.split(";")[0] for line in text.splitlines()[1:]] == ["A2", "A4", "A5"]
    better = correct_rows(path, worse, {5: {"3": "2019"}, 2: {"3": "2018"}, 4: {"3": "2017"}})
    assert better.progress.counts == RowCounts(valid=6)
    assert str(better.progress.outcome) == "complete"
    assert page_of(path, better, wanted=RowFilter(status="rejected")).total == 0


@pytest.mark.parametrize("revisions", [1, 2])
def test_spliced_files_are_those_that_are_written_anew(path: BulkPath, revisions: int) -> None:
    changes = [
        {1: {"6": "12 000"}, 2: {"3": "2018"}, 5: {"1": "Škoda", "3": "x"}},
        {2: {"1": "Kia"}},
    ]
    states = []
    for is_indexed in (True, False):
        batch = path.run(STOCK)
        for change in changes[:revisions]:
            rows = BatchRows(results=path.results).rows(path.get(batch.manifest.id), list(change))
            if not is_indexed:
                names = path.blobs.names(batch.manifest.id, "")
                indexes = [name for name in names if name.endswith(".rows")]
                path.blobs.remove(batch.manifest.id, indexes)
            corrected = [
                (
                    row.line,
                    [change[row.number].get(str(at), cell) for at, cell in enumerate(row.cells)],
                )
                for row in rows
            ]
            now = path.get(batch.manifest.id)
            cell_corrections.correct_rows(path.batches, now, corrected, CALLER)
            path.drain()
        after = path.get(batch.manifest.id)
        index = f"results.{after.progress.revision}.rows"
        assert (path.blobs.size(batch.manifest.id, index) is not None) == is_indexed
        texts = [
            path.text(batch, name.format(after.progress.revision))
            for name in ("results.{}.csv", "rejected.{}.csv", "errors.{}.ndjson")
        ]
        pages = [
            page_of(path, after, order=order, wanted=wanted)
            for order in RowOrder
            for wanted in (RowFilter(), RowFilter(brand="Kia"), RowFilter(status="rejected"))
        ]
        found = [(page.total, list(page.rows)) for page in pages]
        sums = {
            name: pages[0].head[name]
            for name in ("total_mad", "statuses", "verdicts", "brands", "reasons", "brand_rows")
        }
        states.append((after.progress.counts, texts, found, sums))
    assert states[0] == states[1]
