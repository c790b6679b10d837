"""The request for a car's price, the estimate of the forest, and the answer made from both."""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from shared.domain.car import KM_HIGH, CarFeatures
from shared.domain.clock import month_number
from shared.domain.ids import CallerId, ValuationId
from shared.domain.outlook import Comparable, Depreciation
from shared.domain.reading import Match, VehicleName
from shared.domain.typical import TypicalCar

QUANTILE_LEVELS: tuple[float, ...] = (0.025, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975)
"""Levels of the price quantiles of an estimate; each interval is a symmetric pair of them."""

COVERAGES: tuple[float, ...] = (0.50, 0.80, 0.90, 0.95)
CALIBRATION_HORIZON_MONTHS = 12
"""Age of a model's data, in months, up to which the growth of its errors is measured. Intervals of
older data widen by a rule, and answers warn (`DATA_OLD`)."""
DATA_OLD = "data-old"
"""Code of that warning."""
PRICED_AS_DAMAGED = "unpriced"
"""Code of a warning: the condition "For parts" is priced as "Damaged"."""
NO_EFFECT = "no-effect"
"""Code of a warning: the model does not know the value, and prices the car without it."""
UNSEEN_IN_MODEL = "unseen-in-model"
"""Code of a warning: hardly any training listing of the car's model has the value."""
EXTRAPOLATED = "extrapolated"
"""Code of a warning: the training listings of the car's model do not cover the value."""
MODEL_UNKNOWN, BRAND_UNKNOWN = "model-unknown", "brand-unknown"
"""Codes of warnings: the model, or the brand as well, is not in the training data."""
DEFAULT_COVERAGE = 0.90


@lru_cache(maxsize=64)
def data_age_months(data_as_of: str | None, month: int) -> int | None:
    """Age of a model's data in months; None if it is not known.

    Args:
        data_as_of: month (YYYY-MM) whose price level the model quotes.
        month: `Estimate.month`.
    """
    if data_as_of is None or month == 0:
        return None
    return max(0, month - month_number(data_as_of))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PriceInterval:
    """The interval that contains the real price with the stated probability."""

    low_mad: float
    high_mad: float
    coverage: float


class VerdictPosition(StrEnum):
    """Position of an asking price relative to the market."""

    BELOW = "below_market"
    FAIR = "fair"
    ABOVE = "above_market"
    UNCERTAIN = "uncertain"
    """The listings do not cover the car: nothing says how its price lies to the market."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An asking price compared with the estimate."""

    asking_price_mad: float
    position: VerdictPosition
    percentile: float | None
    """Share of cars like this one, in percent (0 to 100), that ask less; None if `UNCERTAIN`."""
    difference_mad: float
    """Asking price minus estimate."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contribution:
    """One field's signed contribution to the price."""

    feature: str
    """Name of the field; `feature` on the wire."""
    value: str | int | float | None
    effect_mad: float


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions of the fields: `base_mad` plus all effects equals the price."""

    base_mad: float
    """The price of an average car that is usual in all that is not stated."""
    contributions: tuple[Contribution, ...]
    """Of the stated fields, by decreasing size."""
    averages: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Averages over the training listings by field, for comparison in words."""


def interval_of(
    quantiles_mad: Sequence[float], coverage: float = DEFAULT_COVERAGE
) -> PriceInterval:
    """The central interval with one of `COVERAGES`.

    Args:
        quantiles_mad: prices at `QUANTILE_LEVELS`.
        coverage: of the interval.

    Raises:
        ValueError: for any other coverage.
    """
    low, high = interval_indexes(coverage)
    return PriceInterval(
        low_mad=quantiles_mad[low], high_mad=quantiles_mad[high], coverage=coverage
    )


