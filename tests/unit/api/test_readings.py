"""What an answer says of how the car was understood."""

import dataclasses
from typing import Any

import orjson
import pytest

from api.valuations.schemas import serialize_valuation
from shared.domain.clock import month_number
from shared.domain.ids import ValuationId
from shared.domain.valuation import CarRequest, Estimate, Valuation
from shared.fields.requests import load_car_request

MODEL = {"version": "v1", "data_as_of": None, "basis": "asking_prices"}


def answer(request: CarRequest, *, known: bool = True, pointer: str = "") -> dict[str, Any]:
    """The answer as JSON, of a model that knows the car's model or not."""
    estimate = Estimate(
        price_mad=9e4,
        quantiles_mad=tuple(8e4 + 1e3 * step for step in range(9)),
        model_version="v1",
        model_known=known,
    )
    valuation = Valuation(id=ValuationId("v"), request=request, estimate=estimate, cached=False)
    answered: dict[str, Any] = orjson.loads(
        orjson.dumps(serialize_valuation(valuation, 0.9, MODEL, "en", pointer=pointer))
    )
    return answered


def car(company: str, model: str, **more: Any) -> CarRequest:
    """A request with brand, model, year and nothing else that is not given."""
    return load_car_request({"company": company, "model": model, "year": 2017} | more)


def codes(answered: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answered["warnings"]]


def test_the_car_is_repeated_as_it_was_understood() -> None:
    answered = answer(car("skoda", "OCTAVIA", fuel="gasoil", km_driven="61 500 km", engine_cc=1.6))
    assert answered["read_as"] == {
        "company": "Skoda", "model": "Octavia", "year": 2017, "fuel": "Diesel",
        "km_driven": 61_500, "engine_cc": 1600.0,
    }  # fmt: skip
    assert (answered["match"], answered["suggestions"]) == ("exact", [])


@pytest.mark.parametrize(
    ("names", "match", "read_as", "warning"),
    [
        (("VW", "Polo"), "alias", ("Volkswagen", "Polo"), None),
        (("Nissan", "Qashqia"), "corrected", ("Nissan", "Qashqai"), "name-corrected"),
        (("Peugeot", "209"), "ambiguous", ("Peugeot", "209"), "name-ambiguous"),
        (("Zastava", "Yugo"), "unknown", ("Zastava", "Yugo"), "model-unknown"),
    ],
)
def test_names_that_are_not_exact_are_said(
    names: tuple[str, str], match: str, read_as: tuple[str, str], warning: str | None
) -> None:
    known = match in {"alias", "corrected"}
    answered = answer(car(*names), known=known)
    assert answered["match"] == match
    assert (answered["read_as"]["company"], answered["read_as"]["model"]) == read_as
    assert warning is None or warning in codes(answered)
    assert len(answered["suggestions"]) <= 3
    if match == "ambiguous":
        assert {"company": "Peugeot", "model": "208"} in answered["suggestions"]


def test_the_warning_of_an_ambiguous_name_says_which_model_is_priced() -> None:
    partly = answer(car("Volkswagen", "Golf 99"), known=True)
    assert partly["match"] == "ambiguous"
    detail = next(each["detail"] for each in partly["warnings"] if each["code"] == "name-ambiguous")
    assert "Volkswagen Golf" in detail
    assert "larg" not in detail
    assert "wider" not in detail
    assert "model-unknown" not in codes(partly)


def test_warnings_of_a_car_in_a_list_point_into_the_list() -> None:
    body = {"company": "Zastava", "model": "Yugo", "year": 2017, "colour": "red"}
    answered = answer(load_car_request(body, pointer="/4"), known=False, pointer="/4")
    assert "model-unknown" in codes(answered)
    assert all(each["pointer"].startswith("/4/") for each in answered["warnings"])


def test_suggestions_can_be_sent_as_they_are() -> None:
    for suggestion in answer(car("Peugeot", "209"), known=False)["suggestions"]:
        assert answer(car(**suggestion))["match"] == "exact"


def test_a_name_that_only_the_model_of_prices_knows_is_exact() -> None:
    answered = answer(car("Zastava", "Yugo"), known=True)
    assert (answered["match"], answered["suggestions"]) == ("exact", [])


