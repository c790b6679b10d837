"""One result for each request: an estimate, or why there is none."""

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shared.domain.errors import DomainError, ValuationFailed
from shared.domain.job import CarRequest
from shared.domain.valuation import Estimate, Extra
from shared.logging import get_logger
from shared.metrics import INFERENCE
from shared.queue.names import QueueName
from worker.shadow.comparison import ShadowEvaluator

if TYPE_CHECKING:
    from model_store.pricing.inference import LoadedModel

EstimateResult: TypeAlias = Estimate | DomainError

log = get_logger("estimation")


class ModelProvider(Protocol):
    """Gives the model that answers now."""

    def current(self) -> "LoadedModel":
        """The active version; raises `ModelNotLoaded`."""
        ...


class Estimation:
    """Asks the forest, for a whole group at once.

    Args:
        models: the loaded model.
        shadow_evaluator: tries another version on a share of the cars; None: nothing is tried.
    """

    def __init__(
        self, models: ModelProvider, shadow_evaluator: ShadowEvaluator | None = None
    ) -> None:
        self._models = models
        self._shadow_evaluator = shadow_evaluator

    def estimate(self, requests: Sequence[CarRequest]) -> list[EstimateResult]:
        """One result per request; a request that breaks the forest never harms the others."""
        if not requests:
            return []
        try:
            model = self._models.current()
        except DomainError as error:
            return [error] * len(requests)
        started = time.perf_counter()
        try:
            results: list[EstimateResult] = list(_estimate_all(model, requests))
        except Exception as error:
            log.exception("group_failed", error=str(error), cars=len(requests))
            results = [_estimate_alone(model, request) for request in requests]
        INFERENCE.labels(queue=str(QueueName.INTERACTIVE)).observe(time.perf_counter() - started)
        self._submit_sample(requests, results)
        return results

    def _submit_sample(
        self, requests: Sequence[CarRequest], results: Sequence[EstimateResult]
    ) -> None:
        """Let the shadow version try what was answered."""
        if self._shadow_evaluator is not None:
            self._shadow_evaluator.submit_sample(
                [
                    (request.car, result)
                    for request, result in zip(requests, results, strict=True)
                    if isinstance(result, Estimate)
                ]
            )


def _estimate_all(model: "LoadedModel", requests: Sequence[CarRequest]) -> list[Estimate]:
    estimates = model.estimate([request.car for request in requests])
    return [
        _with_extras(model, request, estimate) if request.extras else estimate
        for request, estimate in zip(requests, estimates, strict=True)
    ]


def _estimate_alone(model: "LoadedModel", request: CarRequest) -> EstimateResult:
    try:
        return _estimate_all(model, [request])[0]
    except Exception as error:
        log.exception("car_failed", error=str(error))
        return ValuationFailed(reason=type(error).__name__)


def _with_extras(model: "LoadedModel", request: CarRequest, estimate: Estimate) -> Estimate:
    """Add what was asked for on top of the price."""
    car = request.car
    return dataclasses.replace(
        estimate,
        explanation=model.explain(car) if Extra.CONTRIBUTIONS in request.extras else None,
        depreciation=model.depreciation(car) if Extra.DEPRECIATION in request.extras else None,
        comparables=model.comparables(car, estimate.price_mad)
        if Extra.COMPARABLES in request.extras
        else None,
    )
