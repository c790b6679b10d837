"""What `/predict` answers to each of the questions."""

import json
from typing import Any

import httpx

from tests.behaviour import cars
from tests.behaviour.normal import Headers, Names, Table, digest_of
from tests.behaviour.running import Service

EXTRAS = ("contributions", "depreciation", "comparables")
SHOWN_IN_FULL = 25
"""Answers whose extras are kept as they are; of all others there is a digest."""
VALUED_SIGNS, REFUSED_SIGNS = 60, 250
"""So much of a question is shown: it is the same in every recording."""


def record(service: Service) -> Any:
    """Every question with its answer; what is the same in most of them is told once."""
    table = Table()
    answers, extras = [], 0
    with service.client() as http:
        told = Headers(http.get("/livez").headers.multi_items())
        for question in cars.questions():
            answer = http.post(
                f"/predict?{question.query}", content=question.body, headers=question.headers
            )
            names = Names()
            body = names.value(json.loads(answer.content))
            if any(name in body for name in EXTRAS):
                extras += 1
                if extras > SHOWN_IN_FULL:
                    body = _shortened(body)
            if "model" in body:
                body["model"] = table.name(body["model"])
            is_refused = answer.status_code != httpx.codes.OK
            asked = question.body.decode("utf-8", "backslashreplace")
            answers.append({
                "query": question.query,
                "language": question.headers.get("Accept-Language"),
                "body": asked[: REFUSED_SIGNS if is_refused else VALUED_SIGNS],
                "status": answer.status_code,
                "headers": table.name(told.of(answer.headers.multi_items(), names)),
                "answer": body,
            })  # fmt: skip
    return {"plain headers": told.plain, "names": table.values, "answers": answers}


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"<{digest_of(value)}>" if name in EXTRAS and value else value
        for name, value in body.items()
    }
