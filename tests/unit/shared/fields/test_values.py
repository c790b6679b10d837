"""Cells as people, sites and programs write them: what is read, and what is left out and why."""

# The texts hold the characters that people type: Arabic digits, dashes, apostrophes.
# ruff: noqa: RUF001

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.kinds.category import Category
from shared.fields.prices import currency_of
from shared.fields.units import FIELD_UNITS, convert, find_unit
from shared.i18n.languages import LANGUAGES
from shared.messages.texts import describe_field_error

VALIDATOR = ColumnValidator()
WORDS = (
    "plus", "de", "moins", "à", "12", "000", "5,4", "2018", "mars", "km", "cv", "kW", "DH", "et",
    "essence", "gpl", "+", "/", "(", ")", "ou", "non", "1er", "€", "%", "-", "k", "millions",
)  # fmt: skip
"""Words of which texts are put together."""


def read(field: str, cell: str) -> Any:
    """The value of a cell, or the code of why it has none."""
    value, code = VALIDATOR.normalize(field, cell)
    return code if value is None else value


def values(field: str, *pairs: tuple[str, Any]) -> list[Any]:
    """Parameters (field, cell, expected)."""
    return [pytest.param(field, cell, expected, id=f"{field}-{cell}") for cell, expected in pairs]


@pytest.mark.parametrize(
    "cell",
    [
        r"\N", "null", "<NULL>", "<na>", "NaT", "??", "n.c", "N.D.", "nr", "Non communiqué",
        "pas précisée", "Not specified", "unknown", "―", "−", "//", "..", "…", "(vides)", "(blank)",
        "Inconnue", "#REF!", "#NOM?", "#WERT!", "#BEZUG!", "#NV", "#SPILL!", "########", "Err:502",
        "#¡VALOR!", "#RIF!", "(Err:508)", "1.#QNAN",
        "-1.#IND", "#DIV/0!", "\uff03N/D", "keine Angabe", "k. A.", "غير متوفرة", "مجهول", "autres",
        "Sonstige", "\u200b", "n/a\u200f", "أخرى", " '' ",
    ],
)  # fmt: skip
def test_a_token_for_nothing_is_no_value_and_no_note_in_optional_fields(cell: str) -> None:
    for name, field in CAR_FIELDS.items():
        if not field.required:
            assert VALIDATOR.normalize(name, cell) == (None, None)


@pytest.mark.parametrize("cell", ["NC", "Autre", "X", "Any", "NS"])
def test_a_word_that_may_be_a_name_is_one_in_brand_and_model(cell: str) -> None:
    assert not is_blank(cell)
    assert read("model", cell) == read("company", cell) == cell.lower()


@pytest.mark.parametrize(
    "cell", ["0", "Non", "Oui", "1", "Golf", "A", "NC 12", "err 5", "inconnu 3"]
)
def test_values_are_not_taken_for_nothing(cell: str) -> None:
    assert not is_blank(cell)


