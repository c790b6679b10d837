"""What is found out about a file is said with how sure it is, and the caller has the last word."""

import pytest

from api.batches.schemas import parse_columns
from shared.domain.batch import BatchManifest, BatchOptions
from shared.domain.errors import UnreadableUpload
from shared.domain.ids import BatchId, CallerId
from shared.domain.table import Detection, Dialect
from shared.tabular.dialect import SAMPLE_ROWS, detect_dialect
from shared.tabular.encoding import EncodingDetector

HEADER = "Marque;Modèle;Année;Carburant;Boîte;Kilométrage"
ROW = "Citroën;C3;2019;Essence;Manuelle;45 000"


def dialect_of(text: str | bytes, codec: str = "utf-8", **options: object) -> Dialect:
    data = text.encode(codec) if isinstance(text, str) else text
    detector = EncodingDetector()
    detector.feed(data)
    return detect_dialect(data, detector, BatchOptions(**options), whole=True)


def refusal(text: str, **options: object) -> tuple[str, dict[str, object]]:
    with pytest.raises(UnreadableUpload) as refused:
        dialect_of(text, **options)
    problem = refused.value.problems[0]
    return problem.code, problem.params


def with_column(name: str, *cells: str) -> Dialect:
    lines = [f"{HEADER};{name}", *(f"{ROW};{cell}" for cell in cells)]
    return dialect_of("\n".join(lines))


@pytest.mark.parametrize(
    ("encoding", "basis"),
    [
        ("utf-8", "valid-utf-8"),
        ("utf-8-sig", "byte-order-mark"),
        ("utf-16", "byte-order-mark"),
        ("utf-16-be", "zero-bytes"),
        ("cp1252", "western-letters"),
    ],
)
def test_an_encoding_comes_with_its_evidence(encoding: str, basis: str) -> None:
    found = dialect_of(f"{HEADER}\n{ROW}\n", encoding).findings["encoding"]
    assert found.basis == basis
    assert 0.8 < found.confidence <= 1


@pytest.mark.parametrize("signs", ["[", "(", "[(", "(a", '[{"a":'])
def test_a_file_of_open_brackets_is_refused_like_any_other(signs: str) -> None:
    # Searched from each bracket to the end, these would hold up every caller for minutes.
    code, _ = refusal(signs * (200_000 // len(signs)))
    assert code == "missing-column"


ENGLISH = "company;model;year;fuel;transmission;km_driven"


def test_bytes_that_are_hardly_french_lower_the_confidence() -> None:
    data = f"{ENGLISH}\n{ROW}\n".encode().replace("ë".encode(), b"\xb1")
    found = dialect_of(data).findings["encoding"]
    assert (found.value, found.basis) == ("cp1252", "western-letters")
    assert found.confidence < 0.6


def test_plain_ascii_reads_the_same_in_every_encoding() -> None:
    found = dialect_of(f"{ENGLISH}\na;b;2020;Diesel;M;1").findings["encoding"]
    assert found == Detection(value="utf-8", confidence=1.0, basis="ascii")


def test_a_file_that_changes_encoding_half_way_is_less_sure() -> None:
    data = f"{HEADER}\n{ROW}\n".encode() + f"{ROW}\n".encode("cp1252") * 20
    found = dialect_of(data).findings["encoding"]
    assert (found.value, found.basis) == ("utf-8", "utf-8-with-faults")
    assert found.confidence < 0.7


def test_a_delimiter_is_sure_when_it_gives_known_headers_and_even_rows() -> None:
    sure = dialect_of(f"{HEADER}\n{ROW}\n{ROW}\n").findings["delimiter"]
    ragged = dialect_of(f"{HEADER}\n{ROW}\n{ROW};x\n{ROW};x;y\n").findings["delimiter"]
    assert (sure.value, sure.confidence, sure.basis) == (";", 1.0, "known-headers")
    assert ragged.value == ";"
    assert ragged.confidence < 0.8


def test_a_decimal_sign_is_surer_the_more_numbers_show_it() -> None:
    once = with_column("Puissance réelle", "90,5").findings["decimal"]
    often = with_column("Puissance réelle", *["90,5"] * 20).findings["decimal"]
    both = with_column("Puissance réelle", "90,5", "90.5").findings["decimal"]
    none = with_column("Puissance réelle", "90").findings["decimal"]
    assert once.value == often.value == ","
    assert once.confidence < 0.7
    assert often.confidence > 0.9
    assert (both.value, both.basis) == ("auto", "both-signs-seen")
    assert (none.value, none.basis) == ("auto", "no-decimals-seen")


def test_what_the_options_say_is_certain() -> None:
    options = {"encoding": "iso8859-15", "delimiter": ";", "decimal": "."}
    dialect = dialect_of(f"{HEADER}\n{ROW}\n", "iso8859-15", **options)
    for name, value in options.items():
        assert dialect.findings[name] == Detection(value=value, confidence=1.0, basis="given")


def test_a_column_is_surer_by_its_name_than_by_an_alias_and_its_cells_must_fit() -> None:
    text = "Marque;model;Année;Carburant;Boîte;Kilométrage (km)\n" + f"{ROW}\n" * 4
    columns = dialect_of(text).columns
    assert (columns["model"].basis, columns["model"].confidence) == ("name", 1.0)
    assert (columns["company"].basis, columns["company"].confidence) == ("alias", 0.95)
    assert (columns["km_driven"].basis, columns["km_driven"].confidence) == ("alias-and-unit", 0.9)
    unfit = dialect_of(text.replace("45 000", "beaucoup")).columns["km_driven"]
    assert unfit.confidence == 0.45


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        (["7", "8", "6"], "fiscal_power_cv"),
        (["8 CV", "11 cv"], "fiscal_power_cv"),
        (["90", "110 ch", "75"], "max_power_bhp"),
        (["", ""], "max_power_bhp"),
    ],
)
def test_the_cells_tell_which_power_is_meant(cells: list[str], field: str) -> None:
    assert with_column("Puissance", *cells).column_indexes[field] == 6


