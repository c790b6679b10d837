"""Uploads a file to a running service and collects everything that it says about it."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.conftest import Service, wait_until

ENGLISH = {"Accept-Language": "en"}
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An ended batch with its results."""

    batch: dict[str, Any]
    rows: list[dict[str, Any]]
    """The results as NDJSON, in the file's order.

    The service's own columns have their usual names, also if the file has a column of such a name.
    """
    features: list[dict[str, Any] | None]
    """Per row the car that was valued, as the audit log records it; None for a rejected row."""

    @property
    def notices(self) -> list[dict[str, Any]]:
        return self.batch["input"]["notices"]

    @property
    def said(self) -> str:
        """Codes, fields and sentences of all notices, in lower case."""
        return "\n".join(
            f"{each['code']} {each['field']} {each['detail']}" for each in self.notices
        ).lower()

    @property
    def statuses(self) -> list[str]:
        return [row["row_status"] for row in self.rows]

    @property
    def names(self) -> list[str]:
        return [row["read_as"] for row in self.rows]

    @property
    def prices(self) -> list[float | None]:
        return [row["price_mad"] for row in self.rows]

    @property
    def asking_prices(self) -> list[int | None]:
        """The asking prices that were read, which the results state only by the difference."""
        return [
            None
            if row.get("difference_mad") is None
            else round(row["price_mad"] + row["difference_mad"])
            for row in self.rows
        ]

    def values(self, field: str) -> list[Any]:
        return [None if car is None else car.get(field) for car in self.features]

    def noticed(self, field: str) -> bool:
        """Whether a notice is about a field."""
        return any(each["field"] == field for each in self.notices)


def post_file(
    http: httpx.Client,
    name: str,
    content: bytes,
    media_type: str = "text/csv",
    **params: str,
) -> httpx.Response:
    """Upload a file in a form, as browsers do."""
    return http.post(
        "/batches", files={"file": (name, content, media_type)}, params=params, headers=ENGLISH
    )


def value_file(
    service: Service, name: str, content: bytes, media_type: str = "text/csv", **params: str
) -> Outcome:
    """Upload a file that must be accepted and valued."""
    with service.client() as http:
        answer = post_file(http, name, content, media_type, **params)
        return outcome_of(service, http, answer)


def outcome_of(service: Service, http: httpx.Client, answer: httpx.Response) -> Outcome:
    """Wait for the batch of an accepted upload and download its results."""
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    batch = ended(http, answer.json()["id"])
    assert batch["state"] == "SUCCEEDED", batch.get("error")
    rows = results(http, batch)
    records = iter(audit_features(service, batch["id"]))
    features = [next(records) if row["row_status"] == "valued" else None for row in rows]
    assert next(records, None) is None
    return Outcome(batch=batch, rows=rows, features=features)


def ended(http: httpx.Client, batch_id: str) -> dict[str, Any]:
    """Wait for the end of a batch."""

    def batch() -> dict[str, Any] | None:
        params = {"wait": 10}
        found = http.get(f"/batches/{batch_id}", params=params, headers=ENGLISH).json()
        return found if found["state"] in ENDED else None

    return wait_until(batch, 120.0, "the batch ends")


def results(http: httpx.Client, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Download the results as NDJSON, which the service writes on the first request."""

    def lines() -> httpx.Response | None:
        answer = http.get(batch["links"]["results"], params={"format": "ndjson"})
        return None if answer.status_code == httpx.codes.CONFLICT else answer

    answer = wait_until(lines, 60.0, "the results are written as NDJSON")
    assert answer.status_code == httpx.codes.OK, answer.text
    return [usual_names(json.loads(line)) for line in answer.text.split("\n") if line]


def usual_names(row: dict[str, Any]) -> dict[str, Any]:
    """A row of results in which the service's columns replace the file's of the same name."""
    ours = {
        name.removeprefix("carprice_"): value
        for name, value in row.items()
        if name.startswith("carprice_")
    }
    return row | ours


def audit_features(service: Service, batch_id: str) -> list[dict[str, Any]]:
    """The cars that a batch valued, in the order of its rows."""
    paths = (service.home / "audit").glob(f"*batch-{batch_id}-*.jsonl")
    by_chunk = sorted(paths, key=lambda path: int(path.stem.rsplit("-", 1)[-1]))
    records = [json.loads(line) for path in by_chunk for line in path.read_text().splitlines()]
    return [record["features"] for record in records]


def fold(text: str | None) -> str:
    """Letters and digits of a text without accents: names that differ in no more are the same."""
    decomposed = unicodedata.normalize("NFKD", (text or "").casefold())
    return "".join(character for character in decomposed if character.isalnum())
