"""Files that other programs write in unusual ways are valued, or refused with the reason."""

import json
from pathlib import Path

import pytest

from shared.domain.batch import Batch, BatchOptions, RowCounts
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Dialect, FileKind
from shared.fields.columns import ColumnValidator
from tests.batch_parts import CALLER, BulkPath, Memory, rows_of
from tests.conftest import Servers
from worker.batches.engine import constant_values

CAR = {"make": "Seat", "model": "Ibiza", "year": 2015, "fuel": "Diesel", "km": 98000}
HEADER = "Marque;Modèle;Année;Carburant;Boîte;Kilométrage;Ville"
ROWS = [
    "Citroën;C3;2016;Électrique;Manuelle;64 000;Fès",
    "Škoda;Fabia;2014;Diesel;Manuelle;131 000;Méknès",
]


@pytest.fixture
def path(tmp_path: Path, servers: Servers) -> BulkPath:
    return BulkPath(tmp_path, servers.broker)


def notices(batch: Batch) -> dict[str, tuple[str, ...]]:
    return {notice.code: notice.values for notice in batch.manifest.dialect.notices}


def cells(path: BulkPath, batch: Batch, *names: str) -> list[list[str]]:
    return [[row[name] for name in names] for row in rows_of(path, batch)]


def refusal(path: BulkPath, data: bytes) -> tuple[str, dict[str, object]]:
    batch = path.run(data)
    assert batch.progress.error == "unreadable-table"
    return batch.refusal[0].code, batch.refusal[0].params


# --- JSON ---------------------------------------------------------------------------------------


def test_json_lines_are_valued_and_reported_by_their_lines(path: BulkPath) -> None:
    lines = [json.dumps(CAR), "", json.dumps(CAR | {"year": "long ago", "note": "a\nb"})]
    batch = path.run("\n".join(lines).encode())
    assert batch.manifest.dialect.kind is FileKind.JSON
    assert batch.progress.counts == RowCounts(valid=1, invalid=1)
    assert cells(path, batch, "make", "year", "note") == [
        ["Seat", "2015", ""],
        ["Seat", "long ago", "a\nb"],
    ]
    (error,) = path.errors(batch)
    assert (error["line"], error["column"], error["value"]) == (3, "year", "long ago")


@pytest.mark.parametrize(
    "body",
    [
        [CAR, CAR],
        {"count": 2, "next": None, "data": [CAR, CAR], "took_ms": 1.5},
        {"response": {"docs": [CAR, CAR]}, "status": "ok"},
    ],
    ids=["array", "wrapped", "wrapped twice"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_valued_also_in_an_object_around_it(
    path: BulkPath, body: object, indent: int | None
) -> None:
    batch = path.run(json.dumps(body, indent=indent).encode())
    assert batch.progress.counts == RowCounts(valid=2)


def test_members_of_objects_in_a_car_become_columns(path: BulkPath) -> None:
    nested = {
        "id": 7,
        "vehicle": {"make": "Kia", "model": "Rio", "year": 2018.0, "km": 5},
        "tags": ["a", 1],
    }
    batch = path.run(json.dumps([nested]).encode())
    assert batch.progress.counts == RowCounts(valid=1)
    assert cells(path, batch, "vehicle.make", "tags") == [["Kia", '["a",1]']]


def test_a_car_that_holds_a_list_of_objects_is_no_list_of_cars(path: BulkPath) -> None:
    photos = {"id": 1, "photos": [{"url": "x"}, {"url": "y"}]}
    batch = path.run("\n".join(json.dumps(photos | CAR) for _ in range(2)).encode())
    assert batch.progress.counts == RowCounts(valid=2)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('[{"make": "Kia"},\n {"make": "Kia", ', "truncated-json", 2),
        ('[{"make": "Kia"},\n {"make": "Kia", "make": "Seat"}]', "repeated-json-member", 2),
        ('{"make": "Kia"}\n{"year": 2011, "year": 2012}', "repeated-json-member", 2),
        ('{"make": "Kia", "model": "Rio", "model": "Ceed"}', "repeated-json-member", 1),
        ('[{"car": {"make": "Kia", "make": "Seat"}}]', "repeated-json-member", 1),
        ('{"here": [{"make": "Kia"}],\n "sold": [{"make": "Kia"}]}', "several-json-lists", 2),
        ('{"make": "Kia"}\n{"make": "Ki', "truncated-json", 2),
        ('{"make": "Kia"}\n{"make": Kia}\n{"make": "Kia"}', "wrong-json", 2),
        ('[{"make": "Kia"}]\n[]', "wrong-json", 2),
        ('[{"make": "Kia"},\n 3]', "json-shape", 2),
        ('[["a", "b"], ["Kia", "Rio"]]', "json-shape", 1),
    ],
)
def test_json_that_cannot_be_read_is_refused_with_line_and_reason(
    path: BulkPath, text: str, code: str, line: int
) -> None:
    found, params = refusal(path, text.encode())
    assert (found, params["line"]) == (code, line)


