"""A model of the reference market: coverage of its intervals, and prices of unusual cars."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.quality.experiments import priced
from benchmarks.quality.figures import coverage_by_decile
from data.hedonic.model import split_vehicle
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.forest.forest import PackedForest
from model_store.pricing.error_growth import MAX_YOUNG_AGE
from model_store.pricing.feature_matrix import UNKNOWN_MODEL
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import in_memory
from model_store.registry.manifest import REFERENCE_MARKET
from model_store.training.train import TrainedModel, train_bundle
from shared.domain.car import FIELD_NAMES, CarFeatures, Fuel, Transmission
from shared.domain.valuation import VerdictPosition
from shared.fields.requests import load_car_request

MARKET = ReferenceMarket.load()
ROWS = 6_000
CAR = {
    "company": "Dacia", "model": "Logan", "year": 2018, "fuel": "Diesel",
    "transmission": "Manual", "km_driven": 90_000, "fiscal_power_cv": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    drawn = generate(MARKET, ROWS, seed=1, antithetic=True)
    return train_bundle(drawn, seed=1, name=REFERENCE_MARKET, market=MARKET)


@pytest.fixture(scope="module")
def loaded(trained: TrainedModel) -> LoadedModel:
    return in_memory(trained)


class Quotes:
    """Prices of described cars: estimate, ends of the 90 % interval, whether the model is known."""

    def __init__(self, trained: TrainedModel, *described: dict[str, object]) -> None:
        cars = [load_car_request(CAR | fields).car for fields in described]
        encoded = trained.encoder.encode(cars)
        output = PackedForest.from_estimator(trained.estimator).predict(encoded.matrix)
        mean = encoded.baseline_log + output.mean
        difficulty = trained.difficulty.predict(encoded.matrix)
        quantiles = trained.calibration.quantiles_log(encoded.level, mean, output.std, difficulty)
        self.price = np.exp(mean)
        self.widths = quantiles[:, -2] - quantiles[:, 1]
        self.tops = np.exp(quantiles[:, -2])
        self.known = encoded.level < UNKNOWN_MODEL


def test_intervals_cover_every_decile_of_the_estimate_and_of_the_asking_price(
    trained: TrainedModel,
) -> None:
    found = priced(trained, generate(MARKET, 12_000, seed=2))
    assert found.inside.mean() == pytest.approx(0.9, abs=0.02)
    for by in (found.price, found.actual):
        assert min(coverage_by_decile(by, found.inside)) >= 0.86
    assert found.inside[~found.known].mean() >= 0.85


def test_young_cars_have_no_factor_besides_the_spread_that_they_are_drawn_with(
    trained: TrainedModel,
) -> None:
    calibration = trained.calibration
    one, level = np.array([12.3]), np.zeros(1, np.int8)
    for months in (0, 10, 24):
        young, older = (
            calibration.quantiles_log(
                level, one, np.array([0.1]), np.zeros(1), is_young=np.array([is_young]),
                months=months,
            )
            for is_young in (True, False)
        )  # fmt: skip
        assert (young == older).all()
    drawn = generate(MARKET, 12_000, seed=2)
    found = priced(trained, drawn)
    assert found.inside[found.age_years <= MAX_YOUNG_AGE].mean() >= 0.82


@pytest.mark.parametrize(
    "missing",
    [
        ("fuel",),
        ("transmission",),
        ("km_driven",),
        ("fuel", "transmission"),
        ("fuel", "km_driven"),
        ("transmission", "km_driven"),
        ("fuel", "transmission", "km_driven"),
    ],
)
def test_intervals_without_a_field_cover_as_many_prices_as_with_it(
    trained: TrainedModel, missing: Sequence[str]
) -> None:
    listings = generate(MARKET, 12_000, seed=2, gaps=False)
    complete = priced(trained, listings)
    others = [name for name in FIELD_NAMES if name not in missing]
    lacking = priced(trained, listings, others)
    for low in range(4):
        inside = [
            np.mean(
                (one.actual >= one.quantiles[:, low]) & (one.actual <= one.quantiles[:, -1 - low])
            )
            for one in (complete, lacking)
        ]
        assert inside[1] == pytest.approx(inside[0], abs=0.02)
    widths = [
        np.log(one.quantiles[:, -2] / one.quantiles[:, 1]).mean() for one in (complete, lacking)
    ]
    assert widths[1] > widths[0]


def test_an_unknown_brand_is_priced_by_its_class_and_with_a_wide_interval(
    trained: TrainedModel,
) -> None:
    names = ("Ferrari", "Lincoln", "Nobody", "Lada")
    strong = {"year": 2014, "fuel": "Petrol", "transmission": "Automatic", "fiscal_power_cv": 17}
    quotes = Quotes(trained, {}, *(strong | {"company": name, "model": "M"} for name in names))
    assert quotes.known.tolist() == [True, False, False, False, False]
    assert (quotes.widths[1:] > 2 * quotes.widths[0]).all()
    assert (np.diff(quotes.price[1:]) < 0).all()
    assert quotes.price[1] > 2 * quotes.price[4]
    assert (quotes.tops[1:] > 1.8 * quotes.price[1:]).all()


@pytest.mark.parametrize(
    "odd", [{"km_driven": 1_900_000}, {"fiscal_power_cv": 95}, {"year": 2025, "km_driven": 150_000}]
)
def test_numbers_outside_the_training_range_widen_the_interval(
    trained: TrainedModel, odd: dict[str, object]
) -> None:
    usual = {**odd, "km_driven": 60_000, "fiscal_power_cv": 6}
    quotes = Quotes(trained, usual, odd)
    assert quotes.widths[1] > 1.6 * quotes.widths[0]
    assert quotes.known.all()


@pytest.mark.parametrize(
    ("written", "known_as"),
    [
        (("Range Rover", "Sport"), ("Land Rover", "Range Rover Sport")),
        (("Range Rover", "Evoque Coupé"), ("Land Rover", "Range Rover Evoque")),
        (("Land Rover", "Velar"), ("Land Rover", "Range Rover Velar")),
        (("Range", "Rover Vogue"), ("Land Rover", "Range Rover Vogue")),
        (("DS 7", "Crossback"), ("DS Automobiles", "DS7")),
        (("Citroën", "DS3"), ("DS Automobiles", "DS3")),
        (("Mini Cooper", "S"), ("Mini", "Cooper")),
        (("BMW", "Mini Cooper"), ("Mini", "Cooper")),
        (("Mercedes", "C 220 Avantgarde"), ("Mercedes-Benz", "Classe C")),
        (("Mercedes", "GLC Coupé"), ("Mercedes-Benz", "Classe GLC")),
        (("BMW", "320d pack M"), ("BMW", "Serie 3")),
        (("VW", "Golf VII"), ("Volkswagen", "Golf 7")),
        (("Tesla", "3"), ("Tesla", "Model 3")),
        (("Toyota", "Land Cruiser Prado"), ("Toyota", "Prado")),
        (("Renault", "Logan"), ("Dacia", "Logan")),
        (("Peugot", "Partnr"), ("Peugeot", "Partner")),
        (("Hyunday", "Tuscon"), ("Hyundai", "Tucson")),
        (("داسيا", "لوغان"), ("Dacia", "Logan")),
        (("تويوتا", "كورولا"), ("Toyota", "Corolla")),
    ],
)
def test_spellings_of_sellers_are_priced_as_the_model_they_mean(
    trained: TrainedModel, written: Sequence[str], known_as: Sequence[str]
) -> None:
    said, meant = ({"company": company, "model": model} for company, model in (written, known_as))
    quotes = Quotes(trained, said, meant)
    assert quotes.known.all()
    assert quotes.price[0] == quotes.price[1]


def test_a_car_is_worth_less_with_age_and_with_kilometres(trained: TrainedModel) -> None:
    for company, model in (("Dacia", "Logan"), ("Renault", "Clio"), ("Peugeot", "208")):
        names = {"company": company, "model": model}
        years = Quotes(trained, *(names | {"year": year} for year in range(2006, 2025, 3)))
        assert (np.diff(years.price) > 0).all()
        driven = Quotes(
            trained, *(names | {"km_driven": km} for km in range(20_000, 320_000, 60_000))
        )
        assert (np.diff(driven.price) < 0.005 * driven.price[:-1]).all()
        assert driven.price[-1] < driven.price[0]


YEARS = range(2000, 2027)


def kinds_seen(model: LoadedModel, field: str) -> dict[str, list[str]]:
    """Fuels or gearboxes of every known model."""
    coder, seen = model.encoder.ordinal_encoder, model.encoder.values_by_vehicle[field]
    return {
        vehicle: [
            value
            for value, code in coder.vocabularies[field].items()
            if (coder.vehicle_code(*split_vehicle(vehicle), None), code) in seen
        ]
        for vehicle in model.encoder.hedonic.vehicle_years
    }


def prices_of(
    model: LoadedModel, cars: Sequence[tuple[str, int, str | None, str | None, int | None]]
) -> np.ndarray:
    """Price (n,) of cars given as model, year, fuel, gearbox and kilometres."""
    vehicle, year, fuel, gearbox, km = zip(*cars, strict=True)
    company, name = zip(*map(split_vehicle, vehicle), strict=True)
    columns = {
        "company": company, "model": name, "year": year, "fuel": fuel, "transmission": gearbox,
        "km_driven": km,
    }  # fmt: skip
    return model.estimate_columns(columns, len(cars)).price_mad


def test_no_car_is_taken_for_a_kind_that_its_model_does_not_have(loaded: LoadedModel) -> None:
    known = loaded.usual.known_kinds or {}
    assert len(known) > 350
    for vehicle, kinds in known.items():
        company, name = split_vehicle(vehicle)
        for year in (2012, 2024, 2026):
            found = loaded.scenario_cars(CarFeatures(company=company, model=name, year=year))
            assert {f"{one.fuel}|{one.transmission}" for one, _ in found} <= set(kinds), vehicle
    fabia = CarFeatures(company="skoda", model="fabia", year=2026)
    shares = [share for one, share in loaded.scenario_cars(fabia) if one.fuel is Fuel.PETROL]
    assert sum(shares) > 0.8
    assert all(one.transmission is Transmission.MANUAL for one, _ in loaded.scenario_cars(fabia))


def test_models_of_new_cars_have_the_usual_share_of_their_level_whatever_is_stated(
    loaded: LoadedModel,
) -> None:
    levels = {
        name: level for name, level in MARKET.new_cars.levels.items()
        if name not in MARKET.hedonic.vehicle_years and level.fuel
    }  # fmt: skip
    assert len(levels) > 50
    year = int(MARKET.data_as_of[:4]) - 1
    share = np.exp(MARKET.new_cars.log_ratios(np.array([1.0]))[0])
    wanted = share * np.array([level.level_mad for level in levels.values()])
    for states_fuel in (False, True):
        cars = [
            (name, year, level.fuel if states_fuel else None, None, 15_000)
            for name, level in levels.items()
        ]
        ratios = prices_of(loaded, cars) / wanted
        assert np.median(ratios) == pytest.approx(1.0, abs=0.03)
        assert (abs(np.log(ratios)) < 0.15).mean() > 0.95
    stated = [
        CarFeatures(company=company, model=model, year=year, fuel=Fuel(level.fuel or ""))
        for (company, model), level in zip(map(split_vehicle, levels), levels.values(), strict=True)
    ]
    assert not any("fuel" in each.unseen for each in loaded.estimate(stated))


def test_a_price_when_new_covers_young_cars_unless_listings_contradict_it(
    loaded: LoadedModel,
) -> None:
    """Hardly any car of this year is listed: nearly all of them had a warning and no verdict."""
    known = sorted(MARKET.new_cars.levels.keys() & loaded.encoder.hedonic.vehicle_years.keys())
    for year in (2024, 2026):
        names = map(split_vehicle, known)
        cars = [CarFeatures(company=brand, model=name, year=year) for brand, name in names]
        estimates = dict(zip(known, loaded.estimate(cars), strict=True))
        contradicted = {name for name, each in estimates.items() if not each.can_judge}
        assert {"land rover|range rover", "ssangyong|rexton"} <= contradicted
        assert len(contradicted) < 0.05 * len(known)
        for name in ("dacia|logan", "dacia|duster", "renault|clio"):
            assert estimates[name].can_judge
    verdict = estimates["land rover|range rover"].verdict(1_700_000)
    assert (verdict.position, verdict.percentile) == (VerdictPosition.UNCERTAIN, None)


def test_no_nearly_new_car_is_dearer_than_the_new_ones_of_its_fuel(loaded: LoadedModel) -> None:
    levels, seen = MARKET.new_cars.levels, kinds_seen(loaded, "fuel")
    cars, highest = [], []
    for name in (name for name in levels if name in seen):
        for fuel in (None, *levels[name].fuels):
            for gearbox in (None, "Manual", "Automatic"):
                cars.append((name, 2026, fuel, gearbox, 10))
                fuels = levels[name].fuels.values() if fuel is None else [levels[name].fuels[fuel]]
                highest.append(max([level for _, level in fuels] or [levels[name].level_mad]))
    ratios = prices_of(loaded, cars) / np.array(highest)
    assert len(ratios) > 800
    assert ratios.max() < 1.06
    assert (ratios > 1.0).mean() < 0.03


def test_hardly_a_newer_car_without_fuel_or_gearbox_is_cheaper(loaded: LoadedModel) -> None:
    """Only where the usual kind of the model becomes a cheaper one."""
    fuels, gearboxes = kinds_seen(loaded, "fuel"), kinds_seen(loaded, "transmission")
    halves = [
        (name, fuel, gearbox)
        for name in fuels
        for fuel, gearbox in [
            (None, None), *((fuel, None) for fuel in fuels[name]),
            *((None, gearbox) for gearbox in gearboxes[name]),
        ]
    ]  # fmt: skip
    cars = [(name, year, fuel, gearbox, 60_000) for name, fuel, gearbox in halves for year in YEARS]
    rises = np.diff(np.log(prices_of(loaded, cars).reshape(len(halves), -1)), axis=1)
    states_none = np.array([half[1:] == (None, None) for half in halves])
    assert rises.min() > -0.05
    assert rises[states_none].min() > -0.04
    assert (rises < -0.002).mean() < 0.004
    assert (rises[states_none] < -0.002).mean() < 0.002


def test_a_car_without_fuel_and_gearbox_has_the_kinds_that_are_listed(loaded: LoadedModel) -> None:
    """Corollas of 2022 were priced as diesels of 2015, because their manual ones are cheaper."""
    for year in (2021, 2022, 2023):
        corolla = CarFeatures(company="toyota", model="corolla", year=year)
        found = loaded.scenario_cars(corolla)
        hybrid = sum(share for one, share in found if one.fuel is Fuel.HYBRID)
        assert hybrid > 0.7


@pytest.mark.parametrize(
    ("company", "model", "year"), [("lexus", "rx", 2024), ("audi", "s3", 2021)]
)
def test_a_model_that_is_seldom_listed_has_no_fuel_that_none_of_its_listings_has(
    loaded: LoadedModel, company: str, model: str, year: int
) -> None:
    """Of no kind of theirs are ten listed: more than half were taken for diesels."""
    found = loaded.scenario_cars(CarFeatures(company=company, model=model, year=year))
    assert {one.fuel for one, _ in found} <= {Fuel.PETROL, Fuel.HYBRID}
    assert {one.transmission for one, _ in found} == {Transmission.AUTOMATIC}


def test_an_automatic_car_of_a_fuel_is_not_cheaper_than_a_manual_one(loaded: LoadedModel) -> None:
    kinds = [
        (name, fuel, year)
        for name, fuels in kinds_seen(loaded, "fuel").items()
        for fuel in fuels
        for year in (2012, 2020, 2026)
    ]
    manual, automatic = (
        prices_of(loaded, [(name, year, fuel, gearbox, 60_000) for name, fuel, year in kinds])
        for gearbox in ("Manual", "Automatic")
    )
    assert len(kinds) > 1_200
    assert (automatic / manual).min() > 0.97