def test_each_usual_field_that_is_missing_has_a_warning() -> None:
    missing = {
        warning["pointer"]
        for warning in answer(car("Kia", "Rio", transmission="manuelle"))["warnings"]
        if warning["code"] == "missing-field"
    }
    assert missing == {"/fuel", "/km_driven"}


def test_how_names_were_read_survives_the_way_to_the_worker() -> None:
    request = car("Nissan", "Qashqia")
    assert answer(CarRequest.from_wire(request.to_wire())) == answer(request)


@pytest.mark.parametrize(
    ("month", "age", "warns"),
    [("2025-05", 0, False), ("2026-05", 12, False), ("2026-06", 13, True), ("2024-01", 0, False)],
)
def test_the_answer_states_the_age_of_the_data_and_warns_beyond_the_horizon(
    month: str, age: int, *, warns: bool
) -> None:
    estimate = Estimate(
        price_mad=9e4, quantiles_mad=(9e4,) * 9, model_version="v1", model_known=True,
        month=month_number(month),
    )  # fmt: skip
    valuation = Valuation(
        id=ValuationId("v"), request=car("Dacia", "Logan"), estimate=estimate, cached=True
    )
    model = MODEL | {"data_as_of": "2025-05"}
    english = serialize_valuation(valuation, 0.9, model, "en", pointer="/3")
    assert english["model"] == model | {"data_age_months": age}
    found = [one for one in english["warnings"] if one["code"] == "data-old"]
    assert bool(found) is warns
    if warns:
        french = serialize_valuation(valuation, 0.9, model, "fr")
        assert found[0]["pointer"] == "/3"
        assert found[0]["detail"].startswith(
            "Most listings of the model are at least 13 months old"
        )
        assert "La plupart des annonces du modèle ont au moins 13 mois" in str(french["warnings"])


def valued(request: CarRequest, **changes: Any) -> dict[str, Any]:
    """The answer for an estimate with these members."""
    estimate = dataclasses.replace(
        Estimate(
            price_mad=9e4, quantiles_mad=(9e4,) * 9, model_version="v1", model_known=True,
            month=month_number("2026-03"),
        ),
        **changes,
    )  # fmt: skip
    valuation = Valuation(id=ValuationId("v"), request=request, estimate=estimate, cached=True)
    return serialize_valuation(
        valuation, 0.9, MODEL | {"data_as_of": "2025-05"}, "en", pointer="/3"
    )


@pytest.mark.parametrize(("width_age", "warns"), [(None, False), (12, False), (13, True)])
def test_the_age_that_the_intervals_widen_with_decides_on_the_warning(
    width_age: int | None, *, warns: bool
) -> None:
    answered = valued(car("Dacia", "Logan"), width_age_months=width_age)
    assert answered["model"]["data_age_months"] == 10
    assert ("data-old" in codes(answered)) is warns


def test_values_without_an_effect_are_named() -> None:
    request = car("Dacia", "Logan", edition="tdi 150", city="Zorgville")
    answered = valued(request, unpriced=("edition", "city"), unseen=("fuel",))
    found = {(one["pointer"], one["code"]) for one in answered["warnings"]}
    assert {
        ("/3/edition", "no-effect"), ("/3/city", "no-effect"), ("/3/fuel", "unseen-in-model"),
    } <= found  # fmt: skip


@pytest.mark.parametrize("is_unpriced", [False, True])
def test_a_car_for_parts_has_one_remark_on_its_condition(*, is_unpriced: bool) -> None:
    request = car("Dacia", "Logan", condition="pour pièces")
    answered = valued(request, unpriced=("condition",) if is_unpriced else ())
    found = [w["code"] for w in answered["warnings"] if w["pointer"].endswith("condition")]
    assert found == (["no-effect"] if is_unpriced else ["unpriced"])


def test_a_brand_is_called_unknown_only_if_it_is() -> None:
    known = valued(car("Dacia", "Logan"), model_known=False)
    unknown = valued(car("Dacia", "Logan"), model_known=False, unpriced=("company",))
    assert "brand-unknown" not in codes(known)
    assert {"model-unknown", "brand-unknown"} <= set(codes(unknown))
    assert "no-effect" not in codes(unknown)


def test_the_age_of_unknown_data_is_not_stated() -> None:
    answered = answer(car("Dacia", "Logan"))
    assert answered["model"] == MODEL | {"data_age_months": None}
    assert "data-old" not in codes(answered)