def test_json_in_another_encoding_is_refused(path: BulkPath) -> None:
    data = json.dumps([CAR | {"ville": "Fès"}], ensure_ascii=False).encode("cp1252")
    assert refusal(path, data)[0] == "json-not-utf8"


def test_a_large_json_file_is_read_block_by_block(path: BulkPath) -> None:
    count = 20_000
    path.split_by(count)
    records = ",\n".join(json.dumps(CAR | {"ref": number}) for number in range(count))
    batch = path.run(f"[{records}]".encode())
    assert batch.progress.counts == RowCounts(valid=count)


# --- rows and quotes ----------------------------------------------------------------------------


@pytest.mark.parametrize("header", [HEADER, f'"{HEADER}"'])
def test_whole_lines_in_quotes_are_unwrapped(path: BulkPath, header: str) -> None:
    lines = [header, f'"{ROWS[0]}"', '"Kia;""Rio; 5 portes"";2015;Diesel;Manuelle;70000;Salé"']
    batch = path.run("\r\n".join(lines).encode())
    assert batch.progress.counts == RowCounts(valid=2)
    assert "quoted-lines" in notices(batch)
    assert cells(path, batch, "Modèle", "Ville") == [["C3", "Fès"], ["Rio; 5 portes", "Salé"]]


def test_spaces_before_quotes_do_not_move_cells(path: BulkPath) -> None:
    text = 'make, model, year, km, note\nKia, "Rio", 2015, 70000, "clim, ABS"\nKia, Rio, 2014, 1, x'
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=2)
    assert cells(path, batch, "note") == [["clim, ABS"], ["x"]]
    assert "space-before-quotes" in notices(batch)


def test_row_names_stand_before_the_columns(path: BulkPath) -> None:
    text = '"make","model","year","km"\n"1","Kia","Rio",2015,7\n"12","Seat","Ibiza",2014,8\n'
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=2)
    assert cells(path, batch, "column_1", "make") == [["1", "Kia"], ["12", "Seat"]]
    assert notices(batch)["row-names"] == ("column_1",)


@pytest.mark.parametrize("delimiter", [";", '";"'])
def test_a_header_within_the_file_is_rejected_as_such(path: BulkPath, delimiter: str) -> None:
    lines = [HEADER, ROWS[0], HEADER.replace(";", delimiter), ROWS[1]]
    if delimiter != ";":
        lines[2] = f'"{lines[2]}"'
    batch = path.run("\n".join(lines).encode())
    assert batch.progress.counts == RowCounts(valid=2, invalid=1)
    (error,) = path.errors(batch)
    assert (error["line"], error["code"]) == (3, "repeated-header")