@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        *values(
            "km_driven",
            ("٨٧٬٥٠٠", 87_500), ("۸۷٬۵۰۰ کم", "not-a-number"), ("٨٧٥٠٠ كم", 87_500),
            ("８７５００", 87_500), ("\u202a87\u202c 500", 87_500), ("87\u2009500", 87_500),
            ("87\u00ad500\ufeff", 87_500), ("8,75E+04", 87_500), ("8.75e4", 87_500),
            ("9E4", 90_000),
            ("87'500", 87_500), ("87’500 km", 87_500), ("1,87,500", 187_500), ("87 500,00", 87_500),
            ("87.500 KM", 87_500), ("km : 87500", 87_500), ("environ 87 500 km", 87_500),
            ("~87 500", 87_500), ("87k", 87_500 - 500), ("87,5 k km", 87_500),
            ("87 mille km", 87_000),
            ("54,370 mi.", 87_500), ("54370 miles", 87_500), ("20k - 30k", 25_000),
            ("de 85 000 à 90 000 km", 87_500), ("between 85,000 and 90,000", 87_500),
            ("50,000-60,000 miles", 88_514), ("Plus de 400 000 km", 400_000),
            ("400 000 km et plus", 400_000),
            (">400000", 400_000), ("400 000+", 400_000), ("moins de 10 000", 5_000),
            ("+ de 400 000", 400_000), ("- de 10 000 km", 5_000),
            ("80 - 90 000", "not-a-number"), ("80-90k", "not-a-number"),
            ("87 50", "not-a-number"), ("8 7 5", "not-a-number"),
            ("10³", "not-a-number"), ("87 500 verstes", "not-a-number"),
            ("87 500 ou 90 000", "several-values"),
            ("neuve", "not-a-number"), ("1 450.000", "not-a-number"), ("-3", "out-of-range"),
        ),
        *values(
            "engine_cc",
            ("1461 cm³", 1461.0), ("1 461 ccm", 1461.0), ("1461cc", 1461.0), ("1.5 L", 1500.0),
            ("1,5 litre", 1500.0), ("١٫٤٦١", 1461.0), ("1461 CC.", 1461.0),
            ("1500 litres", "out-of-range"),
            ("1.2 - 1.6 L", "several-values"), ("V6", "not-a-number"),
        ),
        *values(
            "max_power_bhp",
            ("80 kW", 107.3), ("110 PS", 108.5), ("110 ch DIN", 108.5), ("110 hp", 110.0),
            ("110bhp @ 4000 rpm", 110.0), ("81 kW (110 PS)", 108.6), ("110 ch / 81 kW", 108.5),
            ("81 kW (150 PS)", "several-values"), ("hp", "not-a-number"), ("7 CV", "not-a-number"),
            ("110 CV", 108.5), ("90 to 110 bhp", "several-values"),
        ),
        *values(
            "torque_nm",
            ("240 N.m", 240.0), ("240Nm @ 1,750-2,500 rpm", 240.0), ("24.5 kgm @ 2000 rpm", 240.3),
            ("24.5@ 2,000(kgm@ rpm)", 240.3), ("177 lb-ft", 240.0), ("240 Nm à 1750 tr/min", 240.0),
            ("240 / 1750", "several-values"), ("250 Nm (25.5 kgm)", 250.0),
        ),
        *values(
            "mileage_mpg",
            ("18.9 kmpl", 44.5), ("18,9 km/l", 44.5), ("5,4 l/100 km", 43.6), ("5.4L/100km", 43.6),
            ("47.1 mpg", 47.1), ("56.5 mpg (UK)", 47.0), ("56.5 UK mpg", 47.0),
            ("21.4 km/kg", 50.3),
            ("0 l/100km", "not-a-number"),
        ),
        *values(
            "fiscal_power_cv",
            ("8 CV", 8), ("8cv", 8), ("8 chevaux fiscaux", 8), ("Plus de 20 CV", 21),
            ("20 CV et plus", 20),
            ("Moins de 5 CV", 4), ("8-9 CV", "several-values"), ("CV", "not-a-number"),
            ("8,5", "not-whole"),
        ),
        *values(
            "doors",
            ("5 portes", 5), ("3 doors", 3), ("4 et plus", 4), ("5+", 5),
            ("2/3", "several-values"), ("4 or 5", "several-values"),
        ),
    ],
)  # fmt: skip
def test_numbers_are_read_with_their_units_or_left_out(
    field: str, cell: str, expected: Any
) -> None:
    assert read(field, cell) == expected


