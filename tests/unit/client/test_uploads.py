"""The API reads the options of an upload as they are meant."""

from pathlib import Path
from typing import Any

import pytest

from api.batches.schemas import UploadQuery
from client.protocol.uploads import Submission, UploadOptions


def read(options: UploadOptions) -> dict[str, Any]:
    """What the API reads of the options, without those that were left out."""
    given = Submission(file=Path("cars.csv"), options=options).params
    loaded = UploadQuery().load(given)
    return {name: loaded[name] for name in loaded.keys() & {*given, "header_row"}}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"header": 3}, {"header": True, "header_row": 3}),
        ({"header": 1}, {"header": True, "header_row": 1}),
        ({"header": True}, {"header": True}),
        ({"header": False}, {"header": False}),
        ({"header": "no"}, {"header": False}),
        ({"sheet": 2}, {"sheet": "2"}),
        ({"units": {"km_driven": "mi"}}, {"units": (("km_driven", "miles"),)}),
        (
            {"columns": {"km_driven": "Km, compteur", "engine_cc": "", "year": "#5"}},
            {"columns": (("km_driven", "Km, compteur"), ("engine_cc", ""), ("year", "#5"))},
        ),
        ({"columns": "year:#5"}, {"columns": (("year", "#5"),)}),
        ({"header": None, "units": None}, {}),
    ],
)
def test_an_option_is_read_as_it_is_meant(options: UploadOptions, expected: dict[str, Any]) -> None:
    assert read(options) == expected
