"""The typical car of a model and year, and the effects of the differences from it."""

import itertools

import pytest

from model_store.pricing.extras.differences import _spans, curve_kilometres, rotation_effects
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_model, save_bundle
from shared.domain.car import CarFeatures
from tests.unit.model_store import small_models

CARS = small_models.random_cars(25, seed=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("models")
    return load_model(path, save_bundle(small_models.train(), path).id)


def with_interaction(fields: frozenset[int]) -> float:
    """Effects of 10, 20, 30, … and 100 more for the first and the third together."""
    return sum(10.0 * (one + 1) for one in fields) + 100.0 * ({0, 2} <= fields)


@pytest.mark.parametrize("count", range(8))
def test_effects_add_up_to_the_whole_difference(count: int) -> None:
    spans = _spans(count)
    assert len(set(spans)) == (count * (count - 1) + 2 if count else 1)
    effects = rotation_effects(count, {span: with_interaction(span) for span in spans})
    assert sum(effects) == pytest.approx(with_interaction(frozenset(range(count))))


def test_effects_of_three_fields_are_the_shapley_values() -> None:
    orders = list(itertools.permutations(range(3)))
    expected = [0.0] * 3
    for order in orders:
        for place, field in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            gain = with_interaction(after) - with_interaction(before)
            expected[field] += gain / len(orders)
    spans = {span: with_interaction(span) for span in _spans(3)}
    assert rotation_effects(3, spans) == pytest.approx(expected)


def test_price_and_differences_of_the_typical_car_add_up_to_the_cent(model: LoadedModel) -> None:
    found = 0
    for car, estimate in zip(CARS, model.estimate(CARS), strict=True):
        typical = model.typical(car, estimate)
        if typical is None:
            continue
        found += 1
        total = typical.price_mad + sum(one.effect_mad for one in typical.differences)
        assert total == pytest.approx(estimate.price_mad, abs=0.005)
        sizes = [abs(one.effect_mad) for one in typical.differences]
        assert sizes == sorted(sizes, reverse=True)
    assert found


def test_the_typical_car_differs_from_itself_in_nothing(model: LoadedModel) -> None:
    car = next(one for one in CARS if model.typical(one, model.estimate([one])[0]))
    first = model.typical(car, model.estimate([car])[0])
    assert first is not None
    same = CarFeatures.from_wire(
        [car.company, car.model, car.year, first.fuel, first.transmission, first.km_driven]
        + [None] * (len(car.to_wire()) - 6)
    )
    again = model.typical(same, model.estimate([same])[0])
    assert again is not None
    assert (again.differences, again.price_mad) == ((), first.price_mad)


def test_an_unknown_model_has_no_typical_car(model: LoadedModel) -> None:
    car = CarFeatures(company="zastava", model="yugo", year=2015)
    assert model.typical(car, model.estimate([car])[0]) is None


def test_the_price_never_rises_with_the_kilometres(model: LoadedModel) -> None:
    for car, estimate in zip(CARS, model.estimate(CARS), strict=True):
        typical = model.typical(car, estimate)
        prices = [one.price_mad for one in typical.mileages] if typical else []
        assert prices == sorted(prices, reverse=True)


@pytest.mark.parametrize(
    ("usual", "own"), [(120_000, 45_000), (None, 90_000), (5_000, None), (90_000, 1_900_000)]
)
def test_the_curve_has_round_kilometres_beyond_the_car(usual: int | None, own: int | None) -> None:
    found = curve_kilometres(usual, own)
    assert len(found) == 8
    assert all(km % 5_000 == 0 for km in found)
    assert found == sorted(set(found))
    assert found[-1] >= max(own or 0, 2 * (usual or 0))
    assert curve_kilometres(None, None) == []
