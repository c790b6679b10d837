"""Records the answers of `/predict` to many cars."""

import json
from typing import Any

import httpx

from tests.behaviour import cars
from tests.behaviour.normal import Headers, Placeholders, ValueTable, digest_of
from tests.behaviour.running import Service

EXTRAS = ("contributions", "depreciation", "comparables")
SHOWN_IN_FULL = 25
"""Number of answers whose extras are recorded in full; the others' extras are digests."""
VALUED_CHARS, REFUSED_CHARS = 60, 250
"""Recorded characters of a request body; the bodies are the same in every recording."""


def record(service: Service) -> Any:
    """Record every request with its answer; values that many answers share are recorded once."""
    table = ValueTable()
    answers, extras = [], 0
    with service.client() as http:
        headers = Headers(http.get("/livez").headers.multi_items())
        for request in cars.requests():
            answer = http.post(
                f"/predict?{request.query}", content=request.body, headers=request.headers
            )
            names = Placeholders()
            body = names.value(json.loads(answer.content))
            if any(name in body for name in EXTRAS):
                extras += 1
                if extras > SHOWN_IN_FULL:
                    body = _shortened(body)
            if "model" in body:
                body["model"] = table.name(body["model"])
            is_refused = answer.status_code != httpx.codes.OK
            asked = request.body.decode("utf-8", "backslashreplace")
            answers.append({
                "query": request.query,
                "language": request.headers.get("Accept-Language"),
                "body": asked[: REFUSED_CHARS if is_refused else VALUED_CHARS],
                "status": answer.status_code,
                "headers": table.name(headers.of(answer.headers.multi_items(), names)),
                "answer": body,
            })  # fmt: skip
    return {"plain headers": headers.plain, "names": table.values, "answers": answers}


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"<{digest_of(value)}>" if name in EXTRAS and value else value
        for name, value in body.items()
    }
