"""The fast CSV engine writes the bytes of the general engine, which is the oracle here."""

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.vehicles.columns import values_at
from shared.blobs.parts import Part
from shared.domain.batch import BatchManifest, BatchOptions, result_header
from shared.domain.car import Fuel
from shared.domain.files.notes import MODEL_NOTES, ModelNote
from shared.domain.ids import BatchId, CallerId, new_id
from shared.domain.table import ColumnMatch, Dialect, UnitColumn
from shared.domain.valuation import (
    BRAND_UNKNOWN,
    EXTRAPOLATED,
    NO_EFFECT,
    QUANTILE_LEVELS,
    UNSEEN_IN_MODEL,
    Estimate,
)
from shared.fields.columns import ColumnValidator
from shared.tabular.columns.units import find_prices
from shared.tabular.csv_reader import START, CsvReader
from shared.tabular.rows.chunk import CellChunk, cut
from worker.batches.engine import constant_values
from worker.batches.fast_csv import engine as fast_csv_engine
from worker.batches.fast_csv.engine import FastCsvEngine
from worker.batches.fast_csv.interner import StringInterner
from worker.batches.fast_csv.rows import read_rows
from worker.batches.fast_csv.spans import FastCsvChunk, supports_fast_csv, unpack_chunk
from worker.batches.rows import engine as general_engine
from worker.batches.rows.engine import GeneralEngine
from worker.batches.split import ChunkReader

FIELDS = ("company", "model", "year", "fuel", "transmission", "km_driven", "engine_cc", "city")
HEADER = ("ref", *FIELDS)
ASKING_HEADER = (*HEADER, "Prix")
AT, ELAPSED_MS = 1_790_000_000.25, 12.3456
CELLS = {
    "ref": [
        "R1",
        "",
        "é",
        "-",
        "=1+1",
        "+212600000000",
        "-12,5",
        "@x",
        "a b",
        "\uff1d1",
        "'",
        "'=1+1",
        "''-a",
        "-a",
    ],
    "company": ["Toyota", "VW", "", "Citroën", "n/a", "x" * 90, "Dacai", "Dacia Logan", "Nobody"],
    "model": ["Corolla", "C3", "Golf 7", "", "日産", "Dacia Logan MCV", "Corola", "Golg"],
    "year": ["2020", "2018.0", "1890", "", "2,020", "02019", "12/2019", "20200", "année"],
    "fuel": ["Essence", "Diesel", "vapeur", "", "Electric"],
    "transmission": ["Manuelle", "auto", "", "?"],
    "km_driven": [
        "0",
        "120000",
        "120 000",
        "120.000",
        "beaucoup",
        "",
        "2000001",
        "1e5",
        "99.0",
        '="7"',
    ],
    "engine_cc": ["1500", "1598,5", "1.6", "", "10001", "1500.0", "1500.00", "-"],
    "Prix": [
        "150000",
        "150 000 DH",
        "",
        "sur demande",
        "12",
        "99999,5",
        "310000.0",
        "95.000",
        "1.250.000",
    ],
    "city": [
        "Casablanca",
        "",
        "Fès",
        "a;b",
        "a,b",
        "a\tb",
        "\t",
        'dite "la blanche"',
        "deux\nlignes",
        "\nF",
        "x\r\ny",
        "\x1e",
    ],
}
CONSTANTS = (
    {},
    {},
    {"company": "Dacia"},
    {"fuel": "Essence", "km_driven": "15000"},
    {"fuel": "charbon"},
    {"company": "Toyota", "model": "Corolla", "transmission": "Manuelle"},
)
"""What a caller states for all rows of a file."""
QUOTES = ("none", "needed", "all", "some")
"""Which cells of a file are quoted."""


def manifest(
    delimiter: str = ",",
    encoding: str = "utf-8",
    header: tuple[str, ...] = HEADER,
    constants: dict[str, str] | None = None,
    units: dict[str, str] | None = None,
    **options: Any,
) -> BatchManifest:
    """A batch; a field with a constant is read from no column, whatever the header says."""
    columns = {
        name: ColumnMatch(index=HEADER.index(name), confidence=1, basis="name")
        for name in FIELDS
        if name not in (constants or {})
    }
    return BatchManifest(
        id=BatchId(new_id()),
        caller=CallerId('some"body'),
        accepted_at=AT,
        model_version="v1",
        result_delimiter=delimiter,
        options=BatchOptions(key_column="ref", **options),
        dialect=Dialect(
            encoding=encoding,
            delimiter=delimiter,
            header=header,
            columns=columns,
            asking=asking_column(header),
            constants=constants or {},
            units=units or {},
        ),
        sha256="0" * 64,
        size_bytes=10,
    )