@pytest.mark.parametrize(
    "cell",
    [
        "2016", "2016.0", " 2016\u200e", "'2016", "2016.", "٢٠١٦", "2016-07", "2016/07", "2016.07",
        "07/2016", "7-2016", "07.2016", "2016-07-21", "2016.07.21", "2016/07/21 14:30",
        "21/07/2016",
        "7/21/2016", "21.07.16", "21/07/2016 08:15:00", "7/21/2016 8:15 PM", "2016-07-21T08:15:00Z",
        "2016-07-21 08:15:00+00:00", "2016-07-21 08:15:00-03", "2016-07-21T08:15:00.5+01",
        "2016-07-21+01:00", "2016-07-21Z", "2016 T3", "2016-Q3",
        "2016-07-21T08:15:00.250+01:00", "20160721", "20160721081500",
        "21072016", "21 juillet 2016", "1er juillet 2016", "jeudi 21 juillet 2016", "21-juil.-16",
        "juil-16", "Juillet 2016", "July 21, 2016", "21st July 2016",
        "Thu, 21 Jul 2016 08:15:00 GMT",
        "21. Juli 2016", "Donnerstag, 21. Juli 2016", "يوليوز 2016", "٢١ يوليو ٢٠١٦", "2016-Jul-21",
        "Année 2016", "Année : 2016", "MY2016", "Modèle 2016", "EZ 07/2016", "Baujahr 2016",
        "سنة 2016",
        "mise en circulation le 21/07/2016", "T3 2016", "2016 (66 reg)", "21/07/2016 08h15",
        "2,016E+03",
        "Thu Jul 21 2016 08:15:00 GMT+0100 (CET)", "2016-00-00",
    ],
)  # fmt: skip
def test_a_date_gives_its_year(cell: str) -> None:
    assert VALIDATOR.normalize("year", cell) == (2016, None)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("2015-2016", "several-values"), ("2015/16", "several-values"),
        ("2015 ou 2016", "several-values"),
        ("2016 ou plus ancien", "several-values"), ("avant 2005", "several-values"),
        ("1985 ou plus ancien", "out-of-range"), ("avant 1980", "out-of-range"),
        ("1975", "out-of-range"),
        ("42572", "out-of-range"), ("07/16", "not-a-number"), ("31/31/2016", "not-a-number"),
        ("13/2016", "not-a-number"), ("20161340", "out-of-range"), ("2016.5", "not-whole"),
        ("essence 2016", "not-a-number"), ("2016 km", "not-a-number"),
        ("marque 2016", "not-a-number"),
        ("21 juillet", "not-a-number"), ("récente", "not-a-number"), ("2 0 1 6", "not-a-number"),
    ],
)  # fmt: skip
def test_what_leaves_a_doubt_about_the_year_is_refused_with_its_reason(
    cell: str, code: str
) -> None:
    assert VALIDATOR.normalize("year", cell) == (None, code)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("92 500 DH", 92_500.0), ("92.500,00 Dhs", 92_500.0), ("MAD 92,500", 92_500.0),
        ("DHS92500", 92_500.0),
        ("92 500,-", 92_500.0), ("92500 dirhams", 92_500.0), ("٩٢٬٥٠٠ درهم", 92_500.0),
        ("92 500 د.م.", 92_500.0),
        ("Prix : 92 500 DH TTC", 92_500.0), ("Prix en baisse92 500 DH", 92_500.0),
        ("92 500 DH (à discuter)", 92_500.0), ("92 500 négo", 92_500.0),
        ("Dernier prix 92 500", 92_500.0),
        ("dès 92 500 DH", 92_500.0), ("السعر 92500 قابل للتفاوض", 92_500.0), ("92,5K", 92_500.0),
        ("92 kdh", 92_000.0),
        ("92 mille dh", 92_000.0), ("9,25E+04", 92_500.0), ("1,92,500", 192_500.0),
        ("Prix sur demande", None), ("Nous consulter", None), ("DH", None), ("à débattre", None),
        ("non indiqué", None),
        ("9 250 000 centimes", "unclear-amount"), ("9,25 millions", "unclear-amount"),
        ("1 850 000 ريال", "unclear-amount"),
        ("92 500 DH HT", "unclear-amount"), ("9 250 €", "foreign-currency"),
        ("$9,250", "foreign-currency"),
        ("GBP 9250", "foreign-currency"), ("₹ 9,25,000", "foreign-currency"),
        ("9250 dollars", "foreign-currency"),
        ("90 000 - 95 000 DH", "several-values"), ("95 000 DH 92 500 DH", "several-values"),
        ("plus de 90 000", "several-values"), ("1 500 DH/mois", "not-a-number"),
        ("92 500 DH vendue", "not-a-number"),
        ("avance 20 000 DH", "not-a-number"), ("9,25 M", "unclear-amount"),
        ("92 ألف", "unclear-amount"),
        ("٩٥٠٫٥٠٠ درهم", 950.5), ("92 ألف درهم", 92_000.0), ("06 61 22 33 44", "not-a-number"),
        ("1 DH", "out-of-range"),
    ],
)  # fmt: skip
def test_a_price_is_read_among_words_or_left_out(cell: str, expected: Any) -> None:
    assert read("asking_price_mad", cell) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("UAE dirham", "AED"), ("AED dirham", "AED"), ("Dirhams (AED)", "AED"),
        ("50 000 dirhams des Émirats", "AED"), ("درهم إماراتي", "AED"), ("dinar", "dinars"),
        ("dinars tunisiens", "TND"), ("dirham marocain", None), ("145 000 درهم", None),
        ("Dhs", None),
    ],
)  # fmt: skip
def test_dirhams_of_the_emirates_and_dinars_are_not_ours(text: str, code: str | None) -> None:
    assert currency_of(text) == code


