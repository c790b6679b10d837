"""Valuations as immutable values; `raw` is the JSON object of the answer.

A member that this release does not know is in `raw` only, and breaks nothing. Words that a newer
service may add to (verdicts, matches, warnings) are plain strings.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

Value = TypeVar("Value")


def read_members(kind: type[Value], answer: Mapping[str, Any], **given: Any) -> Value:
    """Make a dataclass of the members of a JSON object that it has fields for.

    Args:
        kind: the dataclass.
        answer: the object; a member that is missing takes the field's default.
        given: values of fields that are not members of the object, or not as they are there.

    Raises:
        TypeError: a member without a default is missing.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type] # a dataclass
    return kind(**({name: answer[name] for name in names if name in answer} | given))


def read_all(
    kind: type[Value], answers: Iterable[Mapping[str, Any]] | None
) -> tuple[Value, ...] | None:
    """`read_members` of each object; None if there is no list."""
    return None if answers is None else tuple(read_members(kind, each) for each in answers)


def moved(pointer: str, offset: int) -> str:
    """A JSON pointer into a part of a list as one into the whole list.

    Args:
        pointer: begins with the index of a car, if it is of a list.
        offset: index of the part's first car in the whole list.

    >>> moved("/3/year", 1000), moved("/year", 0)
    ('/1003/year', '/year')
    """
    index, slash, rest = pointer.removeprefix("/").partition("/")
    is_in_list = offset and index.isascii() and index.isdigit()
    return f"/{int(index) + offset}{slash}{rest}" if is_in_list else pointer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Prices between which the asking price of such a car lies with the probability `coverage`."""

    low: float
    """MAD."""
    high: float
    """MAD."""
    coverage: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Comparison of an asking price with the market."""

    asking_price_mad: float
    position: str
    """`below_market`, `fair`, `above_market`; `uncertain`: the listings do not cover the car."""
    percentile: float | None
    """Share of comparable cars that ask less, percent; None if uncertain."""
    difference_mad: float
    """Asking price minus estimate."""