def asking_column(header: Sequence[str]) -> ColumnMatch | None:
    found = find_prices(header, (), lambda _: (), None)
    if found.column is None:
        return None
    return ColumnMatch(index=found.column, confidence=1.0, basis=found.basis)


class Table(NamedTuple):
    """Estimates of n cars."""

    quantiles_mad: np.ndarray
    model_known: np.ndarray
    notes: np.ndarray
    without_effect: tuple[str, ...] = ("engine_cc", "doors", "seller_type")


def quantiles_of(km: Any) -> np.ndarray:
    """Prices with no, one and two digits after the point; 1 km where it is missing."""
    km = np.nan_to_num(np.asarray(km, dtype=np.float64), nan=1.0)
    price = np.maximum(300_000.0 - np.asarray(km, dtype=np.float64) / 7, 5_000.0)
    return np.round(price[:, None] * (0.5 + np.asarray(QUANTILE_LEVELS)), 2)


@pytest.fixture(scope="module", autouse=True)
def _same_elapsed_time() -> Iterator[None]:
    """Every chunk takes `ELAPSED_MS`, which its audit records state, in both engines."""
    seconds = itertools.count(0, ELAPSED_MS / 1000)
    timer = SimpleNamespace(perf_counter=lambda: next(seconds))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(general_engine, "time", timer)
        patch.setattr(fast_csv_engine, "time", timer)
        yield


def estimate(_: str, columns: Any, n: int) -> Table:
    """Estimates of a model that knows some models, one of them by training only."""
    quantiles = quantiles_of(columns["km_driven"])
    models = values_at(columns["model"], range(n))
    assert len(quantiles) == n
    known = np.array([model not in {"golf 7", "c3"} for model in models])
    return Table(quantiles, known, notes_of(columns, n))


def notes_of(columns: Any, n: int) -> np.ndarray:
    """Notes on the values that the cars state: on some mileages, fuels, cities and brands."""
    noted = {
        ("year", EXTRAPOLATED): lambda year: year > 2018,
        ("km_driven", EXTRAPOLATED): lambda km: km > 100_000,
        ("fuel", UNSEEN_IN_MODEL): lambda fuel: fuel == Fuel.DIESEL,
        ("city", NO_EFFECT): lambda city: "a" in city,
        ("company", BRAND_UNKNOWN): lambda company: company == "nobody",
    }
    found = np.zeros(n, dtype=np.int64)
    for (field, code), is_noted in noted.items():
        values = values_at(columns.get(field, [None] * n), range(n))
        stated = [value is not None for value in values]
        bit = 1 << MODEL_NOTES.index(ModelNote(field, code))
        found += [bit * bool(s and is_noted(v)) for s, v in zip(stated, values, strict=True)]
    return found


def general(validator: ColumnValidator | None = None) -> GeneralEngine:
    """A general engine."""
    used = validator or ColumnValidator()
    return GeneralEngine(estimate, lambda _: used, lambda: AT)


def fast_csv(*validators: ColumnValidator) -> FastCsvEngine:
    """A fast CSV engine with a validator per decimal sign; its fallback is an error."""
    used = dict(zip(("auto", ",", "."), validators or [ColumnValidator()], strict=False))
    broken: Any = SimpleNamespace()
    return FastCsvEngine(
        estimate, lambda dialect: used[dialect.decimal], lambda: AT, general=broken
    )


def compiled_part(
    chunk: FastCsvChunk, batch: BatchManifest, interner: StringInterner
) -> Part | None:
    """The part of the compiled loops; None if they leave it to the general engine."""
    constants = constant_values(batch.dialect, interner.validator)
    return fast_csv().try_value(batch, chunk, interner, constants)


def general_chunks(data: bytes, batch: BatchManifest, rows: int) -> Iterator[CellChunk]:
    reader = CsvReader.of(io.BytesIO(data), batch.dialect, START)
    source, first = iter(reader), 1
    while chunk := cut(source, batch.dialect, first_row=first, max_rows=rows):
        first += len(chunk)
        yield chunk