def test_values_with_their_types_are_read_as_values(path: BulkPath) -> None:
    car = {
        "_id": {"$oid": "65a1"},
        "make": "Seat",
        "model": "Ibiza",
        "year": {"$numberInt": "2015"},
        "odometer": {"km": {"$numberLong": "98000"}},
    }
    batch = path.run("\n".join(map(json.dumps, [car, car | {"year": 2016}])).encode())
    assert batch.progress.counts == RowCounts(valid=2)
    features = json.loads(path.audit_lines()[0])["features"]
    assert (features["year"], features["km_driven"]) == (2015, 98000)


def test_an_open_object_among_json_lines_is_refused_with_its_own_line(path: BulkPath) -> None:
    lines = [json.dumps(CAR), json.dumps(CAR)[:-3], json.dumps(CAR)]
    code, params = refusal(path, "\n".join(lines).encode())
    assert (code, params["line"]) == ("wrong-json", 2)
    code, params = refusal(path, json.dumps([CAR, CAR], indent=1)[:-20].encode())
    assert code == "truncated-json"


# --- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"header": False}])
def test_no_car_is_lost_where_there_is_no_header(
    path: BulkPath, options: dict[str, object]
) -> None:
    batch = path.run("\n".join(ROWS).encode(), **options)
    assert batch.progress.counts == RowCounts(valid=2)
    assert cells(path, batch, "column_1", "column_7") == [["Citroën", "Fès"], ["Škoda", "Méknès"]]
    assert "no-header" in notices(batch)


def test_positions_name_the_columns_where_there_is_no_header(path: BulkPath) -> None:
    columns = (("company", "#1"), ("model", "#2"), ("year", "#3"), ("km_driven", "#6"))
    batch = path.run("\n".join(ROWS).encode(), columns=columns)
    assert batch.progress.counts == RowCounts(valid=2)
    assert batch.manifest.dialect.column_indexes["km_driven"] == 5


def test_a_header_that_looks_like_a_car_can_be_declared(path: BulkPath) -> None:
    columns = (("company", "#1"), ("model", "#2"), ("year", "#3"), ("km_driven", "#6"))
    batch = path.run("\n".join(ROWS).encode(), columns=columns, header=True)
    assert batch.progress.counts == RowCounts(valid=1)
    assert batch.manifest.dialect.header[0] == "Citroën"


def test_units_below_the_header_are_no_car_and_convert_their_columns(path: BulkPath) -> None:
    text = "make;model;year;odometer;power\n;;;(miles);kW\nKia;Rio;2015;50000;66\n"
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=1)
    assert batch.manifest.dialect.units == {"km_driven": "miles", "max_power_bhp": "kW"}
    assert notices(batch)["units-below-header"] == ("miles", "kW")
    features = json.loads(path.audit_lines()[0])["features"]
    assert features["km_driven"] == round(50000 * 1.609344)


@pytest.mark.parametrize(
    "below",
    [
        "[-];[-];[yyyy];[mi];[kW]",
        "(Text);(Text);(JJJJ);(Miles);(KW)",
        "name of the brand;name of the model;first registered;driven distance in miles;in kW",
        "texte;texte;AAAA;réel (miles);kW",
    ],
)
def test_units_below_the_header_count_whatever_stands_below_the_other_columns(
    path: BulkPath, below: str
) -> None:
    text = f"make;model;year;odometer;power\n{below}\nSeat;Ibiza;2014;40000;77\n"
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=1)
    assert batch.manifest.dialect.units == {"km_driven": "miles", "max_power_bhp": "kW"}


@pytest.mark.parametrize("row", ["Kia;Picanto;;km;", "Zastava;Koral;;km;55", ";Rio;soon;km;kW"])
def test_a_row_that_may_be_a_car_is_no_row_of_units(path: BulkPath, row: str) -> None:
    text = f"make;model;year;odometer;power\n{row}\nSeat;Ibiza;2014;40000;77\n"
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=1, invalid=1)
    assert "units-below-header" not in notices(batch)


