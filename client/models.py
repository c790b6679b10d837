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
    """`below_market`, `fair` or `above_market`."""
    percentile: float
    """Share of comparable cars that ask less, percent."""
    difference_mad: float
    """Asking price minus estimate."""


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
            "verdict": verdict and Verdict(**_members(Verdict, verdict)),
            "warnings": tuple(
                f"{each['pointer']}: {each['detail']}" for each in answer["warnings"]
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
    error: str | None
    raw: Mapping[str, Any] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the service's answer."""
        given = {
            **answer,
            **answer["counts"],
            "sha256": answer["input"]["sha256"],
            "error": answer["error"]["detail"] if answer.get("error") else None,
            "raw": answer,
        }
        return cls(**_members(cls, given))


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
