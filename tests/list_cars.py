"""Lists of cars for tests: with known, unknown and misspelt names, details and gaps."""

import random
from typing import Any

from shared.domain.lists.requests import RequestList
from shared.domain.valuation import Extra
from shared.fields.lists.loading import load_columns

NAMES = (
    ("Toyota", "Corolla"), ("Dacia", "Logan"), ("BMW", "X5"), ("VW", "Golf VII"),
    ("Dacia", "Sandeero"), ("Xyzzy", 'Plugh "12"'), ("Renault", "Clio"),
)  # fmt: skip
DETAILS: dict[str, tuple[Any, ...]] = {
    "fuel": ("Diesel", "Petrol", "Electric", "CNG"),
    "transmission": ("Manual", "Automatic"),
    "km_driven": (0, 150, 25_000, 187_400, 1_500_000),
    "edition": ("GTD", 'é "x" \\'),
    "seller_type": ("Dealer", "Individual"),
    "engine_cc": (1600, 1.6, 1499.5),
    "fiscal_power_cv": (6, 8, 99),
    "city": ("Casablanca", "الدار البيضاء"),
    "condition": ("Good", "For parts", "Damaged"),
    "asking_price_mad": (145_000, 20_000, 99_999.5),
}


def car_bodies(seed: int, count: int = 30) -> list[dict[str, Any]]:
    """Cars as a caller sends them; which fields they have depends on the seed."""
    rng = random.Random(seed)
    fields = rng.sample(sorted(DETAILS), rng.randint(0, len(DETAILS)))
    has_gaps = rng.random() < 0.5
    cars = []
    for _ in range(count):
        company, model = rng.choice(NAMES)
        car: dict[str, Any] = {"company": company, "model": model, "year": rng.randint(1990, 2024)}
        for name in fields:
            if not has_gaps or rng.random() < 0.7:
                car[name] = rng.choice(DETAILS[name])
        cars.append(car)
    if rng.random() < 0.3:
        rng.choice(cars)["colour/~"] = "red"
    return cars


def request_list(seed: int, count: int = 30, extras: tuple[Extra, ...] = ()) -> RequestList:
    """The cars of `car_bodies` as requests."""
    found = load_columns(car_bodies(seed, count), extras)
    assert found is not None
    return found