def test_texts_that_are_formulas_for_a_spreadsheet_are_read(path: BulkPath) -> None:
    text = (
        'Marque;Modèle;Année;Carburant;km;Prix\n="Seat";="Ibiza";="2014";="Diesel";="98 000";=""\n'
    )
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=1)
    assert cells(path, batch, "row_notes") == [[""]]
    features = json.loads(path.audit_lines()[0])["features"]
    assert (features["km_driven"], features["fuel"]) == (98000, "Diesel")


def test_a_constant_that_states_no_value_is_as_if_it_were_not_given() -> None:
    dialect = Dialect(constants={"fuel": "charbon", "doors": "-", "city": "Fès"})
    assert constant_values(dialect, ColumnValidator()) == {"city": "fes"}


def test_a_brand_that_stands_in_both_columns_is_quoted_once(path: BulkPath) -> None:
    batch = path.run("Marque;Modèle;Année;km\nRenault;Renault Clioo;2015;70000\n".encode())
    (note,) = [note for note in batch.progress.notes if note.code == "name-corrected"]
    assert list(note.examples) == ["renault clioo → Renault Clio"]


def test_a_brand_for_the_whole_file_counts_for_each_row(path: BulkPath) -> None:
    text = "Modèle;Année;Kilométrage\nRio;2015;70000\nPicanto;2016;60000\n"
    batch = path.run(text.encode(), constants=(("company", "Kia"), ("fuel", "Essence")))
    assert batch.progress.counts == RowCounts(valid=2)
    features = json.loads(path.audit_lines()[0])["features"]
    assert (features["company"], features["fuel"]) == ("kia", "Petrol")


def test_a_missing_model_is_not_reported_with_the_text_of_the_brand(path: BulkPath) -> None:
    text = "Marque;Modèle;Année;km\nSeat;Ibiza;2015;9000\nDupont;;2016;9000\n"
    (error,) = path.errors(path.run(text.encode()))
    assert (error["column"], error["code"], error["value"]) == ("Modèle", "required", "")


def test_brand_and_model_are_read_from_a_title(path: BulkPath) -> None:
    text = "Annonce;Année;Kilométrage\nSEAT Ibiza 1.4 TDI;2015;70000\nKia Rio;2016;60000\n"
    batch = path.run(text.encode())
    assert batch.progress.counts == RowCounts(valid=2)
    features = json.loads(path.audit_lines()[0])["features"]
    assert (features["company"], features["model"]) == ("seat", "ibiza")


def test_keys_that_repeat_are_accepted_and_said(path: BulkPath) -> None:
    text = "Réf;Marque;Modèle;Année;km\nA;Kia;Rio;2015;1\nA;Kia;Rio;1700;1\n;Kia;Rio;1700;1\n"
    batch = path.run(text.encode(), key_column="Réf")
    assert batch.progress.counts == RowCounts(valid=1, invalid=2)
    assert notices(batch)["repeated-keys"][0] == "A"
    assert [(error["line"], error["row_key"]) for error in path.errors(batch)] == [
        (3, "A"),
        (4, ""),
    ]


def test_prices_in_euros_get_no_verdict(path: BulkPath) -> None:
    batch = path.run(b"make;model;year;km;Preis (\xe2\x82\xac)\nKia;Rio;2015;70000;8500\n")
    assert batch.progress.counts == RowCounts(valid=1)
    assert "verdict" not in rows_of(path, batch)[0]
    assert notices(batch)["foreign-currency"] == ("Preis (€)", "EUR")


# --- encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["mac-roman", "cp850", "cp437", "cp1252", "iso8859-15"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_western_encodings_are_told_apart(path: BulkPath, codec: str, ends: str) -> None:
    rows = [row.replace("Š", "S") for row in ROWS]
    batch = path.run(ends.join([HEADER, *rows]).encode(codec))
    assert batch.progress.counts == RowCounts(valid=2)
    assert cells(path, batch, "Marque", "Ville") == [["Citroën", "Fès"], ["Skoda", "Méknès"]]


