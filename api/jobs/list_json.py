"""The result of a list of cars as JSON, written from its columns.

The bytes are those of `serialize_valuation` for each car.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from api.valuations.schemas import serialize_valuation
from shared.domain.ids import JobId, ValuationId
from shared.domain.job import Job
from shared.domain.lists.columns import Column
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList
from shared.domain.valuation import Valuation, interval_indexes
from shared.fields.lists.json_text import json_cars, json_numbers, json_text
from shared.i18n.languages import Language
from shared.vehicles.names import display_names


class _Kind(NamedTuple):
    """What the answers for cars with the same remarks and the same notes of the model share.

    Attributes:
        before_car: the members between the interval and the car as it was read.
        after_car: the members after it; the index of the car belongs between two of these texts.
    """

    before_car: str
    after_car: Sequence[str]


class ListForm(NamedTuple):
    """In which form a list is shown.

    Attributes:
        coverage: of the price intervals.
        model: identity of the model that answered, see `ActiveVersionCache.identity`.
        language: of the warnings.
    """

    coverage: float
    model: Mapping[str, str | None]
    language: Language


class ListColumns(NamedTuple):
    """The cars of a job and their estimates.

    Attributes:
        requests: the requests.
        estimates: one for each.
    """

    requests: RequestList
    estimates: EstimateList


def list_columns(job: Job) -> ListColumns | None:
    """The columns of a succeeded job; None if it has none."""
    if isinstance(job.requests, RequestList) and isinstance(job.estimates, EstimateList):
        return ListColumns(job.requests, job.estimates)
    return None


def list_json(job_id: JobId, columns: ListColumns, form: ListForm) -> str:
    """The member `result` of a succeeded job.

    Args:
        job_id: id of the job.
        columns: its cars and their estimates.
        form: how they are shown.
    """
    requests, estimates = columns
    low, high = interval_indexes(form.coverage)
    keys = list(zip(requests.remark_numbers, estimates.note_numbers, strict=True))
    examples = dict(zip(keys, range(len(keys)), strict=True))
    kinds = {key: _kind(requests, estimates, index, form) for key, index in examples.items()}
    cells = zip(
        map(kinds.__getitem__, keys),
        json_numbers(estimates.prices_mad),
        json_numbers(estimates.quantiles_mad[low]),
        json_numbers(estimates.quantiles_mad[high]),
        json_cars(_displayed(requests.cars), len(requests)),
        _verdicts(requests, estimates),
        strict=True,
    )
    coverage = json_text(form.coverage)
    cars = [
        f'{{"id":"{job_id}-{index + 1}","price_mad":{price},"currency":"MAD",'
        f'"interval":{{"low":{lowest},"high":{highest},"coverage":{coverage}}},'
        f"{kind.before_car}{car}{str(index).join(kind.after_car)}{verdict}}}"
        for index, (kind, price, lowest, highest, car, verdict) in enumerate(cells)
    ]
    return f"[{','.join(cars)}]"


def _kind(requests: RequestList, estimates: EstimateList, index: int, form: ListForm) -> _Kind:
    """What the answers for cars like that at an index share, taken from its answer."""
    remarks = requests.remarks[requests.remark_numbers[index]]
    request = dataclasses.replace(requests[index], warnings=remarks.warnings_at(""))
    valuation = Valuation(
        id=ValuationId(""), request=request, estimate=estimates[index], cached=False
    )
    shown = serialize_valuation(valuation, form.coverage, form.model, form.language)
    before = json_text({name: shown[name] for name in ("model", "model_known")})[1:-1]
    after = json_text({name: shown[name] for name in ("match", "suggestions", "cached")})[1:-1]
    texts = [f',{after},"warnings":[']
    for number, warning in enumerate(shown["warnings"]):
        texts[-1] += ("," if number else "") + '{"pointer":"/'
        texts.append(json_text(warning).removeprefix('{"pointer":"'))
    texts[-1] += "]"
    return _Kind(f'{before},"read_as":', texts)


def _displayed(cars: Mapping[str, Column]) -> dict[str, Column]:
    """The columns of cars with the usual spelling of their names."""
    pairs = list(zip(cars["company"], cars["model"], strict=True))
    names = {pair: display_names(*pair) for pair in dict.fromkeys(pairs)}
    shown = [names[pair] for pair in pairs]
    return {
        **cars,
        "company": [company for company, _ in shown],
        "model": [model for _, model in shown],
    }


def _verdicts(requests: RequestList, estimates: EstimateList) -> Iterator[str]:
    """The member `verdict` of each car with its comma; "" for cars without an asking price."""
    if not requests.asking_prices_mad:
        return iter([""] * len(requests))
    asked = enumerate(requests.asking_prices_mad)
    return (
        "" if price is None else f',"verdict":{json_text(estimates[index].verdict(price))}'
        for index, price in asked
    )