@dataclasses.dataclass(frozen=True, slots=True)
class VehicleName:
    """A brand and a model in their usual spelling; both can be sent again as they are."""

    company: str
    model: str

    def __str__(self) -> str:
        return f"{self.company} {self.model}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReadCar:
    """A car as it was understood; None for a field that is not known."""

    company: str
    model: str
    year: int
    fuel: str | None = None
    transmission: str | None = None
    km_driven: int | None = None
    """Kilometres."""
    edition: str | None = None
    owner: str | None = None
    seller_type: str | None = None
    mileage_mpg: float | None = None
    engine_cc: float | None = None
    """Cubic centimetres."""
    max_power_bhp: float | None = None
    torque_nm: float | None = None
    fiscal_power_cv: int | None = None
    city: str | None = None
    condition: str | None = None
    origin: str | None = None
    doors: int | None = None

    @property
    def name(self) -> VehicleName:
        """Brand and model."""
        return VehicleName(self.company, self.model)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelIdentity:
    """The model that estimated the price, and the age of its data."""

    version: str
    basis: str | None = None
    """`asking_prices`: of listings, not of sales."""
    data_as_of: str | None = None
    """Month of the newest data, like `2026-06`."""
    data_age_months: int | None = None
    """Months from `data_as_of` to the estimate."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ValuationWarning:
    """Something that may mislead: an input without effect, a car that the data do not cover."""

    code: str
    """Like `no-effect` or `extrapolated`."""
    detail: str
    pointer: str = ""
    """JSON pointer of the field, like `/doors`; empty if the warning is about no field."""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """The signed share of the price of one field that is stated."""

    feature: str
    """Name of the field."""
    value: str | float | bool | None
    effect_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DepreciationPoint:
    """The expected price of the same car some years on, at today's price level."""

    years: int
    km_driven: int
    price_mad: float
    interval: Interval


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DepreciationPace:
    """How far the car is assumed to be driven in the coming years."""

    km_per_year: int
    basis: str
    """`own`: as the car was so far; `market`: as cars usually are."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """A typical car of the reference market: statistics of ten or more listings, not one car."""

    company: str
    model: str
    year_from: int
    year_to: int
    km_driven: int
    fuel: str
    transmission: str
    price_mad: float
    listings: int
    """Listings of the model in these years."""
    distance: float | None = None
    """0: the same in everything; at most 3."""
    alike: tuple[str, ...] = ()
    """In what it is like the car."""
    differs: tuple[str, ...] = ()
    """In what it clearly differs from the car."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A field in which a car differs from the typical one, and its signed share of the price."""

    feature: str
    """Name of the field."""
    value: str | float | None
    """Of the car; None: not stated."""
    usual: str | float | None
    """Of the typical car; None: it states none."""
    effect_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MileagePrice:
    """The price of the car if it had been driven this far."""

    km_driven: int
    price_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalCar:
    """The typical car of a model and year; its price and all effects add up to the car's price."""

    price_mad: float
    fuel: str | None = None
    transmission: str | None = None
    km_driven: int | None = None
    differences: tuple[Difference, ...] = ()
    """By decreasing size of the effect."""
    explanation: tuple[str, ...] = ()
    """The same in sentences."""
    mileages: tuple[MileagePrice, ...] = ()
    """Prices of the car at other kilometres."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Valuation:
    """The estimated price of a car."""

    id: str
    price_mad: float
    interval: Interval
    currency: str = "MAD"
    model: ModelIdentity
    model_known: bool
    """False: the car's model is not in the training data, so the interval is wider."""
    match: str
    """How brand and model relate to known names: `exact`, `alias`, `corrected`, `ambiguous` or
    `unknown`."""
    read_as: ReadCar
    suggestions: tuple[VehicleName, ...]
    """Up to three known cars that may be meant; empty if the match is exact."""
    cached: bool
    verdict: Verdict | None
    """None without an asking price."""
    warnings: tuple[ValuationWarning, ...]
    base_mad: float | None = None
    """With `contributions`: the price of an average car; base and contributions add up to the
    price."""
    contributions: tuple[Contribution, ...] | None = None
    """None if they were not asked for; so are the members below."""
    explanation: tuple[str, ...] | None = None
    """With `contributions`: the same in sentences."""
    depreciation: tuple[DepreciationPoint, ...] | None = None
    depreciation_pace: DepreciationPace | None = None
    """With `depreciation`."""
    comparables: tuple[Comparable, ...] | None = None
    """The nearest first."""
    typical: TypicalCar | None = None
    """None as well if the model is not in the data, or its listings do not cover the year."""
    raw: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def low_mad(self) -> float:
        """Lower end of the interval."""
        return self.interval.low

    @property
    def high_mad(self) -> float:
        """Upper end of the interval."""
        return self.interval.high

    @property
    def coverage(self) -> float:
        """Probability that the asking price lies between `low_mad` and `high_mad`."""
        return self.interval.coverage

    @property
    def data_as_of(self) -> str | None:
        """Month of the newest data of the model."""
        return self.model.data_as_of

    @classmethod
    def of(cls, answer: Mapping[str, Any], offset: int = 0) -> Self:
        """From the service's answer; see `moved` for `offset`."""
        pace, verdict = answer.get("depreciation_pace"), answer.get("verdict")
        sentences = answer.get("explanation")
        return read_members(
            cls,
            answer,
            interval=read_members(Interval, answer["interval"]),
            model=read_members(ModelIdentity, answer["model"]),
            read_as=read_members(ReadCar, answer["read_as"]),
            suggestions=read_all(VehicleName, answer["suggestions"]),
            verdict=None if verdict is None else read_members(Verdict, verdict),
            warnings=tuple(_warning(each, offset) for each in answer["warnings"]),
            contributions=read_all(Contribution, answer.get("contributions")),
            explanation=None if sentences is None else tuple(sentences),
            depreciation=_depreciation(answer.get("depreciation")),
            depreciation_pace=None if pace is None else read_members(DepreciationPace, pace),
            comparables=_comparables(answer.get("comparables")),
            typical=_typical(answer.get("typical")),
            raw=answer,
        )


def _warning(answer: Mapping[str, Any], offset: int) -> ValuationWarning:
    return read_members(
        ValuationWarning,
        answer,
        code=str(answer.get("code", "")),
        pointer=moved(str(answer.get("pointer") or ""), offset),
    )


def _depreciation(
    answers: Iterable[Mapping[str, Any]] | None,
) -> tuple[DepreciationPoint, ...] | None:
    if answers is None:
        return None
    return tuple(
        read_members(DepreciationPoint, each, interval=read_members(Interval, each["interval"]))
        for each in answers
    )


def _typical(answer: Mapping[str, Any] | None) -> TypicalCar | None:
    if answer is None:
        return None
    return read_members(
        TypicalCar,
        answer,
        differences=read_all(Difference, answer.get("differences")) or (),
        explanation=tuple(answer.get("explanation", ())),
        mileages=read_all(MileagePrice, answer.get("mileages")) or (),
    )


def _comparables(answers: Iterable[Mapping[str, Any]] | None) -> tuple[Comparable, ...] | None:
    if answers is None:
        return None
    return tuple(
        read_members(
            Comparable,
            each,
            alike=tuple(each.get("alike", ())),
            differs=tuple(each.get("differs", ())),
        )
        for each in answers
    )
