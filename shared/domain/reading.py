"""What was understood of a car's brand and model."""

import dataclasses
from enum import StrEnum


class Match(StrEnum):
    """How the names that were given relate to the names that are known."""

    EXACT = "exact"
    ALIAS = "alias"
    """Another usual name or spelling of the same model, or words of a trim after it."""
    CORRECTED = "corrected"
    """A slip of the pen; only one known name is near."""
    AMBIGUOUS = "ambiguous"
    """Several known names are near, or none is near enough: nothing is assumed."""
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class VehicleName:
    """A brand and one of its models, folded: `("dacia", "logan")`."""

    company: str
    model: str


@dataclasses.dataclass(frozen=True, slots=True)
class NameReading:
    """The brand and model that were understood, folded."""

    company: str
    model: str
    match: Match
    suggestions: tuple[VehicleName, ...] = ()
    """At most three known names that may be meant, the likeliest first; empty if exact."""
