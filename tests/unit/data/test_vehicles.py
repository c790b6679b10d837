"""A vehicle is found by many spellings of its model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.hedonic.codes import VehicleIndex
from data.market.reference import ReferenceMarket

VEHICLES = [
    ("bmw", "serie 3"),
    ("mercedes benz", "classe c"),
    ("volkswagen", "golf 4"),
    ("volkswagen", "golf 7"),
    ("citroen", "c4 picasso"),
    ("land rover", "range rover"),
    ("land rover", "range rover sport"),
    ("peugeot", "208"),
    ("land rover", "range rover evoque"),
    ("ds automobiles", "ds3"),
    ("mercedes benz", "classe gle"),
    ("dacia", "logan"),
    ("hyundai", "tucson"),
    ("skoda", "karoq"),
]
INDEX = VehicleIndex(VEHICLES, [2015] * 2 + [2001, 2016, 2012, 2014, 2016, 2018] + [2015] * 6)


@pytest.mark.parametrize(
    ("company", "model", "year", "found"),
    [
        ("bmw", "serie 3", 2015, ("bmw", "serie 3")),
        ("bmw", "3 series", 2015, ("bmw", "serie 3")),
        ("bmw", "320d", 2015, ("bmw", "serie 3")),
        ("bmw", "318 d", None, ("bmw", "serie 3")),
        ("mercedes benz", "c class", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "c220", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "mercedes benz classe c", 2015, ("mercedes benz", "classe c")),
        ("volkswagen", "golf", 1999, ("volkswagen", "golf 4")),
        ("volkswagen", "golf", 2019, ("volkswagen", "golf 7")),
        ("volkswagen", "golf7", 2019, ("volkswagen", "golf 7")),
        ("volkswagen", "golf 7 gtd", 2019, ("volkswagen", "golf 7")),
        ("citroen", "c4picasso", 2012, ("citroen", "c4 picasso")),
        ("land rover", "range rover sport hse", 2016, ("land rover", "range rover sport")),
        ("peugeot", "208 allure", 2018, ("peugeot", "208")),
        ("land rover", "sport hse", 2016, ("land rover", "range rover sport")),
        ("land rover", "evoque", 2016, ("land rover", "range rover evoque")),
        ("land rover", "land rover evoque", 2016, ("land rover", "range rover evoque")),
        ("volkswagen", "golf vii r line", 2004, ("volkswagen", "golf 7")),
        ("bmw", "320d pack m", 2015, ("bmw", "serie 3")),
        ("mercedes benz", "c 220 avantgarde", 2015, ("mercedes benz", "classe c")),
        ("mercedes benz", "gle coupe", 2015, ("mercedes benz", "classe gle")),
        ("mercedes benz", "mercedes c220 d", 2015, ("mercedes benz", "classe c")),
        ("citroen", "ds 3", 2015, ("ds automobiles", "ds3")),
        ("renault", "logan", 2015, ("dacia", "logan")),
        ("hyundai", "tuscon", 2015, ("hyundai", "tucson")),
        ("hyundai", "tucsson gl", 2015, ("hyundai", "tucson")),
    ],
)
def test_spellings(company: str, model: str, year: float | None, found: tuple[str, str]) -> None:
    assert VEHICLES[INDEX.code(company, model, year) - 1] == found


@pytest.mark.parametrize(
    ("company", "model"),
    [
        ("bmw", "isetta"),
        ("bmw", "m3"),
        ("dacia", "serie 3"),
        ("peugeot", "20"),
        ("peugeot", "209"),
        ("skoda", "kamiq"),
        ("", ""),
    ],
)
def test_what_is_not_known_has_code_zero(company: str, model: str) -> None:
    assert INDEX.code(company, model, 2015) == 0


def test_a_model_that_the_brand_itself_has_is_no_other_brands() -> None:
    index = VehicleIndex([("dacia", "duster"), ("renault", "duster")], [2015, 2015])
    assert index.code("renault", "duster", 2015) == 2


class ThoroughIndex(VehicleIndex):
    """Looks at all candidates of every name."""

    def _may_match(self, *_: str) -> bool:
        return True


MARKET = [tuple(vehicle.split("|")) for vehicle in ReferenceMarket.load().hedonic.vehicle_years]
QUICK, THOROUGH = (kind(MARKET, [2015.0] * len(MARKET)) for kind in (VehicleIndex, ThoroughIndex))
COMPANIES = sorted({company for company, _ in MARKET} | {"", "unknown"})
WORDS = sorted({word for pair in MARKET for name in pair for word in name.split(" ")})
ANY_WORD = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS).map(lambda word: word[:-1]),
    st.text("abcdir0123", min_size=1, max_size=6),
    st.sampled_from(["classe", "class", "serie", "vii", "iv", "320d", "c220", "sport"]),
)


@settings(max_examples=1500, deadline=None)
@given(company=st.sampled_from(COMPANIES), words=st.lists(ANY_WORD, max_size=4))
def test_a_name_is_given_up_early_only_if_no_candidate_of_it_is_known(
    company: str, words: list[str]
) -> None:
    model = " ".join(words)
    assert QUICK.codes(company, model) == THOROUGH.codes(company, model)