@pytest.mark.parametrize("codec", ["mac-roman", "cp850", "cp1252"])
def test_the_encoding_is_found_where_only_the_cells_have_accents(
    path: BulkPath, codec: str
) -> None:
    text = "make;model;year;km;ville\nKia;Rio;2015;1;Kénitra\nKia;Rio;2015;1;Béni Mellal\n"
    batch = path.run(text.encode(codec))
    assert cells(path, batch, "ville") == [["Kénitra"], ["Béni Mellal"]]


@pytest.mark.parametrize("codec", ["cp1256", "iso8859-6"])
def test_arabic_encodings_are_told_from_western_ones(path: BulkPath, codec: str) -> None:
    text = "make;model;year;km\nكيا;بيكانتو;2015;70000\n"  # noqa: RUF001
    batch = path.run(text.encode(codec))
    assert cells(path, batch, "make", "model") == [["كيا", "بيكانتو"]]


@pytest.mark.parametrize("misread_as", ["cp1252", "mac-roman", "cp850"])
def test_text_that_is_encoded_twice_is_restored(path: BulkPath, misread_as: str) -> None:
    text = "\n".join([HEADER, ROWS[0], ROWS[0].replace("Fès", "Khémisset")])
    twice = text.encode().decode(misread_as).encode()
    batch = path.run(twice)
    assert notices(batch)["misread-text"] == (misread_as,)
    assert cells(path, batch, "Marque", "Ville") == [["Citroën", "Fès"], ["Citroën", "Khémisset"]]


def test_a_proper_cell_in_a_file_that_is_encoded_twice_stays(path: BulkPath) -> None:
    twice = f"{HEADER}\n{ROWS[0]}\n".encode().decode("cp1252").encode()
    batch = path.run(twice + ROWS[1].encode())
    assert cells(path, batch, "Ville") == [["Fès"], ["Méknès"]]


def upload(path: BulkPath, data: bytes, charset: str) -> Batch:
    file = Memory(data)
    file.charset = charset
    batch = path.batches.accept(file, BatchOptions(), CALLER)
    path.drain()
    return path.get(batch.manifest.id)


def test_the_charset_of_the_content_type_is_the_encoding(path: BulkPath) -> None:
    text = "make;model;year;km;ville\nKia;Rio;2015;1;Łódź\n"
    batch = upload(path, text.encode("iso8859-2"), "ISO-8859-2")
    assert batch.manifest.dialect.findings["encoding"].basis == "content-type"
    assert cells(path, batch, "ville") == [["Łódź"]]


@pytest.mark.parametrize(("codec", "charset"), [("utf-8", "iso-8859-1"), ("cp1252", "utf-8")])
def test_a_charset_that_the_bytes_contradict_is_not_used_and_said(
    path: BulkPath, codec: str, charset: str
) -> None:
    batch = upload(path, f"{HEADER}\n{ROWS[0]}\n".encode(codec), charset)
    assert cells(path, batch, "Ville") == [["Fès"]]
    assert notices(batch)["other-charset"] == (charset, codec)


def test_a_header_in_a_wrong_encoding_is_suspected(path: BulkPath) -> None:
    data = "Marque;Modèle;Année\nKia;Rio;2015\n".encode("cp850")
    with pytest.raises(UnreadableUpload) as refused:
        path.accept(data, encoding="cp1256")
    assert [problem.code for problem in refused.value.problems] == [
        "missing-column", "suspect-encoding",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("Seat;?;2015;5000", "model", ""),
        ("Seat;;2015;5000", "model", ""),
        (";Seat;2015;5000", "model", "Seat"),
        ("-;Zzyx 12;2015;5000", "company", "Zzyx 12"),
    ],
)
def test_the_report_on_a_missing_name_quotes_the_text_that_names_no_car(
    path: BulkPath, row: str, field: str, value: str
) -> None:
    """Not the cell of another column."""
    batch = path.run(f"Marque;Modèle;Année;km\nKia;Rio;2015;5000\n{row}\n".encode())
    (error,) = path.errors(batch)
    assert (error["field"], error["value"]) == (field, value)
