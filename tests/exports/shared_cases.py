"""The folder of awkward inputs beside the repository, which some machines lack."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Service
from tests.exports.uploads import ENGLISH, Outcome, value_file

SHARED = Path(os.environ.get("CARPRICE_SHARED") or ROOT.parent / "shared")
CASES = SHARED / "cases"
needs_cases = pytest.mark.skipif(
    not CASES.is_dir(),
    reason=f"no folder {CASES}; CARPRICE_SHARED names the folder that has one called cases",
)


def content_of(case: str) -> bytes:
    """The bytes of a file, by its path below the folder of cases."""
    return (CASES / case).read_bytes()


LOGAN = "Dacia Logan"
CLIO = "Renault Clio"


def value_case(service: Service, case: str, **params: str) -> Outcome:
    """Upload a file that must be accepted."""
    return value_file(service, case.rsplit("/", 1)[-1], content_of(case), **params)


def assert_valued(outcome: Outcome, *names: str) -> None:
    """Every row is valued as the car of the same place."""
    reasons = [row["row_error"] for row in outcome.rows]
    assert outcome.statuses == ["valued"] * len(names), reasons
    assert outcome.names == list(names)


def predict(http: httpx.Client, car: dict[str, Any]) -> dict[str, Any]:
    answer = http.post("/predict", json=car, headers=ENGLISH)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()