def test_the_currency_of_a_price_is_found() -> None:
    stated = [currency_of(text) for text in ("€", "eur", "12 000 USD", "£", "DH", "MAD", "12000")]
    assert stated == ["EUR", "EUR", "USD", "GBP", None, None, None]
    # The first of several counts; letters inside a word are none.
    texts = ("9 000 $ ou 8 000 euros", "8 000 € / 9 000 $", "US$ 9000", "R$5", "livre sterling 7")
    assert [currency_of(text) for text in texts] == ["USD", "EUR", "USD", "BRL", "GBP"]
    assert [currency_of(text) for text in ("tryptique 9", "leinen", "prs 4", "_eur_")] == [None] * 4


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("environ 61 000", 61_000), ("61 000 km env.", 61_000), ("ca. 61 000 approx", 61_000),
     ("≈61 000", 61_000), ("env", "not-a-number"), ("61 000 enviro", "not-a-number")],
)  # fmt: skip
def test_a_number_may_be_said_to_be_about_right(cell: str, expected: Any) -> None:
    assert read("km_driven", cell) == expected


@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        *values(
            "fuel",
            ("Hybride diesel/électrique", "Hybrid"), ("Électricité + essence", "Hybrid"),
            ("Hybride rechargeable (essence)", "Hybrid"), ("Essence micro-hybride", "Hybrid"),
            ("Diesel mild hybrid", "Hybrid"), ("Benzin/Elektro", "Hybrid"),
            ("Electric/Gasoline", "Hybrid"), ("Hybride essence non rechargeable", "Hybrid"),
            ("Essence (Euro 5)", "Petrol"), ("Gazole, EURO6d", "Diesel"),
            ("Non rechargeable diesel", "Hybrid"), ("Euro 6", "unknown-category"),
            ("GPL/Essence", "LPG"), ("Bicarburation essence / GPL", "LPG"), ("Petrol + CNG", "CNG"),
            ("Gaz-oil", "Diesel"), ("Gasoil 50", "unknown-category"),
            ("Super sans plomb 98", "Petrol"),
            ("Essence E10", "Petrol"), ("Superéthanol E85", "Petrol"), ("Gasolina", "Petrol"),
            ("100 % électrique", "Electric"), ("Elektrisch", "Electric"), ("Erdgas (CNG)", "CNG"),
            ("الديزل", "Diesel"), ("بنزين بدون رصاص", "Petrol"), ("هجينة", "Hybrid"),
            ("كهربائي", "Electric"),
            ("D\u200bie\u00adsel", "Diesel"), ("ＥＳＳＥＮＣＥ", "Petrol"),
            ("Essence ou diesel", "unknown-category"), ("pas hybride", "unknown-category"),
            ("non diesel", "unknown-category"), ("Hydrogène", "unknown-category"),
            ("2.0 TDI", "unknown-category"), ("HDi", "Diesel"), ("Dies.", "Diesel"),
            ("Ess+Elec HNR", "Hybrid"), ("Bi-carburation GPL", "LPG"), ("Diesel Euro 5", "Diesel"),
            ("Super s/p", "Petrol"), ("Benzyna + LPG", "LPG"), ("Motorină", "Diesel"),
            ("Hybride essence non rechargeable", "Hybrid"), ("Plug-in Electric/Gas", "Hybrid"),
            ("H", "Hybrid"), ("e", "unknown-category"), ("Turbo", "unknown-category"),
            ("Elektriciteit", "Electric"), ("Gas natural comprimido", "unknown-category"),
            ("Autres", None),
        ),
        *values(
            "transmission",
            ("Boîte manuelle 6 rapports", "Manual"), ("5-Speed Manual", "Manual"),
            ("BVM 5", "Manual"), ("6MT", "Manual"),
            ("Schaltgetriebe (6-Gang)", "Manual"), ("iMT", "Manual"), ("يدوية", "Manual"),
            ("10-Speed Automatic", "Automatic"), ("6-Speed A/T", "Automatic"),
            ("BVA6", "Automatic"),
            ("Semi Automatique", "Automatic"), ("9G-Tronic", "Automatic"), ("DSG7", "Automatic"),
            ("7-speed DCT", "Automatic"),
            ("Robotisée à double embrayage", "Automatic"), ("Automatic CVT", "Automatic"),
            ("Automatik", "Automatic"),
            ("Automated Manual", "Automatic"), ("الأوتوماتيكية", "Automatic"),
            ("Handgeschakeld (6 versnellingen)", "Manual"), ("Semi-automaat", "Automatic"),
            ("Automatic, 7-Spd w/Manual Mode", "Automatic"), ("Single-Speed", "Automatic"),
            ("9-Speed Automatic with Auto-Shift", "Automatic"), ("manual mode", "unknown-category"),
            ("قير عادي", "Manual"), ("الجير الأوتوماتيك", "Automatic"), ("Otomatik", "Automatic"),
            ("6 Speed AT/MT", "unknown-category"), ("sport", "unknown-category"),
            ("manuelle ou automatique", "unknown-category"),
            ("non automatique", "unknown-category"),
            ("traction", "unknown-category"),
        ),
        *values(
            "owner",
            ("0", "First"), ("1ère main", "First"), ("1re main", "First"),
            ("Second Owner", "Second"), ("3rd owner", "Third"),
            ("4th & Above Owner", "Fourth & Above"), ("yes", "First"), ("No", "Second or more"),
            ("2.0", "Second"),
            ("plusieurs", "unknown-category"), ("2+", "Second or more"),
            ("3+", "unknown-category"), ("-1", "unknown-category"), ("4+", "Fourth & Above"),
        ),
        *values(
            "condition",
            ("Poor", "Fair"), ("Salvage", "Damaged"), ("As new", "Excellent"),
            ("Très bon état général", "Very good"),
            ("Sehr gut", "Very good"), ("ممتازة", "Excellent"), ("Véhicule accidenté", "Damaged"),
            ("d'occasion", None),
            ("bon état mais accidentée", "unknown-category"), ("pas accidenté", "unknown-category"),
        ),
        *values(
            "origin",
            ("WW (acheté au Maroc)", "WW Morocco"), ("WWW Maroc", "WW Morocco"),
            ("Achetée neuve au Maroc", "WW Morocco"),
            ("Voiture dédouanée", "Customs cleared"),
            ("Non encore dédouané", "Not customs cleared"),
            ("not yet customs-cleared", "Not customs cleared"), ("Importée", "unknown-category"),
        ),
        *values(
            "seller_type",
            ("Car dealer", "Dealer"), ("Show-room", "Dealer"), ("Privatanbieter", "Individual"),
        ),
        *values(
            "city",
            ("الدَّار البيضاء", "casablanca"), ("أكادير", "agadir"), ("Fès\u200f", "fes"),
        ),
        *values(
            "model",
            ("Lo\u200bdgy", "lodgy"), ("\u200f٢٠٨", "208"), ("Mégane 1,5 dCi", "megane 1.5 dci"),
            ("C3", "c3"),
            ("508.0", "508"), ("Clio 4", "clio 4"),
        ),
    ],
)  # fmt: skip
def test_words_and_phrases_are_read_or_left_out(field: str, cell: str, expected: Any) -> None:
    assert read(field, cell) == expected


