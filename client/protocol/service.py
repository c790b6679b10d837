"""The protocol of questions about the service: its state, models, names and statistics."""

import dataclasses
from datetime import date
from functools import partial
from http import HTTPStatus
from typing import Literal, TypeAlias

from ..errors import CarPriceError
from ..service import (
    ModelVersion,
    PredictionStatistics,
    Readiness,
    SaleStatistics,
    Suggestion,
    UsualValues,
)
from ..valuations import read_members
from .cars import path_part
from .exchange import Answer, Exchange
from .steps import Deadline, Request, Steps

SuggestedField: TypeAlias = Literal["company", "model", "edition"]
"""Fields of a car whose values can be suggested."""


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The protocol of one service; each method gives the steps of a call."""

    exchange: Exchange

    def readiness(self, timeout: float | None) -> Steps[Readiness]:
        """Ask for every check; a service that is not ready is an answer, no failure."""
        deadline, request = Deadline.after(timeout), Request(method="GET", path="/readyz")

        def attempt() -> Steps[Answer]:
            head = yield from self.exchange.open(request, deadline)
            answer = Answer(head=head, body=(yield from self.exchange.body(deadline)))
            if head.status not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
                raise self.exchange.problem(answer)
            return answer

        return (yield from self.exchange.repeated(attempt, deadline)).read(Readiness.of)

    def models(self, timeout: float | None) -> Steps[list[ModelVersion]]:
        """List the versions, the newest first."""
        answer = yield from self._get("/models", timeout)
        return answer.read(lambda body: [ModelVersion.of(each) for each in body["models"]])

    def active_model(self, timeout: float | None) -> Steps[ModelVersion]:
        """Read the active version."""
        return (yield from self._get("/models/active", timeout)).read(ModelVersion.of)

    def model_card(self, version: str, timeout: float | None) -> Steps[str]:
        """Read a model card as Markdown."""
        path = f"/models/{path_part(version)}/card"
        answer = yield from self._get(path, timeout, accept="text/markdown")
        return answer.body.decode()

    def card_file(self, version: str, name: str, timeout: float | None) -> Steps[bytes]:
        """Read a file of a model card.

        Raises:
            CarPriceError: no file has a name of this form.
        """
        stem, point, suffix = name.rpartition(".")
        if not point or "/" in name or not path_part(stem.replace(".", "-")):
            raise CarPriceError(f"{name!r} is no name of a file of a card")
        path = f"/models/{path_part(version)}/{stem}.{path_part(suffix)}"
        return (yield from self._get(path, timeout, accept="*/*")).body

    def suggest(
        self,
        field: SuggestedField,
        text: str,
        timeout: float | None,
        *,
        company: str = "",
        model: str = "",
        limit: int | None = None,
    ) -> Steps[list[Suggestion]]:
        """Suggest values of a field."""
        given = {"q": text, "company": company, "model": model}
        params = {"field": field} | {name: value for name, value in given.items() if value}
        if limit is not None:
            params["limit"] = str(limit)
        answer = yield from self._get("/suggest", timeout, params)
        read = partial(read_members, Suggestion)
        return answer.read(lambda body: [read(each) for each in body["suggestions"]])

    def usual_values(
        self, company: str, model: str, year: int, timeout: float | None
    ) -> Steps[UsualValues]:
        """Read what is usual for a model and year."""
        params = {"company": company, "model": model, "year": str(year)}
        answer = yield from self._get("/suggest/usual", timeout, params)
        return answer.read(UsualValues.of)

    def prediction_statistics(
        self, day: date | None, timeout: float | None
    ) -> Steps[PredictionStatistics]:
        """Read the statistics of a day; of today if it is None."""
        params = {} if day is None else {"date": day.isoformat()}
        answer = yield from self._get("/predictions/stats", timeout, params)
        return answer.read(PredictionStatistics.of)

    def sale_statistics(self, timeout: float | None) -> Steps[list[SaleStatistics]]:
        """Read the accuracy of each version on reported sales."""
        answer = yield from self._get("/outcomes/stats", timeout)
        read = partial(read_members, SaleStatistics)
        return answer.read(lambda body: [read(each) for each in body["versions"]])

    def _get(
        self,
        path: str,
        timeout: float | None,
        params: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> Steps[Answer]:
        request = Request(method="GET", path=path, params=params or {}, headers={"Accept": accept})
        return (yield from self.exchange.call(request, Deadline.after(timeout)))
