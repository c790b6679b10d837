"""Export formats of real sites, tools and databases, uploaded to the real service without options.

Each format states how a person would read each of its rows; see `formats/`.
"""

import re
from collections.abc import Callable

import httpx
import pytest

from tests.conftest import Service
from tests.exports.formats.cars import FACTS, Export, Reading
from tests.exports.formats.registry import exports
from tests.exports.uploads import ENGLISH, Outcome, ended, fold, post_file, value_file

pytestmark = pytest.mark.integration

MIN_VALUED_SHARE = 0.95
KM_TOLERANCE = 1.0
FACT_TOLERANCE = 0.05
"""Share; sites round litres to one decimal, and kW, hp and PS differ by little."""

PRICE_TOLERANCE_MAD = 1.0
BANDS = {("dubizzle", "max_power_bhp")}
"""Facts that a format states only as a range."""

SAMPLED_ROWS = 3

OPTIONAL = {"fuel": "fuel", "transmission": "transmission", "km_driven": "km"}
"""Optional fields of the service by attribute of `Reading`."""

NOTICES: dict[str, Callable[[Outcome], object]] = {
    "currency": lambda outcome: "currency" in outcome.said,
    "miles": lambda outcome: any(
        each["field"] == "km_driven" and re.search(r"\bmi(les?)?\b", each["detail"].lower())
        for each in outcome.notices
    ),
    "units-row": lambda outcome: "unit" in outcome.said,
    "near-header": lambda outcome: "kilometrag" in outcome.said,
    "title": lambda outcome: (
        outcome.batch["input"]["detected"]["columns"]["model"]["basis"] == "title"
    ),
    "encoding": lambda outcome: "850" in outcome.said,
}
"""What a file's notices (or its `detected`) must say, by the words of `Export.said`."""


@pytest.fixture(scope="module", params=exports(), ids=lambda export: export.name)
def export(request: pytest.FixtureRequest) -> Export:
    return request.param


@pytest.fixture(scope="module")
def outcome(service: Service, export: Export) -> Outcome:
    """The ended batch of a format; a row of units that is rejected by itself is left out."""
    found = value_file(service, export.file_name, export.content, export.media_type)
    if "units-row" in export.said and len(found.rows) == len(export.rows) + 1:
        assert found.statuses[0] == "rejected"
        found = Outcome(batch=found.batch, rows=found.rows[1:], features=found.features[1:])
    return found


def readings(export: Export, outcome: Outcome) -> list[tuple[int, Reading, dict]]:
    """Number, expected reading and result of each row that must be and was valued."""
    return [
        (number, reading, row)
        for number, (reading, row) in enumerate(
            zip(export.rows, outcome.rows, strict=True), start=1
        )
        if reading is not None and row["row_status"] == "valued"
    ]


def test_at_least_95_percent_of_the_rows_are_valued(export: Export, outcome: Outcome) -> None:
    assert len(outcome.rows) == len(export.rows)
    share = outcome.statuses.count("valued") / len(outcome.rows)
    reasons = {row["row_error"] for row in outcome.rows if row["row_status"] != "valued"}
    assert share >= MIN_VALUED_SHARE, reasons


def test_only_rows_that_state_no_car_are_rejected_and_say_why(
    export: Export, outcome: Outcome
) -> None:
    rejected = [i for i, row in enumerate(outcome.rows) if row["row_status"] == "rejected"]
    assert rejected == [i for i, reading in enumerate(export.rows) if reading is None]
    assert all(outcome.rows[i]["row_error"] for i in rejected)