@pytest.mark.parametrize(
    ("field", "cell", "code"),
    [
        ("km_driven", "1000 miles", "converted"), ("km_driven", "1000 km", None),
        ("max_power_bhp", "80 kW", "converted"),
        ("km_driven", "plus de 300 000", "open-range"), ("engine_cc", "1.6 L", None),
        ("doors", "5+", "open-range"),
    ],
)  # fmt: skip
def test_a_value_that_was_converted_or_bounded_says_so(
    field: str, cell: str, code: str | None
) -> None:
    value, found = VALIDATOR.normalize(field, cell)
    assert value is not None
    assert found == code
    if code is not None:
        for language in LANGUAGES:
            assert cell in describe_field_error(CAR_FIELDS[field], code, cell, language)


def test_units_are_found_by_their_spellings_and_none_is_guessed() -> None:
    assert find_unit("km_driven", "Mi.") == "miles"
    assert find_unit("mileage_mpg", "L / 100 km") == "l/100km"
    assert find_unit("max_power_bhp", "k.W") == "kW"
    assert find_unit("torque_nm", "miles") is None
    assert find_unit("year", "km") is None
    for field, units in FIELD_UNITS.items():
        assert convert(field, 60, units[0].name) == 60
        for unit in units:
            assert find_unit(field, unit.name.replace("mpg-imperial", "mpg imp")) == unit.name


