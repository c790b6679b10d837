"""Answers of the service as immutable values; `raw` is the JSON object of the answer."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

TERMINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def _members(kind: Any, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a JSON object that are fields of the dataclass `kind`."""
    return {field.name: answer[field.name] for field in dataclasses.fields(kind)}


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

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer; members that this client does not know are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in answer.items() if name in names})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Valuation:
    """The estimated price of a car."""

    id: str
    price_mad: float
    low_mad: float
    high_mad: float
    coverage: float
    """Probability that the real price lies between `low_mad` and `high_mad`."""
    model_version: str
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
    warnings: tuple[str, ...]
    raw: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        interval, verdict = answer["interval"], answer.get("verdict")
        given = {
            **answer,
            "low_mad": interval["low"],
            "high_mad": interval["high"],
            "coverage": interval["coverage"],
            "model_version": answer["model"]["version"],
            "read_as": ReadCar.of(answer["read_as"]),
            "suggestions": tuple(
                VehicleName(each["company"], each["model"]) for each in answer["suggestions"]
            ),
            "verdict": verdict and Verdict(**_members(Verdict, verdict)),
            "warnings": tuple(
                f"{each['pointer']}: {each['detail']}" if each["pointer"] else each["detail"]
                for each in answer["warnings"]
            ),
            "raw": answer,
        }
        return cls(**_members(cls, given))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Stateful:
    id: str
    state: str

    @property
    def has_ended(self) -> bool:
        """Whether the state is terminal."""
        return self.state in TERMINAL_STATES


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job(_Stateful):
    """An asynchronous valuation of one car or of a list of cars."""

    valuations: tuple[Valuation, ...]
    """In the order of the request, once the job has succeeded."""
    error: str | None
    raw: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        result = answer.get("result") or []
        return cls(
            id=answer["id"],
            state=answer["state"],
            valuations=tuple(
                Valuation.of(each) for each in (result if isinstance(result, list) else [result])
            ),
            error=answer["error"]["detail"] if answer.get("error") else None,
            raw=answer,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A remark on a file or on its rows that is no error."""

    code: str
    field: str | None
    column: str | None
    """The file's column of the field."""
    count: int | None
    """Number of rows that it is about, at the end of the batch."""
    examples: tuple[str, ...]
    """Up to three texts of the file."""
    detail: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        return cls(**_members(cls, {**answer, "examples": tuple(answer["examples"])}))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch(_Stateful):
    """The processing of an uploaded file."""

    outcome: str | None
    """`complete`, `with_errors`, `partial`, `aborted`, `cancelled` or `dry_run`."""
    total: int | None
    """Rows of the file; None until it has been read completely."""
    done: int
    valid: int
    invalid: int
    failed: int
    rows_per_second: float | None
    eta_s: float | None
    sha256: str
    notices: tuple[Notice, ...]
    """What was assumed of the file, and at the end what was ignored or read otherwise, counted."""
    error: str | None
    """Why it ended early, then a line for each fault of the file."""
    raw: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        given = {
            **answer,
            **answer["counts"],
            "sha256": answer["input"]["sha256"],
            "notices": tuple(map(Notice.of, answer["input"]["notices"])),
            "error": _error_text(answer.get("error")),
            "raw": answer,
        }
        return cls(**_members(cls, given))


def _error_text(error: Mapping[str, Any] | None) -> str | None:
    if not error:
        return None
    faults = [f"  {fault['detail']}" for fault in error.get("errors") or ()]
    return "\n".join([error["detail"], *faults])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """A violated rule in a row of a file."""

    line: int
    row_key: str | None
    column: str | None
    value: str | None
    code: str
    message: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From a line of the error report."""
        return cls(**_members(cls, answer))