def interval_indexes(coverage: float) -> tuple[int, int]:
    """Indexes of both ends of the central interval with one of `COVERAGES` among the quantiles.

    Raises:
        ValueError: for any other coverage.
    """
    low = round((1.0 - coverage) / 2.0, 6)
    if low not in QUANTILE_LEVELS[:4]:
        raise ValueError(f"coverage must be one of {COVERAGES}, not {coverage}")
    index = QUANTILE_LEVELS.index(low)
    return index, len(QUANTILE_LEVELS) - 1 - index


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a model says about one car: all that depends on the car and the model only.

    The cache holds estimates. What depends on the rest of the request (an asking price, the
    coverage of the interval) is computed from them without the forest.
    """

    price_mad: float
    quantiles_mad: tuple[float, ...]
    """Prices at `QUANTILE_LEVELS`, not decreasing."""
    model_version: str
    model_known: bool
    """False: the car's model is not in the training data; the interval is wider."""
    explanation: Explanation | None = None
    depreciation: Depreciation | None = None
    comparables: tuple[Comparable, ...] | None = None
    unpriced: tuple[str, ...] = ()
    """Stated fields whose values the model does not know: the price is that of a car that does not
    state them. `company` is among them if the brand of an unknown model is unknown as well."""
    unseen: tuple[str, ...] = ()
    """Stated fields (fuel, gearbox) whose values hardly any training listing of the car's
    model has."""
    extrapolated: tuple[str, ...] = ()
    """Stated fields (year, kilometres, other numbers) whose values the training listings of the
    car's model do not cover."""
    typical: TypicalCar | None = None
    """None as well if the car's model and year have no typical car in the data."""
    width_age_months: int | None = None
    """Age of the data that the widths of the intervals stand for, months; None in estimates of
    earlier releases. Larger than the age of `data_as_of` if the calibration is older."""
    month: int = 0
    """Month for which the quantiles hold (`shared.domain.clock.month_number`): they widen with the
    age of the model's data. 0 in estimates of earlier releases: they do not depend on it."""

    def interval(self, coverage: float = DEFAULT_COVERAGE) -> PriceInterval:
        """The central interval with one of `COVERAGES`; raises `ValueError` for another."""
        return interval_of(self.quantiles_mad, coverage)

    def percentile(self, price_mad: float) -> float:
        """Share of cars like this one (0 to 100) that cost less, log-linear between quantiles.

        Outside the outermost quantiles it is their level.
        """
        quantiles = self.quantiles_mad
        if price_mad <= quantiles[0]:
            return round(100 * QUANTILE_LEVELS[0], 1)
        if price_mad >= quantiles[-1]:
            return round(100 * QUANTILE_LEVELS[-1], 1)
        right = bisect.bisect_right(quantiles, price_mad)
        low, high = quantiles[right - 1], quantiles[right]
        share = math.log(price_mad / low) / math.log(high / low)
        level = QUANTILE_LEVELS[right - 1]
        return round(100 * (level + share * (QUANTILE_LEVELS[right] - level)), 1)

    @property
    def can_judge(self) -> bool:
        """Whether an asking price can be compared: the listings of the car's model cover it."""
        return self.model_known and not self.extrapolated

    def verdict(self, asking_price_mad: float) -> Verdict:
        """Compare an asking price: fair inside the central 50 % interval, else below or above.

        That of a car that the listings do not cover is not compared: `UNCERTAIN`.
        """
        fair = self.interval(0.50)
        if not self.can_judge:
            position = VerdictPosition.UNCERTAIN
        elif asking_price_mad < fair.low_mad:
            position = VerdictPosition.BELOW
        elif asking_price_mad > fair.high_mad:
            position = VerdictPosition.ABOVE
        else:
            position = VerdictPosition.FAIR
        return Verdict(
            asking_price_mad=asking_price_mad,
            position=position,
            percentile=self.percentile(asking_price_mad) if self.can_judge else None,
            difference_mad=round(asking_price_mad - self.price_mad, 2),
        )

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        explanation = self.explanation and [
            self.explanation.base_mad,
            [[c.feature, c.value, c.effect_mad] for c in self.explanation.contributions],
            dict(self.explanation.averages),
        ]
        return [
            self.price_mad,
            list(self.quantiles_mad),
            self.model_version,
            self.model_known,
            explanation,
            self.depreciation and self.depreciation.to_wire(),
            None if self.comparables is None else [one.to_wire() for one in self.comparables],
            self.month,
            list(self.unpriced),
            list(self.unseen),
            self.width_age_months,
            list(self.extrapolated),
            self.typical and self.typical.to_wire(),
        ]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild the estimate from `to_wire`'s list; further values of a newer one are ignored."""
        price_mad, quantiles_mad, model_version, model_known, *extras = values
        missing: list[Any] = [None, None, None, 0, (), (), None, (), None]
        extras += missing[len(extras) :]
        explanation, depreciation, comparables, month, *rest = extras
        unpriced, unseen, width_age, extrapolated, typical, *_ = rest
        return cls(
            price_mad=price_mad,
            quantiles_mad=tuple(quantiles_mad),
            model_version=model_version,
            model_known=model_known,
            explanation=explanation and _explanation_from_wire(*explanation),
            depreciation=depreciation and Depreciation.from_wire(depreciation),
            comparables=None
            if comparables is None
            else tuple(map(Comparable.from_wire, comparables)),
            month=month,
            unpriced=tuple(unpriced),
            unseen=tuple(unseen),
            extrapolated=tuple(extrapolated),
            width_age_months=width_age,
            typical=typical and TypicalCar.from_wire(typical),
        )


