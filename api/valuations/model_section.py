"""What an answer says of the model: its version, and the age of its data."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from api.http.responses import described
from shared.domain.valuation import (
    CALIBRATION_HORIZON_MONTHS,
    DATA_OLD,
    Estimate,
    data_age_months,
    width_age_months,
)


class ModelSchema(Schema):
    """Which model answered, and on what data it stands."""

    version = fields.String(required=True)
    data_as_of = described(fields.String, "Newest data of the training", allow_none=True)
    basis = fields.String(required=True, metadata={"example": "asking_prices"})
    data_age_months = described(
        fields.Integer,
        "Months from data_as_of to the estimate. Intervals widen with the age of the listings "
        "that they were measured on, which can be larger; if that is beyond "
        f"{CALIBRATION_HORIZON_MONTHS}, the answer warns ({DATA_OLD})",
        allow_none=True,
    )


def dump_model(model: Mapping[str, str | None], estimate: Estimate) -> dict[str, Any]:
    """The member `model`, as `ModelSchema` documents it.

    Args:
        model: identity of the model, see `ActiveVersionCache.identity`.
        estimate: of this model.
    """
    return {**model, "data_age_months": data_age_months(model.get("data_as_of"), estimate.month)}


def data_warnings(
    model: Mapping[str, str | None], estimate: Estimate, pointer: str
) -> list[dict[str, Any]]:
    """The warning that the data are older than the horizon; empty if they are not.

    Args:
        model: see `dump_model`.
        estimate: see `dump_model`.
        pointer: JSON pointer of the car: no field of the request is the cause.
    """
    age = width_age_months(model.get("data_as_of"), estimate)
    if age is None or age <= CALIBRATION_HORIZON_MONTHS:
        return []
    return [{"pointer": pointer, "code": DATA_OLD, "months": age}]