def chunks(data: bytes, batch: BatchManifest, rows: int) -> Iterator[FastCsvChunk | CellChunk]:
    """The chunks as tasks cut them: each from where the one before stopped."""
    at, first = START, 1
    while True:
        chunk_reader = ChunkReader(io.BytesIO(data), batch.dialect, at)
        chunk = chunk_reader.cut(first_row=first, max_rows=rows)
        if chunk is None:
            return
        at, first = chunk_reader.position, first + len(chunk)
        found = unpack_chunk(chunk.pack(), batch, lambda: io.BytesIO(data))
        assert found.first_row == chunk.first_row
        assert isinstance(found, FastCsvChunk) or found == chunk
        yield found


def check(data: bytes, batch: BatchManifest, rows: int = 3) -> list[bool]:
    """Value a file by both engines, chunk by chunk; which chunks the compiled loops took."""
    dialect = batch.dialect
    oracle = general(ColumnValidator(dialect.decimal, dialect.units))
    interner = StringInterner(ColumnValidator(dialect.decimal, dialect.units))
    taken = []
    for found, cells in zip(
        chunks(data, batch, rows), general_chunks(data, batch, rows), strict=True
    ):
        expected = oracle.value(batch, cells)
        part = None
        if isinstance(found, FastCsvChunk):
            part = compiled_part(found, batch, interner)
            assert dataclasses.asdict(found.as_cells(batch.dialect)) == dataclasses.asdict(cells)
        else:
            assert found == cells
        if part is not None:
            assert part[:5] == expected[:5]
            assert part.head[:3] == expected.head[:3]
            assert (part.notes, part.asking_sides) == (expected.notes, expected.asking_sides)
            histogram, other = part.head.histogram, expected.head.histogram
            assert list(histogram.counts) == list(other.counts)
            assert histogram.sum_mad == pytest.approx(other.sum_mad)
        taken.append(part is not None)
    return taken


