"""Names of the columns of results."""

import pytest

from shared.domain.batch import RESULT_COLUMNS, result_header


@pytest.mark.parametrize(
    "header",
    [("id",), ("price_mad",), ("price_mad", "carprice_price_mad"), RESULT_COLUMNS],
)
def test_no_column_of_the_file_is_lost_and_no_name_stands_twice(header):
    names = result_header(tuple(header))
    assert len(set(names)) == len(names)
    assert names[-len(RESULT_COLUMNS) :] != list(header)
    assert len(names) >= len(RESULT_COLUMNS)


def test_results_that_are_uploaded_again_keep_their_prices():
    names = result_header(("price_mad", "carprice_price_mad"))
    assert names[:2] == ["price_mad", "carprice_price_mad"]
    assert "carprice_carprice_price_mad" in names