@settings(max_examples=500, deadline=None)
@given(
    field=st.sampled_from(list(CAR_FIELDS)),
    cell=st.one_of(
        st.text(max_size=100),
        st.text(alphabet="0123456789 .,'-+/:@()kKmMeE%€٠٦٫٬\u200b\u00a0àDH", max_size=60),
        st.lists(
            st.sampled_from(WORDS),
            max_size=8,
        ).map(" ".join),
    ),
    decimal=st.sampled_from(["auto", ",", "."]),
)
def test_no_text_breaks_the_reading_and_what_is_read_is_read_again(
    field: str, cell: str, decimal: str
) -> None:
    validator = ColumnValidator(decimal)
    value, code = validator.normalize(field, cell)
    if value is None:
        if code is not None:
            for language in LANGUAGES:
                assert describe_field_error(CAR_FIELDS[field], code, cell, language)
    elif decimal != ",":
        assert validator.normalize(field, str(value)) == (value, None)


def test_every_spelling_and_every_value_of_a_category_is_its_value() -> None:
    for name, field in CAR_FIELDS.items():
        if isinstance(field, Category):
            for spelling, member in field.spellings.items():
                code = "unpriced" if member in field.unpriced else None
                assert VALIDATOR.normalize(name, spelling) == (member, code)


@pytest.mark.parametrize("km", [98.4, 0.5, 999.9])
def test_a_small_decimal_number_of_kilometres_is_refused_as_its_text_is(km: float) -> None:
    for value in (km, str(km)):
        with pytest.raises(ValidationError) as refused:
            CAR_FIELDS["km_driven"].read_with_remark(value)
        assert refused.value.messages == ["not-whole"]


@pytest.mark.parametrize(("km", "normal"), [(98.0, 98), (84_000.6, 84_001), (0.0, 0)])
def test_other_decimal_numbers_of_kilometres_are_rounded(km: float, normal: int) -> None:
    assert CAR_FIELDS["km_driven"].read_with_remark(km) == (normal, None)