def written(cell: str, delimiter: str, quotes: str, *, is_quoted: bool) -> str:
    """A cell as a file has it."""
    if quotes == "none":
        return cell.replace(delimiter, " ").translate({10: " ", 13: " ", 34: "'"})
    if is_quoted or any(char in cell for char in (delimiter, '"', "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, BatchManifest, int]:
    """Files of odd cells in all dialects, some of them with quotes, torn rows, empty lines."""
    delimiter = draw(st.sampled_from(",;\t|"))
    encoding = draw(st.sampled_from(["utf-8", "cp1252", "utf-16-le"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    header = draw(st.sampled_from([HEADER, ASKING_HEADER]))
    lines = [delimiter.join(header)]
    odd = st.sampled_from(
        [
            "",
            delimiter * 3,
            delimiter * 8,
            "a" + delimiter * 9,
            '"',
            "x",
            'a"b',
            " ",
            "\r",
            '""',
            delimiter.join(['""'] * len(header)),
            '""' + delimiter,
            '""""',
            '"a"b',
            '"a" ' + delimiter,
            ' "a"',
            '"\n"',
            f'"{end}{delimiter}"',
            f'R{delimiter}"Toyota' + delimiter * 3,
            f'R{delimiter}"Dacia{delimiter}a"b',
            '"\x1f"',
            '"a""b"' + delimiter * (len(header) - 1),
            '"a\n"' + delimiter * (len(header) - 1),
        ]
    )
    quotes = draw(st.sampled_from(QUOTES))
    for _ in range(draw(st.integers(1, 9))):
        cells = [draw(st.sampled_from(CELLS[name])) for name in header]
        is_quoted = [quotes == "all" or (quotes == "some" and draw(st.booleans())) for _ in cells]
        row = delimiter.join(
            written(cell, delimiter, quotes, is_quoted=quoted)
            for cell, quoted in zip(cells, is_quoted, strict=True)
        )
        tail = draw(st.sampled_from(["", "", "", delimiter, delimiter * 2, delimiter + "x"]))
        if draw(st.integers(0, 9)) == 5:
            row = delimiter.join(row.split(delimiter)[: draw(st.integers(5, 9))])
        lines.append(row + tail if draw(st.integers(0, 9)) else draw(odd))
    text = end.join(lines) + draw(st.sampled_from(["", end, end + end]))
    options = {"dry_run": draw(st.booleans()), "language": draw(st.sampled_from(["fr", "en"]))}
    constants = draw(st.sampled_from(CONSTANTS))
    units = draw(st.sampled_from([{}, {"km_driven": "miles"}]))
    batch = manifest(delimiter, encoding, header, constants, units, **options)
    return text.encode(encoding, "replace"), batch, draw(st.integers(1, 4))


@settings(max_examples=200, deadline=None)
@given(files())
@example((b"ref\n\xff\n", manifest(), 2))
def test_both_engines_write_the_same_bytes(file: tuple[bytes, BatchManifest, int]) -> None:
    check(*file)


def simple_file(delimiter: str = ",", rows: int = 10) -> bytes:
    row = delimiter.join(["R1", "Toyota", "Corolla", "2020", "Petrol", "Manual", "25000", "", ""])
    return "\n".join([delimiter.join(HEADER), *[row] * rows]).encode()


def test_examples_of_names_are_in_the_order_of_the_valid_rows() -> None:
    rows = ["R1,Kia,Zzyx,no year,,,,,", "R2,Seat,Qqux,2020,,,,,", "R3,Kia,Zzyx,2020,,,,,"]
    data = "\n".join([",".join(HEADER), *rows]).encode()
    assert check(data, manifest(dry_run=True), 3) == [True]


@pytest.mark.parametrize(
    "options", [{"language": "fr"}, {"language": "en"}, {"language": "fr", "dry_run": True}]
)
def test_texts_that_occur_once_get_the_notes_of_the_general_engine(options: dict[str, Any]) -> None:
    unreadable = [
        f"R1,Toyota,Corolla,2020,vapeur n° {n},boîte {n % 3},à peu près {n} lieues,gros {n % 2},Fès"
        for n in range(40)
    ]
    readable = ["R2,Toyota,Corolla,2020,Diesel,auto,90000,1500,Fès"] * 5
    rejected = [f"R3,Toyota,Corolla,an {n},Diesel,auto,compteur {n},1500,Fès" for n in range(5)]
    lines = [",".join(HEADER), *unreadable, *readable, *rejected, *unreadable[:7]]
    batch = manifest(**options)
    assert check("\n".join(lines).encode(), batch, rows=30) == [True, True]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_usual_file_is_handled_by_the_compiled_loops(delimiter: str) -> None:
    assert check(simple_file(delimiter), manifest(delimiter), rows=4) == [True, True, True]


@pytest.mark.parametrize(
    "line",
    [
        b'"R"1,Toyota,Corolla,2020,Petrol,Manual,1,,',
        b'"\x1f",Toyota,Corolla,2020,Petrol,Manual,1,,',
        b"\x1e,Toyota,Corolla,2020,Petrol,Manual,1,,",
        b"too,few",
        b"\0,,,,,,,,",
    ],
    ids=[
        "odd-quote",
        "separator",
        "line-mark",
        "torn",
        "nul",
    ],
)
def test_rows_that_need_it_are_left_to_the_general_engine(line: bytes) -> None:
    data = simple_file(rows=3) + b"\n" + line
    assert check(data, manifest(), rows=3) == [True, False]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_file_whose_cells_are_quoted_is_handled_by_the_compiled_loops(delimiter: str) -> None:
    row = ["R, 1", "Toyota", 'dite ""C""', "2020", "Petrol", "Manual", "25000", "", "a;b\t|"]
    line = delimiter.join(f'"{cell}"' for cell in row)
    data = "\n".join([delimiter.join(HEADER), *[line] * 10]).encode()
    assert check(data, manifest(delimiter), rows=4) == [True, True, True]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_rows_of_several_lines_are_handled_by_the_compiled_loops(delimiter: str) -> None:
    """Those with errors, too: each error names the line on which its row begins."""
    cells = ['"R\n1"', "Toyota", "Corolla", '"18\n90"', "Petrol", "Manual", "25000", "", '"a\n\nb"']
    lines = [delimiter.join(HEADER), *[delimiter.join(cells)] * 4]
    assert check("\n".join(lines).encode(), manifest(delimiter), rows=3) == [True, True]


def test_rows_of_several_lines_are_cut_even_where_they_must_be_read_as_cells() -> None:
    row = '"R1",Toyota,Corolla,2020,Petrol,Manual,25000,,"two\r\nlines"'
    data = "\n".join([",".join(HEADER), *[row] * 4]).encode()
    assert check(data, manifest(), rows=3) == [False, False]
    assert all(isinstance(chunk, FastCsvChunk) for chunk in chunks(data, manifest(), 3))


def test_quotes_inside_of_cells_hide_no_line_end() -> None:
    """Two rows for every reader, although the line feed stands between two quotes."""
    lines = ['R1,Toyota,Corolla,2020,Petrol,Manual,25000,,17"', 'R2,VW,Golf,2019,,,9000,,19"']
    data = "\n".join([",".join(HEADER), *lines]).encode()
    assert check(data, manifest(), rows=3) == [False]


def test_after_rows_that_need_it_the_compiled_loops_go_on() -> None:
    line = b'R"1,Toyota,Corolla,2020,Petrol,Manual,1,,"'
    data = simple_file(rows=3) + b"\n" + line + b"\n" + simple_file(rows=5).split(b"\n", 1)[1]
    assert check(data, manifest(), rows=3) == [True, False, True]


@pytest.mark.parametrize("year", [2018, 2020])
def test_a_file_with_asking_prices_gets_the_verdicts_of_single_cars(year: int) -> None:
    asked_for = [1_000.0, 150_000.0, 240_000.0, 296_428.57, 310_000.0, 1e7]
    row = f"R1,Toyota,Corolla,{year},Petrol,Manual,25000,,"
    data = "\n".join([",".join(ASKING_HEADER), *(f"{row},{price}" for price in asked_for)])
    batch = manifest(header=ASKING_HEADER)
    assert check(data.encode(), batch, rows=9) == [True]
    (chunk,) = chunks(data.encode(), batch, 9)
    assert isinstance(chunk, FastCsvChunk)
    part = compiled_part(chunk, batch, StringInterner(ColumnValidator()))
    assert part is not None
    quantiles = tuple(quantiles_of([25_000])[0].tolist())
    estimate = Estimate(
        price_mad=quantiles[4], quantiles_mad=quantiles, model_version="v1", model_known=True,
        extrapolated=("year",) if year > 2018 else (),
    )  # fmt: skip
    header = result_header(ASKING_HEADER, verdicts=True)
    lines = csv.reader(io.StringIO(part.results.decode()))
    for line, price in zip(lines, asked_for, strict=True):
        found = dict(zip(header, line, strict=True))
        verdict, fair = estimate.verdict(price), estimate.interval(0.5)
        assert found["verdict"] == verdict.position
        if verdict.percentile is None:
            assert found["percentile"] == ""
        else:
            assert float(found["percentile"]) == pytest.approx(verdict.percentile, abs=0.101)
        assert float(found["difference_mad"]) == verdict.difference_mad
        assert (float(found["fair_low_mad"]), float(found["fair_high_mad"])) == (
            fair.low_mad, fair.high_mad,
        )  # fmt: skip


def test_an_estimate_of_ours_is_no_asking_price() -> None:
    header = result_header(ASKING_HEADER, verdicts=True)
    found = asking_column(header)
    assert found is not None
    assert found.index == header.index("Prix")
    assert asking_column(result_header(HEADER)) is None


def test_signed_numbers_are_no_formulas() -> None:
    data = simple_file(rows=1) + b"\n+212600000000,Toyota,Corolla,2020,Petrol,Manual,25000,,-\n"
    assert check(data, manifest()) == [True]


def test_the_interner_is_emptied_when_it_holds_too_many_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.batches.fast_csv.interner.MAX_INTERNED_STRINGS", 10)
    lines = [f"R{n},Toyota,Corolla {n},2020,Petrol,Manual,{n} km,,Fes {n}" for n in range(50)]
    data = "\n".join([",".join(HEADER), *lines]).encode()
    assert all(check(data, manifest(), rows=7))


def test_a_chunk_that_is_given_up_names_all_its_rows() -> None:
    (chunk,) = chunks(simple_file(rows=5), manifest(), 10)
    assert isinstance(chunk, FastCsvChunk)
    validator = ColumnValidator()
    engine = FastCsvEngine(estimate, lambda _: validator, lambda: AT, general=general(validator))
    part = engine.fail(manifest(), chunk)
    assert part.counts.failed == 5
    assert part == general().fail(manifest(), chunk.as_cells(manifest().dialect))


def test_a_chunk_that_the_compiled_loops_cannot_read_falls_back_to_the_general_engine() -> None:
    data = simple_file(rows=3) + b"\n\x1e,Toyota,Corolla,2020,Petrol,Manual,1,,"
    (chunk,) = chunks(data, manifest(), 10)
    assert isinstance(chunk, FastCsvChunk)
    validator, batch = ColumnValidator(), manifest()
    engine = FastCsvEngine(estimate, lambda _: validator, lambda: AT, general=general(validator))
    assert engine.value(batch, chunk) == general().value(batch, chunk.as_cells(batch.dialect))


def test_texts_that_collide_are_left_to_the_general_engine() -> None:
    """A crafted file costs a bounded number of steps, whatever its author knows."""
    lines = [f"R{n},Toyota,Corolla {n},2020,Petrol,Manual,1000,," for n in range(400)]
    data = "\n".join([",".join(HEADER), *lines]).encode()
    (chunk,) = chunks(data, manifest(), 1000)
    assert isinstance(chunk, FastCsvChunk)
    crowded = StringInterner(ColumnValidator())
    crowded.reserve(10_000, len(data))
    crowded.slots = crowded.slots[:256]  # full before all texts have a slot
    crowded.reserve = lambda *_: None  # type: ignore[method-assign]
    assert read_rows(chunk, manifest().dialect, crowded) is None


def test_each_interner_has_a_secret_of_its_own() -> None:
    assert StringInterner(ColumnValidator()).secret != StringInterner(ColumnValidator()).secret


class Interrupted(ColumnValidator):
    """Runs out of time at its fifth text, once."""

    def __init__(self) -> None:
        super().__init__("auto")
        self.until_then = 5

    def normalize(self, name: str, cell: str) -> tuple[Any, str | None]:
        self.until_then -= 1
        if self.until_then == 0:
            raise TimeoutError
        return super().normalize(name, cell)


def test_an_interrupted_chunk_leaves_no_inconsistent_interner() -> None:
    """A text has an entry in several arrays, of which some were filled already."""
    batch = manifest()
    lines = [f"R{n},Toyota,Corolla,{2000 + n},Diesel,auto,{n}000,1500,Fès" for n in range(1, 9)]
    data = "\n".join([",".join(HEADER), *lines, ""]).encode()
    (chunk,) = chunks(data, batch, rows=100)
    assert isinstance(chunk, FastCsvChunk)
    (cells,) = general_chunks(data, batch, rows=100)
    engine = fast_csv(Interrupted())
    with pytest.raises(TimeoutError):
        engine.value(batch, chunk)
    assert engine.value(batch, chunk).results == general().value(batch, cells).results


def test_files_with_other_decimals_take_turns_without_forgetting() -> None:
    seen: list[str] = []

    class Watched(ColumnValidator):
        def normalize(self, name: str, cell: str) -> tuple[Any, str | None]:
            seen.append(cell)
            return super().normalize(name, cell)

    batch = manifest()
    data = "\n".join([",".join(HEADER), "R,Toyota,C3,2019,Diesel,auto,5,1,Fès", ""]).encode()
    (chunk,) = chunks(data, batch, rows=100)
    assert isinstance(chunk, FastCsvChunk)
    engine = fast_csv(ColumnValidator(), Watched(","), Watched("."))
    batches = [
        dataclasses.replace(batch, dialect=dataclasses.replace(batch.dialect, decimal=decimal))
        for decimal in ",."
    ]
    for each in batches:
        engine.value(each, chunk)
    validated = len(seen)
    assert validated > 0
    for each in batches:
        engine.value(each, chunk)
    assert len(seen) == validated


def test_text_behind_a_closing_quote_of_a_later_row_sinks_no_row_between() -> None:
    """Two open quotes with rows between them: each costs its own line, and no other."""
    rows = [f"R{n},Toyota,Corolla,2020,Petrol,Manual,{n}000,," for n in range(1, 31)]
    rows[4] += '"first, of'
    rows[24] += '"second, hand'
    data = "\n".join([",".join(HEADER), *rows]).encode()
    found = list(general_chunks(data, manifest(), 100))
    assert [len(chunk) for chunk in found] == [30]
    assert found[0].faults == {4: ("open-quote", 10), 24: ("open-quote", 10)}
    assert check(data, manifest(), rows=4)


def test_cells_that_no_car_needs_may_be_missing_at_the_end() -> None:
    rows = ["R1,Toyota,Corolla,2020,Petrol,Manual,25000", "R2,VW,Golf"]
    data = "\n".join([",".join(HEADER), *rows]).encode()
    (chunk,) = general_chunks(data, manifest(), 100)
    assert chunk.faults == {1: ("wrong-cell-count", 3)}
    assert [column[0] for column in chunk.columns[-2:]] == ["", ""]
    assert check(data, manifest()) == [False]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_cells_that_a_spreadsheet_would_run_are_escaped_by_the_compiled_loops(
    delimiter: str, quote: str
) -> None:
    cells = [
        "+212 661 00",
        "=1",
        "-12,5",
        "@a",
        "\uff1d1",
        "- gps",
        "+212661",
        "-",
        "\t",
        "=a",
        "-x",
    ]
    row = delimiter.join(f"{quote}{{}}{quote}" for _ in HEADER)
    lines = [row.format(cell, "Toyota", "C3", "2020", "Diesel", "auto", "1", "", cell)
             for cell in cells if delimiter not in cell]  # fmt: skip
    data = "\n".join([delimiter.join(HEADER), *lines]).encode()
    assert all(check(data, manifest(delimiter), rows=4))


def test_more_risky_cells_than_there_is_room_for_are_left_to_the_general_engine() -> None:
    row = "=1,Toyota,=C3,=2020,=Petrol,=Manual,=1,=,=x"
    data = "\n".join([",".join(HEADER), *[row] * 3]).encode()
    assert check(data, manifest(), rows=3) == [False]


@pytest.mark.parametrize(
    ("units", "taken"),
    [
        (["mi", "mi", "mi"], True),
        (['"mi"', '"mi"', '"mi"'], True),
        (["mi", "mi", "miles"], False),
        (["mi", "mi", "km"], False),
        (["mi", "mi", ""], False),
        (["km", "km", "km"], False),
        (["", "", ""], False),
        (["mi", "mi", "mil"], False),
        (["mi", "mi", "m"], False),
    ],
)
def test_rows_in_other_units_than_the_usual_one_are_left_to_the_general_engine(
    units: list[str], *, taken: bool
) -> None:
    batch = manifest(units={"km_driven": "miles"})
    for index in (HEADER.index("engine_cc"), len(HEADER) - 1, 0):
        column = UnitColumn(index=index, stated=None, usual="miles")
        dialect = dataclasses.replace(batch.dialect, unit_columns={"km_driven": column})
        one = dataclasses.replace(batch, dialect=dialect)
        lines = [",".join(HEADER)]
        for unit in units:
            cells = {"company": "Kia", "model": "Rio", "year": "2017", "km_driven": "50000"}
            lines.append(",".join(cells.get(name, "") if at != index else unit
                                  for at, name in enumerate(HEADER)))  # fmt: skip
        assert check("\n".join(lines).encode(), one) == [taken]


def test_files_that_mix_units_from_the_start_are_cut_for_the_general_engine() -> None:
    column = UnitColumn(index=0, stated=None, usual=None)
    dialect = dataclasses.replace(manifest().dialect, unit_columns={"km_driven": column})
    assert not supports_fast_csv(dialect)


def test_rows_of_totals_have_one_reason_in_both_engines() -> None:
    cells = (
        "1,Kia,Rio,2017,,,9,,",
        "2,Total,,,,,9,,",
        "3,Kia Total,,1066,,,9,,",
        "4,Kia,,1066,,,9,,",
    )
    data = "\n".join([",".join(HEADER), *cells]).encode()
    batch = manifest()
    assert check(data, batch, rows=4) == [True]
    (chunk,) = general_chunks(data, batch, 4)
    part = general().value(batch, chunk)
    errors = [orjson.loads(line) for line in part.errors.splitlines()]
    found = [(error["line"], error["code"]) for error in errors]
    assert found == [
        (3, "summary-row"), (4, "summary-row"), (5, "out-of-range"), (5, "required"),
    ]  # fmt: skip
