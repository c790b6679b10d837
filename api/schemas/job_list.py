"""Which jobs a caller wants to see."""

import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from api.services.listing import ListFilter
from shared.domain.ids import is_id
from shared.domain.job import JobKind, JobState

PAGE_DEFAULT, PAGE_MAX = 20, 100
_UNESCAPED_PLUS = re.compile(r"(T.*) (\d\d:?\d\d)$")
"""The plus of a time zone, which is a blank where nobody escaped it."""


class TimeField(fields.String):
    """A day or a moment, as Unix time; UTC where no time zone is given."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        try:
            moment = datetime.fromisoformat(_UNESCAPED_PLUS.sub(r"\1+\2", text))
        except ValueError:
            raise ValidationError("2026-11-22, 2026-11-22T08:30:00Z") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class CursorField(fields.String):
    """Where a page begins, as the page before has said it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options) or ""
        if not is_id(text):
            raise ValidationError("next_cursor")
        return text


class JobListQuery(Schema):
    """Query parameters of the list."""

    class Meta:
        unknown = RAISE
        include = {  # noqa: RUF012 - marshmallow declares it so; `from` is no name in Python
            "from": TimeField(
                load_default=0.0,
                metadata={
                    "description": "Handed in then or later; a day, or a moment (RFC 3339).",
                    "example": "2026-11-22",
                    "default": "",
                },
            ),
            "to": TimeField(
                load_default=float("inf"),
                metadata={
                    "description": "Handed in before; as `from`.",
                    "example": "2026-11-23T08:30:00Z",
                    "default": "",
                },
            ),
        }

    state = fields.String(
        validate=validate.OneOf(tuple(JobState), error=", ".join(JobState)),
        metadata={"enum": list(JobState)},
    )
    kind = fields.String(
        validate=validate.OneOf(tuple(JobKind), error=", ".join(JobKind)),
        metadata={"enum": list(JobKind)},
    )
    idempotency_key = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=200, error="1-200 characters"),
        metadata={"description": "What was accepted under this `Idempotency-Key` (24 h)."},
    )
    cursor = CursorField(
        load_default=None, metadata={"description": "`next_cursor` of the page before."}
    )
    limit = fields.Integer(
        load_default=PAGE_DEFAULT,
        validate=validate.Range(min=1, max=PAGE_MAX, error=f"1-{PAGE_MAX}"),
        error_messages={"invalid": f"1-{PAGE_MAX}"},
        metadata={"description": "Most entries of a page."},
    )


def load_filter(query: dict[str, Any]) -> ListFilter:
    """Which entries a query asks for."""
    return ListFilter(
        kinds=(JobKind(query["kind"]),) if "kind" in query else tuple(JobKind),
        states=(JobState(query["state"]),) if "state" in query else tuple(JobState),
        created_from=query["from"],
        created_to=query["to"],
        idempotency_key=query["idempotency_key"],
    )
