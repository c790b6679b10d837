"""Files of real sites and dealers, completed on the pages alone, without JavaScript."""

import html
import re
from collections.abc import Mapping

import httpx
import pytest

from tests.conftest import Service
from tests.exports.shared_cases import content_of, needs_cases

pytestmark = [pytest.mark.integration, needs_cases]

MILES = {"unit-km_driven": "miles", "unit-asking_price_mad": "other"}
EURO = {"unit-asking_price_mad": "other"}

CASES = [
    # file, what the user changes, least share of rows valued
    ("exports/autoscout24.csv", EURO, 0.95),
    ("exports/avito_scrape.csv", {}, 0.95),
    ("exports/kaggle_v3.csv", {}, 0.95),
    ("exports/uk_make.csv", MILES, 0.95),
    ("dealer/ar.csv", {}, 1.0),
    ("dealer/odd.csv", {}, 1.0),
    ("dealer/stock.csv", {}, 0.9),
]


def form_of(page: str) -> dict[str, str]:
    """The fields of the form of choices, as a browser sends them."""
    form = re.search(r'<form[^>]*id="choix".*?</form>', page, re.DOTALL)
    assert form, page
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


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
@pytest.mark.parametrize(("case", "changes", "share"), CASES)
def test_the_file_is_completed_on_its_page(
    service: Service, case: str, changes: Mapping[str, str], share: float, language: str
) -> None:
    with service.client() as client:
        name = case.rpartition("/")[2]
        stored = client.post(f"/fichiers?lang={language}", files={"file": (name, content_of(case))})
        assert stored.status_code == httpx.codes.SEE_OTHER
        path = stored.headers["Location"].partition("?")[0]
        values = form_of(client.get(stored.headers["Location"]).text) | dict(changes)
        assert client.post(path, data=values).status_code == httpx.codes.SEE_OTHER
        shown = form_of(client.get(path).text)
        started = client.post(f"{path}/estimer", data=shown)
        assert started.status_code == httpx.codes.SEE_OTHER, started.text
        batch_id = started.headers["Location"].partition("?")[0].rpartition("/")[2]
        batch = client.get(f"/batches/{batch_id}?wait=20").json()
    assert batch["state"] == "SUCCEEDED"
    assert batch["counts"]["valid"] >= share * batch["counts"]["total"]
    expected = {name.removeprefix("unit-"): unit for name, unit in changes.items()}
    assert batch["options"]["units"] == expected
    assert "km_driven" in batch["input"]["columns"]
    assert ("asking_price_mad" in batch["input"]["columns"]) == (not changes and name != "ar.csv")
