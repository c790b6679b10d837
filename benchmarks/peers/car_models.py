"""Pydantic models of the car and the answer, as users of FastAPI and BentoML write them."""

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.car import (
    CarFeatures,
    Condition,
    Fuel,
    Origin,
    Owner,
    SellerType,
    Transmission,
)
from shared.domain.names import fold
from shared.domain.valuation import Estimate


class Car(BaseModel):
    """The fields that the service accepts, with the same limits; English names only."""

    company: str = Field(min_length=1, max_length=80)
    model: str = Field(min_length=1, max_length=80)
    year: int = Field(ge=1990, le=2030)
    fuel: Fuel
    transmission: Transmission
    km_driven: int = Field(ge=0, le=2_000_000)
    edition: str | None = Field(default=None, max_length=120)
    owner: Owner | None = None
    seller_type: SellerType | None = None
    mileage_mpg: float | None = Field(default=None, ge=1, le=400)
    engine_cc: float | None = Field(default=None, ge=1, le=10_000)
    max_power_bhp: float | None = Field(default=None, ge=1, le=2_000)
    torque_nm: float | None = Field(default=None, ge=1, le=3_000)
    fiscal_power_cv: int | None = Field(default=None, ge=1, le=100)
    city: str | None = Field(default=None, max_length=80)
    condition: Condition | None = None
    origin: Origin | None = None
    doors: int | None = Field(default=None, ge=1, le=9)

    def features(self) -> CarFeatures:
        """Convert to the car in normal form, as the runtime expects it."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        for name in ("company", "model", "edition", "city"):
            given[name] = fold(given[name]) if given[name] else None
        return CarFeatures(**given)


class Interval(BaseModel):
    """A prediction interval of the price."""

    low: float
    high: float
    coverage: float


class Answer(BaseModel):
    """A price with its interval."""

    model_config = ConfigDict(protected_namespaces=())

    price_mad: float
    currency: str = "MAD"
    interval: Interval
    model_version: str
    model_known: bool


def answer(estimate: Estimate) -> Answer:
    """Convert the runtime's estimate to an answer."""
    interval = estimate.interval()
    return Answer(
        price_mad=estimate.price_mad,
        interval=Interval(low=interval.low_mad, high=interval.high_mad, coverage=interval.coverage),
        model_version=estimate.model_version,
        model_known=estimate.model_known,
    )
