"""The export formats themselves: enough rows, and an expected reading of nearly each."""

import pytest

from tests.exports.formats.cars import Export
from tests.exports.formats.registry import exports

MIN_ROWS = 25


@pytest.mark.parametrize("export", exports(), ids=lambda export: export.name)
def test_a_format_has_enough_rows_and_nearly_all_state_a_car(export: Export) -> None:
    stated = sum(reading is not None for reading in export.rows)
    assert len(export.rows) >= MIN_ROWS
    assert stated / len(export.rows) >= 0.95


def test_names_of_formats_are_unique() -> None:
    names = [export.name for export in exports()]
    assert len(set(names)) == len(names)