def _explanation_from_wire(
    base_mad: float, contributions: list[Any], averages: Any = None, *_: Any
) -> Explanation:
    """An explanation from its wire form.

    An older one has no averages, and its effects of fields without a value belong to the base.
    """
    parts = [Contribution(*each[:3]) for each in contributions]
    unstated = sum(one.effect_mad for one in parts if one.value is None)
    return Explanation(
        round(base_mad + unstated, 2),
        tuple(one for one in parts if one.value is not None),
        averages if isinstance(averages, dict) else {},
    )


def width_age_months(data_as_of: str | None, estimate: Estimate) -> int | None:
    """Age of the data that the widths of an estimate stand for, months; None if it is not known.

    Args:
        data_as_of: see `data_age_months`, whose age counts for estimates of earlier releases.
        estimate: of the model.
    """
    if estimate.width_age_months is not None:
        return estimate.width_age_months
    return data_age_months(data_as_of, estimate.month)


@dataclasses.dataclass(frozen=True, slots=True)
class CachedEstimate:
    """An estimate found in the cache, and its remaining time to live in seconds."""

    estimate: Estimate
    ttl_s: int


class Extra(StrEnum):
    """What a caller may ask for in addition to the price."""

    CONTRIBUTIONS = "contributions"
    DEPRECIATION = "depreciation"
    COMPARABLES = "comparables"
    TYPICAL = "typical"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CarRequest:
    """A request for the valuation of one car."""

    car: CarFeatures
    asking_price_mad: float | None = None
    extras: tuple[Extra, ...] = ()
    warnings: tuple[dict[str, Any], ...] = ()
    """Warnings about ignored or unlikely values: `{"pointer", "code", ...params}`."""
    match: Match = Match.EXACT
    """How the brand and model that were given relate to those of `car`."""
    given: VehicleName | None = None
    """The folded names that were given; None if the match is exact."""
    suggestions: tuple[VehicleName, ...] = ()
    """Known names that may be meant; empty if the match is exact."""

    def match_with(self, estimate: Estimate) -> Match:
        """How the names that were given relate to known ones.

        A name that only the model knows, because its training listings have it, is exact.
        """
        is_own_name = self.match is Match.UNKNOWN and estimate.model_known
        return Match.EXACT if is_own_name else self.match

    def warnings_with(self, estimate: Estimate, pointer: str = "") -> list[dict[str, Any]]:
        """The warnings of the request, and those about what the model knows of the car.

        Args:
            estimate: of the car.
            pointer: JSON pointer of the car inside the body of the request.
        """
        found = [
            warning
            for warning in self.warnings
            if not (
                warning["code"] == PRICED_AS_DAMAGED
                and warning["pointer"].rsplit("/", 1)[-1] in estimate.unpriced
            )
        ]
        codes = {warning["code"] for warning in found}
        # The warning about a very high mileage says more.
        known = {("km_driven", EXTRAPOLATED)} if KM_HIGH in codes else set()
        if not estimate.model_known:
            found.append({"pointer": f"{pointer}/model", "code": MODEL_UNKNOWN})
            if "company" in estimate.unpriced:
                found.append({"pointer": f"{pointer}/company", "code": BRAND_UNKNOWN})
        for code, names in (
            (EXTRAPOLATED, estimate.extrapolated),
            (NO_EFFECT, estimate.unpriced),
            (UNSEEN_IN_MODEL, estimate.unseen),
        ):
            found += [
                {"pointer": f"{pointer}/{name}", "code": code}
                for name in names
                if name != "company" and (name, code) not in known
            ]
        return found

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        members: list[Any] = [self.car.to_wire(), self.asking_price_mad, list(self.extras)]
        members.append(list(self.warnings))
        if self.match is not Match.EXACT:
            given = [self.given.company, self.given.model] if self.given else None
            near = [[each.company, each.model] for each in self.suggestions]
            members += [str(self.match), given, near]
        return members

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild the request from `to_wire`'s list; further values of a newer one are ignored.

        Raises:
            ValueError: it has an extra or a category that this version does not know.
        """
        car, asking_price_mad, extras, warnings, *names = values
        match, given, near, *_ = names or (Match.EXACT, None, ())
        return cls(
            car=CarFeatures.from_wire(car),
            asking_price_mad=asking_price_mad,
            extras=tuple(Extra(extra) for extra in extras),
            warnings=tuple(warnings),
            match=Match(match),
            given=VehicleName(*given[:2]) if given else None,
            suggestions=tuple(VehicleName(*each[:2]) for each in near),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Valuation:
    """The answer to one request."""

    id: ValuationId
    request: CarRequest
    estimate: Estimate
    cached: bool
    cache_ttl_s: int = 0
    """Remaining time to live of the cached estimate, seconds."""

    @property
    def match(self) -> Match:
        """See `CarRequest.match_with`."""
        return self.request.match_with(self.estimate)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """A record of the audit log: who asked for what, when, and the answer of which model."""

    id: ValuationId
    at: float
    """Unix time of the answer, seconds."""
    caller: CallerId
    car: CarFeatures
    estimate: Estimate | None
    """None: the valuation failed, see `error`."""
    cached: bool
    response_time_ms: float
    """From the arrival of the request to this record."""
    job_id: str | None = None
    error: str | None = None
    match: Match = Match.EXACT
    given: VehicleName | None = None
    """The names that the caller gave; None if the match is exact."""
    trace: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """`trace_id` and `request_id`; empty if the request is not traced."""

    def to_json(self) -> dict[str, Any]:
        """The record as it is written to the log, without its hashes."""
        estimate = self.estimate
        interval = estimate.interval() if estimate else None
        record: dict[str, Any] = {
            "id": self.id,
            "at": self.at,
            "caller": self.caller,
            **audit_names(self.match, self.given),
            "features": self.car.to_dict(),
            "price_mad": estimate.price_mad if estimate else None,
            "low_mad": interval.low_mad if interval else None,
            "high_mad": interval.high_mad if interval else None,
            "model_version": estimate.model_version if estimate else None,
            "cached": self.cached,
            "response_time_ms": round(self.response_time_ms, 3),
            "status": "success" if estimate else "error",
        }
        if self.job_id is not None:
            record["job_id"] = self.job_id
        if self.error is not None:
            record["error"] = self.error
        record.update(self.trace)
        return record


def audit_names(match: Match, given: VehicleName | None) -> dict[str, Any]:
    """Members of an audit record that say how the names were read; none for exact names."""
    if match is Match.EXACT or given is None:
        return {}
    return {"match": str(match), "given": {"company": given.company, "model": given.model}}
