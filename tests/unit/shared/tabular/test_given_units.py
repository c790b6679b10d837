"""Units and the row of the header, as the caller states them."""

import pytest
from marshmallow import ValidationError

from api.batches.schemas import UploadQuery
from shared.domain.batch import BatchManifest, BatchOptions
from shared.domain.errors import UnreadableUpload
from shared.domain.table import Dialect
from shared.fields.columns import ColumnValidator
from shared.tabular.files.local_file import read_local_table

TITLED = "Stock\n\nMarque;Modèle;Année;Mileage;Price (£)\nDacia;Logan;2018;10000;95\n"


def read(tmp_path, text: str = TITLED, **options: str):
    file = tmp_path / "cars.csv"
    file.write_text(text, encoding="utf-8")
    query = UploadQuery().load(options)
    return read_local_table(file, BatchOptions(**query)).dialect


def test_units_of_the_caller_replace_those_of_the_file(tmp_path) -> None:
    assert read(tmp_path).currency == "GBP"
    dialect = read(tmp_path, units="km_driven:mi,asking_price_mad:thousand MAD")
    assert dialect.units == {"km_driven": "miles", "asking_price_mad": "thousand MAD"}
    assert dialect.asking is not None
    assert dialect.currency is None
    assert "unit-not-stated" not in {notice.code for notice in dialect.notices}
    foreign = read(tmp_path, TITLED.replace(" (£)", ""), units="asking_price_mad:EUR")
    assert (foreign.asking, foreign.currency) == (None, "EUR")


def test_thousands_of_dirhams_are_multiplied_unless_the_cell_says_otherwise() -> None:
    validator = ColumnValidator("auto", {"asking_price_mad": "thousand MAD"})
    values, _, _ = validator.validate({"asking_price_mad": ["95", "95,5", "95 000 DH"]})
    assert values["asking_price_mad"] == [95_000, 95_500, 95_000]


@pytest.mark.parametrize("row", ["3", "#3"])
def test_the_row_of_the_header_is_a_line_of_the_file(tmp_path, row: str) -> None:
    text = "Marque;Modèle;Année\n\nFirme;Type;Mise\nDacia;Logan;2018\n"
    with pytest.raises(UnreadableUpload) as refused:
        read(tmp_path, text, header=row)
    assert "Firme" in refused.value.problems[0].params["found"]
    with pytest.raises(UnreadableUpload) as blank:
        read(tmp_path, text, header="2")
    assert blank.value.problems[0].code == "unknown-header-row"


@pytest.mark.parametrize(
    "options",
    [{"units": "fuel:mi"}, {"units": "km_driven:kW"}, {"units": "mi"}, {"header": "51"},
     {"header": "#0"}, {"header": "x"}],
)  # fmt: skip
def test_other_values_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        UploadQuery().load(options)


def test_a_manifest_with_such_options_is_not_for_older_workers() -> None:
    def manifest(**options) -> BatchManifest:
        return BatchManifest(
            id="b", caller="c", accepted_at=0.0, model_version="v", options=BatchOptions(**options),
            dialect=Dialect(), sha256="", size_bytes=1,
        )  # fmt: skip

    assert manifest().schema == 1
    assert "units" not in manifest().to_json()["options"]
    later = manifest(header=True, header_row=3, units=(("km_driven", "miles"),))
    assert later.schema == 5
    assert BatchManifest.from_json(later.to_json()) == later
