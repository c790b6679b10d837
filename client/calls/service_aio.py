"""Calls about the service for event loops; `service` describes the arguments."""

# `timeout` is the total time of a call, with pauses and repetitions.
# ruff: noqa: ASYNC109

from datetime import date

from ..protocol.service import Service, SuggestedField
from ..service import (
    ModelVersion,
    PredictionStatistics,
    Readiness,
    SaleStatistics,
    Suggestion,
    UsualValues,
)
from .asynchronous import AsyncCalls


class AsyncServiceCalls(AsyncCalls):
    """Calls about the service."""

    _service: Service

    async def readiness(self, *, timeout: float | None = None) -> Readiness:
        """Whether the service accepts work, and which of its checks fail."""
        return await self._run(self._service.readiness(self._limit(timeout)))

    async def models(self, *, timeout: float | None = None) -> list[ModelVersion]:
        """The versions of the model, the newest first."""
        return await self._run(self._service.models(self._limit(timeout)))

    async def active_model(self, *, timeout: float | None = None) -> ModelVersion:
        """The version that estimates the prices."""
        return await self._run(self._service.active_model(self._limit(timeout)))

    async def model_card(self, version: str = "active", *, timeout: float | None = None) -> str:
        """The model card of a version as Markdown, in the language of the client if it has that."""
        return await self._run(self._service.model_card(version, self._limit(timeout)))

    async def model_card_file(
        self, name: str, version: str = "active", *, timeout: float | None = None
    ) -> bytes:
        """A file that a model card names, like a plot (`….png`) or `card.json`."""
        return await self._run(self._service.card_file(version, name, self._limit(timeout)))

    async def suggest(
        self,
        field: SuggestedField,
        text: str = "",
        *,
        company: str = "",
        model: str = "",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> list[Suggestion]:
        """Values of a field of a car that may be meant, the likeliest first."""
        steps = self._service.suggest(
            field, text, self._limit(timeout), company=company, model=model, limit=limit
        )
        return await self._run(steps)

    async def usual_values(
        self, company: str, model: str, year: int, *, timeout: float | None = None
    ) -> UsualValues:
        """Usual fuel, gearbox, fiscal power and kilometres of a model of a year."""
        limit = self._limit(timeout)
        return await self._run(self._service.usual_values(company, model, year, limit))

    async def prediction_statistics(
        self, day: date | None = None, *, timeout: float | None = None
    ) -> PredictionStatistics:
        """Number, prices and durations of your valuations of a day in UTC; of today if None."""
        limit = self._limit(timeout)
        return await self._run(self._service.prediction_statistics(day, limit))

    async def sale_statistics(self, *, timeout: float | None = None) -> list[SaleStatistics]:
        """How right the estimates were, by model version, of the sales that you reported."""
        return await self._run(self._service.sale_statistics(self._limit(timeout)))
