"""How a car's brand and model were read: the canonical names and how certain they are."""

from dataclasses import dataclass
from enum import StrEnum

MAX_SUGGESTIONS = 3


class Match(StrEnum):
    """How the written brand and model led to the names of the reading."""

    EXACT = "exact"
    """Both are known names; case, accents, spaces and punctuation do not count."""
    ALIAS = "alias"
    """Another known name of the same car, or a known name followed by words of the version."""
    CORRECTED = "corrected"
    """One known name differs by a slip of the pen, or one part of the name was found elsewhere."""
    AMBIGUOUS = "ambiguous"
    """Several known names are near, or the text contradicts itself; nothing was corrected."""
    UNKNOWN = "unknown"
    """No known name is near."""


@dataclass(frozen=True, slots=True)
class VehicleName:
    """Canonical names of a brand and a model: lower case, without accents and punctuation."""

    company: str
    model: str


@dataclass(frozen=True, slots=True)
class NameReading:
    """What was understood of a written brand and model."""

    company: str
    """Canonical name; an unknown brand keeps the name as written."""
    model: str
    """Canonical name; as written if unknown, the part that is certain if ambiguous."""
    match: Match
    suggestions: tuple[VehicleName, ...] = ()
    """Other cars that may be meant, likeliest first; at most `MAX_SUGGESTIONS`."""


class NamesMissing(ValueError):
    """No brand, or no model, is given.

    Args:
        field: `company` or `model`.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"no {field} is given")
        self.field = field
