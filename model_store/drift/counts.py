"""Counts cars of the audit log into the bins of a training profile, in bounded memory."""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import orjson

from model_store.drift.audit_sample import DaySample
from model_store.drift.profile import PRICE_FIELD, TrainingProfile
from model_store.drift.psi import MIN_CARS, FloatArray, Psi, corrected_psi
from shared.domain.car import FIELD_NAMES

_MAX_REMEMBERED = 1_000_000
"""Descriptions of cars that are remembered to find repeated ones, about 100 MB."""


@dataclasses.dataclass(slots=True)
class FieldCounts:
    """Cars of one field, by bin."""

    weighted: FloatArray
    """(bins,)"""
    cars: int = 0
    weight: float = 0.0
    squared_weight: float = 0.0

    def add(self, counts: list[int], weight: float) -> None:
        """Add the cars of one day, each of which stands for `weight` cars."""
        many = sum(counts)
        self.weighted += weight * np.array(counts, dtype=np.float64)
        self.cars += many
        self.weight += weight * many
        self.squared_weight += weight * weight * many

    def merge(self, other: "FieldCounts") -> None:
        """Add the cars of another period."""
        self.weighted += other.weighted
        self.cars += other.cars
        self.weight += other.weight
        self.squared_weight += other.squared_weight

    @property
    def effective(self) -> float:
        """Number of equally weighted cars with the same precision (Kish)."""
        return self.weight**2 / self.squared_weight if self.squared_weight else 0.0


@dataclasses.dataclass(slots=True)
class RecordCounts:
    """Records that were read, by what became of them."""

    read: int = 0
    estimated: float = 0.0
    """Records of the log; those of sampled days by their share."""
    failed: int = 0
    """Without a price."""
    repeated: int = 0
    """Of a car that another request had described in the same way in the same period."""
    unreadable: int = 0
    sampled_days: int = 0

    def merge(self, other: "RecordCounts") -> None:
        """Add other records."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return dataclasses.asdict(self) | {"estimated": round(self.estimated)}


class PeriodCounts:
    """The cars of one period.

    A car that several requests describe in the same way counts once, so that a monitor that asks
    for one car each minute is no drift. Equal rows of one file or job are different cars.

    Args:
        profile: of the version that the cars are compared with.
        version: its id; the price is counted only of cars that this version priced.
    """

    def __init__(self, profile: TrainingProfile, version: str) -> None:
        self._profile = profile
        self._version = version
        self._first_request: dict[int, int] = {}
        self.records = RecordCounts()
        self.callers: Counter[str] = Counter()
        """Cars by caller; those of sampled days by their share."""
        self.fields = {
            name: FieldCounts(np.zeros(len(field.shares))) for name, field in profile.fields.items()
        }

    def add_day(self, sample: DaySample) -> None:
        """Count the cars of a day."""
        counts = {name: [0] * len(field.shares) for name, field in self._profile.fields.items()}
        day, callers = RecordCounts(), Counter[str]()
        for line in sample.lines():
            day.read += 1
            self._add_line(line, counts, callers, day)
        weight = sample.weight
        day.estimated, day.sampled_days = weight * day.read, int(sample.is_sample)
        for name, found in counts.items():
            self.fields[name].add(found, weight)
        for caller, cars in callers.items():
            self.callers[caller] += round(weight * cars)
        self.records.merge(day)

    def forget_requests(self) -> None:
        """Release the memory that finds repeated cars; the period is complete."""
        self._first_request.clear()

    def merge(self, other: "PeriodCounts") -> None:
        """Add the cars of another period."""
        for name, found in other.fields.items():
            self.fields[name].merge(found)
        self.callers.update(other.callers)
        self.records.merge(other.records)

    @property
    def cars(self) -> int:
        """Number of different cars that were counted."""
        records = self.records
        return records.read - records.failed - records.repeated - records.unreadable

    def psi(self, name: str) -> Psi:
        """The PSI of a field."""
        found, field = self.fields[name], self._profile.fields[name]
        return corrected_psi(
            field.shares,
            self._profile.rows,
            found.weighted,
            cars=found.cars,
            effective=found.effective,
        )

    def psi_given(self, name: str) -> Psi | None:
        """The PSI of a field among the cars that state it; None if training hardly has it."""
        found, field = self.fields[name], self._profile.fields[name]
        trained = 1.0 - field.shares[-1]
        rows = round(trained * self._profile.rows)
        if rows < MIN_CARS:
            return None
        given = found.weighted[:-1]
        share = float(given.sum() / max(found.weighted.sum(), 1e-9))
        return corrected_psi(
            [each / trained for each in field.shares[:-1]],
            rows,
            given,
            cars=round(share * found.cars),
            effective=share * found.effective,
        )

    def _add_line(
        self,
        line: bytes,
        counts: dict[str, list[int]],
        callers: Counter[str],
        day: RecordCounts,
    ) -> None:
        try:
            record = orjson.loads(line)
            price_mad, given, request = record["price_mad"], record["features"], record["id"]
            values = tuple(map(given.get, FIELD_NAMES))
            caller = str(record.get("caller", ""))
            if price_mad is None:
                day.failed += 1
                return
            if self._is_repeated(values, request):
                day.repeated += 1
                return
            fields = self._profile.fields
            bins = [
                fields[name].bin_of(value) for name, value in zip(FIELD_NAMES, values, strict=True)
            ]
            price_bin = fields[PRICE_FIELD].bin_of(float(price_mad))
            priced_by = record["model_version"]
        except (KeyError, TypeError, ValueError, AttributeError):
            day.unreadable += 1
            return
        for name, number in zip(FIELD_NAMES, bins, strict=True):
            counts[name][number] += 1
        if priced_by == self._version:
            counts[PRICE_FIELD][price_bin] += 1
        callers[caller] += 1

    def _is_repeated(self, values: tuple[Any, ...], request: str) -> bool:
        """Whether another request has described the same car."""
        own, car, known = hash(request.partition("-")[0]), hash(values), self._first_request
        if len(known) >= _MAX_REMEMBERED:
            return known.get(car, own) != own
        return known.setdefault(car, own) != own