def test_an_english_mileage_is_an_odometer_where_its_cells_say_so() -> None:
    def columns(*cells: str) -> dict[str, int]:
        lines = ["Brand,Model,Year,Fuel,BV,Mileage"]
        lines += [f'Dacia,Logan,2018,Diesel,Manual,"{cell}"' for cell in cells]
        return dict(dialect_of("\n".join(lines)).column_indexes)

    assert columns("120,000", "145000 km", "")["km_driven"] == 5
    assert "km_driven" not in columns("23.4", "18", "120000")


def test_the_asked_prices_tell_the_decimal_sign_too() -> None:
    found = with_column("Prix", "145.000,50 DH", "95.000 DH").findings["decimal"]
    assert (found.value, found.basis) == (",", "decimals-seen")


@pytest.mark.parametrize("rows_before", [1, 5000])
def test_western_letters_that_turn_into_utf8_half_way_are_said(rows_before: int) -> None:
    before = f"{HEADER};Ville\n" + f"{ROW};Fès\n" * rows_before
    after = f"{ROW};Fès\n" * 3
    dialect = dialect_of(before.encode("cp1252") + after.encode())
    assert dialect.encoding == "cp1252"
    assert [(each.code, each.values) for each in dialect.notices] == [("mixed-encodings", ("6",))]
    assert not dialect_of(before.encode("cp1252")).notices


def test_a_year_is_read_from_the_better_of_two_columns() -> None:
    assert with_column("Date de mise en circulation", "15/03/2018").column_indexes["year"] == 2
    text = f"{HEADER}\n{ROW}\n".replace("Année", "Mise en circulation").replace(
        "2019", "15/03/2018"
    )
    assert dialect_of(text).columns["year"].basis == "date"


ARABIC = "ماركة;موديل;سنة;وقود;علبة;كيلومتر"


def test_a_header_in_arabic_is_known() -> None:
    assert list(dialect_of(f"{ARABIC}\n{ROW}\n").column_indexes.values()) == [0, 1, 2, 3, 4, 5]


def test_an_unknown_header_is_refused_with_what_was_found_and_how_to_map_it() -> None:
    code, params = refusal(f"merkki;malli;vuosi;polttoaine;vaihteisto;mittari\n{ROW}\n")
    assert code == "missing-column"
    assert params["found"] == "merkki, malli, vuosi, polttoaine, vaihteisto, mittari"
    # The first by its name, the third by its cells.
    assert params["mapping"] == "columns=company:merkki,year:vuosi"
    assert str(params["columns"]).startswith("company (marque, brand), model (modele, car model)")


