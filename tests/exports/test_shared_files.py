"""Files in unusual forms that people really have, with the expected outcome of each."""

import json

import httpx
import pytest

from tests.conftest import Service
from tests.exports.shared_cases import (
    CLIO,
    LOGAN,
    assert_valued,
    content_of,
    needs_cases,
    value_case,
)
from tests.exports.uploads import ENGLISH, outcome_of, post_file

pytestmark = [pytest.mark.integration, needs_cases]

KM_PER_MILE = 1.609344


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("07-mojibake/a.csv", ("Citroën Berlingo", LOGAN)),
        ("07-mojibake/b.csv", (LOGAN,)),
        ("08-macroman-dos/mac.csv", ("Citroën Berlingo", LOGAN)),
        ("08-macroman-dos/dos.csv", ("Citroën Berlingo", LOGAN)),
    ],
)
def test_files_in_the_wrong_encoding_are_understood_and_said_to_be(
    service: Service, case: str, names: tuple[str, ...]
) -> None:
    outcome = value_case(service, case)
    assert_valued(outcome, *names)
    assert "encod" in outcome.said
    if "Électrique".encode("cp850") in content_of(case):
        assert outcome.values("fuel") == ["Diesel", "Electric"]


def test_cities_of_a_doubly_encoded_file_are_restored_in_the_results(service: Service) -> None:
    outcome = value_case(service, "07-mojibake/a.csv")
    assert [row["Ville"] for row in outcome.rows] == ["Fès", "Salé"]
    assert outcome.values("fuel") == ["Electric", "Diesel"]


@pytest.mark.parametrize("case", ["10-lines-in-quotes/a.csv", "10-lines-in-quotes/b.csv"])
def test_lines_in_quotes_are_unwrapped_with_a_notice(service: Service, case: str) -> None:
    outcome = value_case(service, case)
    assert_valued(outcome, LOGAN, CLIO)
    assert "quot" in outcome.said


@pytest.mark.parametrize(
    "params",
    [
        {"columns": "company:#1,model:#2,year:#3,fuel:#4,transmission:#5,km_driven:#6"},
        {
            "columns": "company:#1,model:#2,year:#3,fuel:#4,transmission:#5,km_driven:#6",
            "header": "false",
        },
    ],
    ids=["detected", "given"],
)
def test_the_first_car_of_a_file_without_header_is_not_lost(
    service: Service, params: dict[str, str]
) -> None:
    outcome = value_case(service, "11-no-header/a.csv", **params)
    assert_valued(outcome, LOGAN, CLIO, "Kia Picanto")


def test_a_file_without_header_and_options_is_read_whole_or_refused(
    service: Service, http: httpx.Client
) -> None:
    answer = post_file(http, "a.csv", content_of("11-no-header/a.csv"))
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        assert "header" in answer.text.lower()
        return
    assert_valued(outcome_of(service, http, answer), LOGAN, CLIO, "Kia Picanto")


@pytest.mark.parametrize(
    ("case", "km"),
    [("13-units-row/a.csv", 120_000), ("13-units-row/b.csv", 120_000 * KM_PER_MILE)],
)
def test_a_row_of_units_below_the_header_is_applied(service: Service, case: str, km: float) -> None:
    outcome = value_case(service, case)
    rows = [row for row in outcome.rows if row["row_status"] == "valued"]
    assert [row["read_as"] for row in rows] == [LOGAN]
    assert len(outcome.rows) - len(rows) <= 1
    assert abs(outcome.values("km_driven")[-1] - km) <= 1
    if outcome.statuses == ["valued"]:
        assert "unit" in outcome.said


@pytest.mark.parametrize("case", ["71-space-before-quote/a.csv", "71-space-before-quote/b.csv"])
def test_quotes_after_a_space_are_read_as_a_spreadsheet_shows_them(
    service: Service, case: str
) -> None:
    outcome = value_case(service, case)
    assert_valued(outcome, *[LOGAN, LOGAN, CLIO][: len(outcome.rows)])
    assert outcome.values("km_driven") == [120_000, 120_000, 150_000][: len(outcome.rows)]
    if case.endswith("a.csv"):
        assert len(outcome.rows) == 3
        assert [row["edition"].strip() for row in outcome.rows] == [
            "Laureate",
            "MCV, clim",
            "plain",
        ]


def test_row_names_of_r_are_no_column_of_the_car(service: Service) -> None:
    outcome = value_case(service, "72-r-row-names/a.csv")
    assert_valued(outcome, LOGAN, CLIO)
    assert outcome.values("year") == [2018, 2016]
    assert outcome.values("km_driven") == [120_000, 150_000]
    assert outcome.notices


