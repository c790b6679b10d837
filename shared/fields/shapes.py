"""Explains bodies that describe cars in another shape, or under other names of the fields.

Such a body must not be read as a car that lacks the fields: a missing field may be optional, and
the price would then be that of another car.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from shared.domain.errors import FieldProblem
from shared.domain.names import fold, fold_script
from shared.fields.car import CAR_FIELDS

CORE_FIELDS = frozenset({"company", "model", "year", "fuel", "transmission", "km_driven"})
"""The fields on which a price depends most."""

MAX_MEMBERS = 20
"""Unknown members of a body that are examined; a slip takes 0.1 ms to find."""
NAME_MAX_CHARS = 60
CLOSE_MATCH = 0.85
"""Similarity (`difflib`) from which a name counts as a slip of another."""
CLOSE_MATCH_MIN_CHARS = 4


def _key(name: str) -> str:
    """A name without case, accents and separators: "KM_Driven" and "kmDriven" are the same."""
    return (fold(name) or fold_script(name)).replace(" ", "")


_FIELD_BY_KEY: dict[str, str] = {"mileage": "km_driven"} | {
    _key(each): name for name, field in CAR_FIELDS.items() for each in (name, *field.names)
}
_CORE_KEYS = [key for key, name in _FIELD_BY_KEY.items() if name in CORE_FIELDS]


def named_field(name: str) -> str | None:
    """The field that has this name in another spelling; None if there is none."""
    return _FIELD_BY_KEY.get(_key(name[:NAME_MAX_CHARS]))


def _meant_field(name: str) -> str | None:
    """As `named_field`, also for slips in the names of `CORE_FIELDS`."""
    key = _key(name[:NAME_MAX_CHARS])
    if key in _FIELD_BY_KEY or len(key) < CLOSE_MATCH_MIN_CHARS:
        return _FIELD_BY_KEY.get(key)
    close = get_close_matches(key, _CORE_KEYS, n=1, cutoff=CLOSE_MATCH)
    return _FIELD_BY_KEY[close[0]] if close else None


def shape_problems(body: Mapping[str, Any], pointer: str) -> list[FieldProblem]:
    """Why an object that lacks some of `CORE_FIELDS` is not a car as it stands; empty if it may be.

    Args:
        body: the object.
        pointer: JSON pointer of the object inside the whole document.
    """
    unknown = [name for name in body if name not in CAR_FIELDS][:MAX_MEMBERS]
    missing = {name for name in CORE_FIELDS if body.get(name) is None}
    meant = {name: field for name in unknown if (field := _meant_field(name)) and field in missing}
    if not meant:
        return _wrapper_problems(body, unknown, pointer)
    problems = [
        FieldProblem(member_pointer(pointer, name), "misnamed-member", expected=field)
        for name, field in meant.items()
    ]
    found = set(meant.values())
    return problems + [
        FieldProblem(f"{pointer}/{name}", "required", field=name)
        for name, field in CAR_FIELDS.items()
        if field.required and name in missing - found
    ]


def _wrapper_problems(
    body: Mapping[str, Any], unknown: list[str], pointer: str
) -> list[FieldProblem]:
    """The problem of an object around cars, like `{"instances": [{…}]}`."""
    if any(name in body for name in CORE_FIELDS):
        return []
    for name in sorted(unknown, key=lambda name: not isinstance(body[name], list)):
        if _holds_cars(body[name]):
            return [FieldProblem(member_pointer(pointer, name), "wrapped-cars")]
    return []


def _holds_cars(value: Any) -> bool:
    """Whether a value is an object or a list of objects or rows."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict | list)
    return isinstance(value, dict) and bool(value)


def member_pointer(pointer: str, name: str) -> str:
    """The JSON pointer (RFC 6901) of a member of an object, the name shortened.

    >>> member_pointer("/0", "a/b~c")
    '/0/a~1b~0c'
    """
    return f"{pointer}/{shorten(name).replace('~', '~0').replace('/', '~1')}"


def shorten(name: str) -> str:
    """A member's name, cut to `NAME_MAX_CHARS` characters."""
    return name if len(name) <= NAME_MAX_CHARS else name[: NAME_MAX_CHARS - 1] + "…"