@pytest.mark.parametrize("delimiter", ["^", ":", " ", "~", "¦"])
def test_a_header_that_is_not_separated_is_refused_as_such(delimiter: str) -> None:
    lines = delimiter.join(["make", "model", "year"]), delimiter.join(["Seat", "Ibiza", "2015"])
    code, params = refusal("\n".join(lines))
    assert (code, params["found"]) == ("other-delimiter", lines[0])


def test_a_delimiter_of_the_caller_that_separates_nothing_is_refused_as_such() -> None:
    code, _ = refusal("make;model;year\nSeat;Ibiza;2015\n", delimiter=",")
    assert code == "other-delimiter"


@pytest.mark.parametrize("first", ["Seat;Ibiza;1915;98000", "Koral;Zastava;2015;98000"])
def test_a_first_row_that_may_be_a_car_is_refused_as_such(first: str) -> None:
    code, params = refusal(f"{first}\nKia;Rio;2015;70000\n")
    assert (code, params["found"]) == ("car-as-header", first.replace(";", ", "))
    assert dialect_of(f"{first}\nKia;Rio;2015;70000\nKia;Rio;2016;60000", header=False).columns


def test_a_column_whose_cells_the_field_refuses_is_not_suggested() -> None:
    _, params = refusal("Marque;Modèle;Immatriculation;Entrée parc\nKia;Rio;12345-A-6;03/2015\n")
    assert params["mapping"] == "columns=year:Entrée parc"


@pytest.mark.parametrize("name", ["1ère MEC", "Date 1ère MEC", "DMC", "Mfg Year", "Year Mfg"])
def test_usual_names_of_the_year_are_known(name: str) -> None:
    assert dialect_of(f"Marque;Modèle;{name}\nKia;Rio;03/2015\n").columns["year"].index == 2


def test_a_header_in_arabic_can_be_mapped() -> None:
    pairs = parse_columns(
        "company:ماركة,model:#2,year:سنة,fuel:#4,transmission:#5,km_driven:كيلومتر"
    )
    dialect = dialect_of(f"{ARABIC}\n{ROW}\n", columns=pairs)
    assert list(dialect.column_indexes.values()) == [0, 1, 2, 3, 4, 5]
    assert {match.basis for match in dialect.columns.values()} == {"given"}


def test_a_header_with_a_slip_is_read_and_said() -> None:
    dialect = dialect_of(f"{HEADER.replace('Modèle', 'Moddle')}\n{ROW}\n")
    assert (dialect.columns["model"].index, dialect.columns["model"].basis) == (1, "near")
    (notice,) = dialect.notices
    assert (notice.code, notice.field, notice.values) == ("near-header", "model", ("Moddle",))


def test_a_header_with_several_slips_is_suggested() -> None:
    _, params = refusal(f"{HEADER.replace('Modèle', 'Modéléle')}\n{ROW}\n")
    assert params["mapping"] == "columns=model:Modéléle"


def test_a_column_can_be_given_and_taken_away() -> None:
    text = f"{HEADER};Brand;Compteur;Cylindrée\n{ROW};Dacia;9;n/a\n"
    assert refusal(text)[0] == "ambiguous-column"
    pairs = parse_columns("company:Marque,km_driven:#8,engine_cc:")
    columns = dialect_of(text, columns=pairs).column_indexes
    assert (columns["company"], columns["km_driven"]) == (0, 7)
    assert "engine_cc" not in columns
    code, params = refusal(text, columns=(("year", "Baujahr"),))
    assert (code, params["column"]) == ("unknown-column", "Baujahr")
    assert refusal(text, columns=(("company", "#10"),))[0] == "unknown-column"


@pytest.mark.parametrize(
    "text", ["", "km", "km_driven", "x,km_driven:y", "year:#1,year:#2", "colour:x", "km_driven=x"]
)
def test_what_maps_no_columns_is_none(text: str) -> None:
    assert parse_columns(text) is None


def test_what_is_read_otherwise_or_not_at_all_is_said() -> None:
    (litres,) = with_column("Cylindrée", "1.6 L", "1,2", "1598").notices
    assert (litres.code, litres.field, litres.values) == ("litres", "engine_cc", ("1.6 L", "1,2"))
    (words,) = with_column("Vendeur", "Mandataire", "Pro").notices
    assert words.rows is None, "all of them were looked at"
    assert (words.code, words.values) == ("unknown-category", ("Mandataire",))