def test_keys_that_repeat_are_accepted_with_a_notice_or_refused_by_line(
    service: Service, http: httpx.Client
) -> None:
    content = content_of("28-duplicate-keys/a.csv")
    answer = post_file(http, "a.csv", content, key_column="Réf")
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        assert "3" in answer.text
        return
    outcome = outcome_of(service, http, answer)
    assert len(outcome.rows) == 4
    assert "key_column" in outcome.said
    errors = http.get(outcome.batch["links"]["errors"], headers=ENGLISH).text.splitlines()
    assert [json.loads(line)["line"] for line in errors] == [
        number for number, status in enumerate(outcome.statuses, start=2) if status == "rejected"
    ]


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("19-merged-cells/a.xlsx", (LOGAN, "Dacia Duster", "Dacia Sandero", CLIO)),
        ("19-merged-cells/b.xlsx", (LOGAN, "Dacia Duster", CLIO)),
        ("20-xlsx-backslashes/a.xlsx", (LOGAN, "Dacia Duster", CLIO)),
        ("21-xlsx-part-names/wb2.xlsx", (LOGAN, "Dacia Duster", CLIO)),
        ("21-xlsx-part-names/sst.xlsx", (LOGAN,)),
        ("21-xlsx-part-names/strict.xlsx", (LOGAN, "Dacia Duster", CLIO)),
        ("22-xlsx-error-cells/a.xlsx", (LOGAN, "Dacia Duster", CLIO, CLIO)),
    ],
)
def test_unusual_workbooks_are_read_as_any_other(
    service: Service, case: str, names: tuple[str, ...]
) -> None:
    assert_valued(value_case(service, case), *names)


def test_merged_cells_are_reported(service: Service) -> None:
    assert "merged" in value_case(service, "19-merged-cells/a.xlsx").said


def test_error_cells_of_a_workbook_count_as_no_value(service: Service) -> None:
    outcome = value_case(service, "22-xlsx-error-cells/a.xlsx")
    assert outcome.values("fiscal_power_cv") == [None, 6, None, 6]
    assert outcome.values("doors") == [5, None, 5, 5]
    assert outcome.asking_prices == [90_000, 90_000, None, None]


def test_hidden_rows_are_left_out_or_reported(service: Service) -> None:
    outcome = value_case(service, "18-hidden-rows/a.xlsx")
    if len(outcome.rows) == 2:
        assert_valued(outcome, LOGAN, CLIO)
    else:
        assert_valued(outcome, LOGAN, "Dacia Duster", CLIO, "Dacia Duster")
        assert any(each["code"] == "hidden-rows" and "2" in each["detail"] for each in
                   outcome.notices)  # fmt: skip


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("23-html-as-table/page.csv", "HTML"),
        ("23-html-as-table/table.xls", "HTML"),
        ("23-html-as-table/x2003.xls", "XML"),
    ],
)
def test_html_and_xml_are_refused_by_their_real_type(
    http: httpx.Client, case: str, kind: str
) -> None:
    answer = post_file(http, case.rsplit("/", 1)[-1], content_of(case))
    assert answer.status_code in (
        httpx.codes.UNSUPPORTED_MEDIA_TYPE,
        httpx.codes.UNPROCESSABLE_ENTITY,
    )
    assert kind in answer.text
    assert "missing-column" not in answer.text


@pytest.mark.parametrize("case", ["24-json-lines/a.ndjson", "24-json-lines/a.json"])
def test_json_files_are_valued(service: Service, case: str) -> None:
    assert_valued(value_case(service, case), LOGAN, CLIO)


def test_the_charset_of_the_content_type_is_used(service: Service, http: httpx.Client) -> None:
    headers = {"Content-Type": "text/csv; charset=windows-1256", **ENGLISH}
    content = content_of("26-charset-parameter/a.csv")
    answer = http.post("/batches", content=content, headers=headers)
    outcome = outcome_of(service, http, answer)
    assert_valued(outcome, LOGAN, "Toyota Corolla")


def test_a_file_name_in_latin_1_is_kept(service: Service, http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    content = content_of("61-file-name/form-first.bin")
    answer = http.post("/batches", content=content, headers=headers)
    outcome = outcome_of(service, http, answer)
    assert outcome.batch["input"]["file_name"] == "été.csv"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("filename*=UTF-8''stock%20%C3%A9t%C3%A9%20100%25.csv", "stock été 100%.csv"),
        ("filename*=UTF-8''%D8%B3%D9%8A%D8%A7%D8%B1%D8%A7%D8%AA.csv", "سيارات.csv"),
        (r'filename="stock \"mars\".csv"', 'stock "mars".csv'),
    ],
)
def test_file_names_are_kept_and_given_to_the_results(
    service: Service, http: httpx.Client, sent: str, kept: str
) -> None:
    headers = {"Content-Type": "text/csv", "Content-Disposition": f"attachment; {sent}"}
    answer = http.post("/batches", content=content_of("61-file-name/a.csv"), headers=headers)
    outcome = outcome_of(service, http, answer)
    assert outcome.batch["input"]["file_name"] == kept
    disposition = http.get(outcome.batch["links"]["results"]).headers["Content-Disposition"]
    assert disposition.isascii()
    assert kept.isascii() or "filename*=UTF-8''" in disposition