def test_brand_and_model_are_read_as_a_person_reads_them(export: Export, outcome: Outcome) -> None:
    wrong = [
        (number, row["read_as"], row["match"], reading.names)
        for number, reading, row in readings(export, outcome)
        if not is_right(reading, row)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def is_right(reading: Reading, row: dict) -> bool:
    """Whether a name is right; a model not sold here may be unknown, with its trim words."""
    read = fold(row["read_as"])
    if reading.foreign and row["match"] in ("unknown", "ambiguous"):
        return read.startswith(fold(reading.company))
    return read in {fold(name) for name in reading.names}


def test_the_match_says_how_the_names_were_understood(export: Export, outcome: Outcome) -> None:
    wrong = [
        (number, row["read_as"], row["match"], sorted(reading.match))
        for number, reading, row in readings(export, outcome)
        if row["match"] not in reading.match
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_years_fuels_gearboxes_and_kilometres_are_read_as_a_person_reads_them(
    export: Export, outcome: Outcome
) -> None:
    wrong = []
    for number, reading, _ in readings(export, outcome):
        car = outcome.features[number - 1]
        assert car is not None
        read = (car["year"], car.get("fuel"), car.get("transmission"), car.get("km_driven"))
        expected = (reading.year, reading.fuel, reading.transmission, reading.km)
        if read[:3] != expected[:3] or not is_near(read[3], expected[3]):
            wrong.append((number, read, expected))
    assert not wrong, "\n".join(map(str, wrong))


def is_near(km: float | None, expected: float | None) -> bool:
    if km is None or expected is None:
        return km is expected
    return abs(km - expected) <= KM_TOLERANCE


def test_engine_and_power_are_read_in_their_unit_or_not_at_all(
    export: Export, outcome: Outcome
) -> None:
    wrong = []
    for number, reading, _ in readings(export, outcome):
        car = outcome.features[number - 1]
        assert car is not None
        for field, attribute in FACTS.items():
            read, stated = car.get(field), getattr(reading, attribute)
            if (export.name, field) in BANDS or read is None:
                continue
            if abs(read - stated) > FACT_TOLERANCE * stated:
                wrong.append((number, field, read, stated))
    assert not wrong, "\n".join(map(str, wrong))


def test_an_asking_price_is_read_right_or_not_at_all(export: Export, outcome: Outcome) -> None:
    if not export.prices_in_mad:
        return
    wrong = [
        (number, asked, reading.price)
        for number, reading, _ in readings(export, outcome)
        if (asked := outcome.asking_prices[number - 1]) is not None
        and abs(asked - reading.price) > PRICE_TOLERANCE_MAD
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_notices_say_what_was_assumed_of_the_file(export: Export, outcome: Outcome) -> None:
    missing = [what for what in sorted(export.said) if not NOTICES[what](outcome)]
    assert missing == [], outcome.said


def test_notices_say_which_fields_are_not_stated_or_not_read(
    export: Export, outcome: Outcome
) -> None:
    for field, attribute in OPTIONAL.items():
        if any(getattr(reading, attribute) is None for _, reading, _ in readings(export, outcome)):
            assert outcome.noticed(field), field


def test_notices_count_the_names_that_were_corrected(outcome: Outcome) -> None:
    corrected = sum(row["match"] == "corrected" for row in outcome.rows)
    counts = [each["count"] for each in outcome.notices if each["code"] == "name-corrected"]
    assert sum(counts) == corrected


def test_prices_in_a_foreign_currency_get_no_verdict(export: Export, outcome: Outcome) -> None:
    if export.foreign_currency:
        assert not any(row.get("verdict") for row in outcome.rows)


def test_a_dry_run_reports_the_same_rows(
    http: httpx.Client, export: Export, outcome: Outcome
) -> None:
    answer = post_file(http, export.file_name, export.content, export.media_type, dry_run="true")
    counts = ended(http, answer.json()["id"])["counts"]
    assert (counts["total"], counts["invalid"]) == (
        outcome.batch["counts"]["total"],
        outcome.batch["counts"]["invalid"],
    )


def test_a_single_request_reads_a_row_as_its_file_does(
    http: httpx.Client, export: Export, outcome: Outcome
) -> None:
    for number, reading, row in readings(export, outcome)[:: len(export.rows) // SAMPLED_ROWS]:
        car = outcome.features[number - 1]
        assert car is not None
        answer = http.post("/predict", json=car, headers=ENGLISH)
        assert answer.status_code == httpx.codes.OK, answer.text
        alone = answer.json()
        read = alone["read_as"]
        assert fold(f"{read['company']} {read['model']}") == fold(row["read_as"])
        assert read["year"] == reading.year
        assert is_near(read.get("km_driven"), reading.km)
        assert alone["price_mad"] == row["price_mad"]
