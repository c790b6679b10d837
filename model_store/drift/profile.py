"""The training profile of a version: the shares of binned values of each field and of the price.

It is stored as `profile.json` in the version's folder (`model_store.training.profile` makes it).
"""

import dataclasses
import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from model_store.registry.manifest import PROFILE_FILE, ModelVersion
from model_store.registry.registry import ModelRegistry
from shared.domain.errors import ModelRefused

PRICE_FIELD = "price"
"""Name of the estimated price among the fields."""
SCHEMA = 1
_GROUPED_FROM = 10_000
"""Smaller numbers, years among them, are written without a thousands separator."""
OTHER, MISSING, STATED = "(other)", "(not given)", "(given)"
"""Labels of the bins without a value of their own."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FieldProfile:
    """The bins of one field, and the share of the training data in each.

    Bins, in this order: the categories and `OTHER`, or the intervals between the edges; `MISSING`.
    """

    categories: tuple[str, ...] | None
    """Values with a bin of their own; None: the field is numeric."""
    edges: tuple[float, ...]
    """Inner edges of the intervals of a numeric field, ascending; a value equal to an edge is in
    the interval above it."""
    shares: tuple[float, ...]
    """Share of each bin, 0 to 1."""
    _index: Mapping[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: number for number, name in enumerate(self.categories or ())}
        object.__setattr__(self, "_index", index)

    @property
    def labels(self) -> list[str]:
        """A text for each bin."""
        if self.categories is not None:
            return [*self.categories, OTHER, MISSING]
        if not self.edges:
            return [STATED, MISSING]
        ends = [f"{edge:,.0f}" if edge >= _GROUPED_FROM else f"{edge:g}" for edge in self.edges]
        ranges = [f"{low} to {high}" for low, high in pairwise(ends)]
        return [f"below {ends[0]}", *ranges, f"from {ends[-1]}", MISSING]

    def bin_of(self, value: Any) -> int:
        """Number of the bin of a value in normal form; None is missing."""
        if value is None:
            return len(self.shares) - 1
        if self.categories is None:
            return bisect_right(self.edges, value)
        return self._index.get(category_name(value), len(self.categories))

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        bins: dict[str, Any] = {"edges": list(self.edges)}
        if self.categories is not None:
            bins = {"categories": list(self.categories)}
        return bins | {"shares": [round(share, 6) for share in self.shares]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild the bins.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.
        """
        names = given.get("categories")
        found = cls(
            categories=None if names is None else tuple(map(str, names)),
            edges=tuple(map(float, given.get("edges", ()))),
            shares=tuple(map(float, given["shares"])),
        )
        if len(found.labels) != len(found.shares):
            raise ValueError("bins and shares differ in number")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProfile:
    """The binned shares of a version's training data."""

    rows: int
    """Number of training listings."""
    fields: Mapping[str, FieldProfile]
    """By name of the car's field, and `PRICE_FIELD`."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        fields = {name: field.to_json() for name, field in self.fields.items()}
        return {"schema": SCHEMA, "rows": self.rows, "fields": fields}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild the profile.

        Raises:
            KeyError, TypeError, ValueError: it is damaged or of another schema.
        """
        if given["schema"] != SCHEMA:
            raise ValueError(f"its schema is {given['schema']}")
        fields = {name: FieldProfile.from_json(each) for name, each in given["fields"].items()}
        return cls(rows=int(given["rows"]), fields=fields)


def read_profile(versions_path: Path, version: str) -> TrainingProfile | None:
    """The profile of a version; None if it was trained before profiles were stored.

    Raises:
        ModelVersionNotFound: there is no such version.
        ModelRefused: the file is missing, changed or unreadable.
    """
    registry = ModelRegistry(versions_path)
    manifest: ModelVersion = registry.get(version)
    digest = manifest.files.get(PROFILE_FILE)
    if digest is None:
        return None
    try:
        content = (registry.folder(version) / PROFILE_FILE).read_bytes()
    except OSError as error:
        raise ModelRefused(version=version, reason=f"{PROFILE_FILE} is missing") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelRefused(version=version, reason=f"{PROFILE_FILE} is not what was saved")
    try:
        return TrainingProfile.from_json(json.loads(content))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{PROFILE_FILE} cannot be read ({type(error).__name__})"
        raise ModelRefused(version=version, reason=reason) from error


def category_name(value: Any) -> str:
    """The name of a category; equal numbers have equal names."""
    return value if isinstance(value, str) else f"{value:g}"