def test_all_that_was_found_is_kept_with_the_batch() -> None:
    options = BatchOptions(columns=(("engine_cc", "#7"),), sheet="Mars")
    manifest = BatchManifest(
        id=BatchId("b"), caller=CallerId("c"), accepted_at=1.0, model_version="v", sha256="",
        options=options, dialect=with_column("Cylindrée", "1.6"), size_bytes=1,
    )  # fmt: skip
    assert BatchManifest.from_json(manifest.to_json()) == manifest


def test_a_notice_on_the_first_rows_of_a_long_file_says_how_many_were_looked_at() -> None:
    (litres,) = with_column("Cylindrée", *["1.6 L"] * 100).notices
    assert litres.rows == SAMPLE_ROWS - 1
    stored = with_column("Cylindrée", *["1.6 L"] * 100).to_json()
    assert Dialect.from_json(stored).notices == (litres,)


def test_a_sheet_that_is_asked_of_a_text_is_named_as_of_no_use() -> None:
    (notice,) = dialect_of(f"{HEADER}\n{ROW}\n", sheet="Mars").notices
    assert (notice.code, notice.values) == ("options-without-use", ("sheet",))


@pytest.mark.parametrize(
    ("header", "unit", "field"),
    [
        ("Kilométrage (miles)", "miles", "km_driven"),
        ("Kilométrage (en milliers)", "thousand km", "km_driven"),
        ("Km [x1000]", "thousand km", "km_driven"),
        ("mileage_mi", "miles", "km_driven"),
        ("Odometer reading, miles", "miles", "km_driven"),
    ],
)
def test_the_unit_that_a_header_states_is_that_of_its_column(
    header: str, unit: str, field: str
) -> None:
    dialect = dialect_of(f"{HEADER.replace('Kilométrage', header)}\n{ROW}\n")
    assert (dialect.units, dialect.column_indexes[field]) == ({field: unit}, 5)
    (notice,) = dialect.notices
    assert (notice.code, notice.field, notice.values) == ("unit-converted", field, (unit,))


def test_an_optional_column_in_another_unit_can_be_left_out() -> None:
    text = f"{HEADER};Puissance (kW)\n{ROW};66\n"
    assert dialect_of(text).units == {"max_power_bhp": "kW"}
    assert "max_power_bhp" not in dialect_of(text, columns=(("max_power_bhp", ""),)).column_indexes


@pytest.mark.parametrize("header", ["Prix (€)", "Prix €", "Prix (KDH)", "Prix (EUR)"])
def test_a_price_in_another_currency_is_no_asking_price(header: str) -> None:
    assert with_column(header, "9500").asking is None
    assert with_column("Prix (DH)", "95000").asking is not None


@pytest.mark.parametrize("header", ["Kilométrage (km)", "Année (mise en circulation)"])
def test_what_else_stands_in_brackets_does_no_harm(header: str) -> None:
    first = header.partition(" ")[0]
    assert dialect_of(f"{HEADER.replace(first, header)}\n{ROW}\n").column_indexes


@pytest.mark.parametrize("count", [501, 60_000])
def test_more_than_500_columns_are_refused(count: int) -> None:
    # Numbering so many equal names one by one would hold up every caller.
    assert refusal(f"{HEADER}{';Note' * (count - 6)}\n{ROW}\n")[0] == "too-many-columns"


def test_a_name_that_means_nothing_may_come_twice_one_that_means_a_field_may_not() -> None:
    text = f"{HEADER};Note;Note;Note (2)\n{ROW};a;b;c\n"
    assert dialect_of(text).header[-3:] == ("Note", "Note (3)", "Note (2)")
    assert refusal(f"{HEADER};Marque\n{ROW};x\n")[0] == "duplicate-column"
    assert refusal(f"{HEADER};Prix;Prix\n{ROW};1;2\n")[0] == "duplicate-column"


def test_a_repeated_name_of_a_field_is_accepted_if_the_caller_names_its_column() -> None:
    text = f"{HEADER};Année\n{ROW};2011\n"
    assert refusal(text)[1]["meaning"] == "year"
    found = dialect_of(text, columns=(("year", "#7"),))
    assert found.column_indexes["year"] == 6
    assert found.header[-1] == "Année (2)"
