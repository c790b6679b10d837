"""The table of a fault run."""

from collections.abc import Sequence

from benchmarks.faults.check import Result
from benchmarks.faults.work import Kind

TARGETS_S = {"cars": 5.0, "jobs": 10.0, "batches": 10.0}


def markdown(results: Sequence[Result], *, machine: str, other_load: str, command: str) -> str:
    """The results as Markdown."""
    works = sum(sum(result.accepted.values()) for result in results)
    items = sum(result.items for result in results)
    wrong = [result.fault for result in results if not result.is_well or result.remarks]
    return (
        "# Faults\n\n"
        f"`{command}` on {machine}; {other_load}\n\n"
        f"- Accepted: {works:,} pieces of work with {items:,} cars and rows "
        f"({_total(results, Kind.JOB) + _total(results, Kind.LIST):,} jobs, "
        f"{_total(results, Kind.BATCH):,} batches).\n"
        f"- Lost {_sum(results, 'lost'):,}, duplicated {_sum(results, 'duplicated'):,}, unrecorded "
        f"{_sum(results, 'unrecorded'):,}, answered otherwise than recorded "
        f"{_sum(results, 'wrong'):,}; refused without a true reason "
        f"{sum(sum(result.unclear.values()) for result in results):,}.\n"
        f"- Not as promised: {', '.join(wrong) or 'nothing'}.\n"
        f"- Later than the targets: {', '.join(filter(None, map(_late, results))) or 'nothing'}."
        "\n\n"
        "Accepted: what the service answered 200, 201 or 202, with an id that was then compared: "
        "each car and each row must have its answer, and exactly one audit record; a submission "
        "that was repeated with its Idempotency-Key must not be valued twice. Refused: requests "
        "meanwhile that were refused with a reason, or met a closed port. Recovery: seconds from "
        "the end of the fault, or of the killed process, until a new car was answered and none was "
        "refused any more; until all jobs (batches) that were open then, and the first one after "
        "it, had ended. "
        f"Targets: {TARGETS_S['cars']:g} s for cars, {TARGETS_S['jobs']:g} s for jobs and batches. "
        "A busy machine starts processes slowly: the times are upper limits, the counts are "
        "not.\n\n"
        "| fault | cars | jobs | lists | batches | sale reports | lost | duplicated | unrecorded "
        "| wrong | refused | unclear | cars s | jobs s | batches s | remarks |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        + "".join(map(_row, results))
    )


def _row(result: Result) -> str:
    kinds = (Kind.CAR, Kind.JOB, Kind.LIST, Kind.BATCH, Kind.SALE)
    counts = " | ".join(f"{result.accepted.get(kind, 0):,}" for kind in kinds)
    refused = sum(result.refusals.values())
    times = " | ".join(
        "" if seconds is None else f"{seconds:.1f}"
        for seconds in (result.car_s, result.job_s, result.batch_s)
    )
    unclear = ", ".join(f"{name} ({count})" for name, count in result.unclear.items())
    remarks = "; ".join(result.remarks).replace("|", "/").replace("\n", " ")
    return (
        f"| {result.fault} | {counts} | {result.lost} | {result.duplicated} "
        f"| {result.unrecorded} | {result.wrong} | {refused:,} | {unclear} | {times} "
        f"| {remarks} |\n"
    )


def _late(result: Result) -> str:
    """The fault with its recovery times that miss a target; empty if none does."""
    times = zip(TARGETS_S.items(), (result.car_s, result.job_s, result.batch_s), strict=True)
    late = [f"{kind} {took:.1f} s" for (kind, limit), took in times if took and took > limit]
    return f"{result.fault} ({', '.join(late)})" if late else ""


def _total(results: Sequence[Result], kind: Kind) -> int:
    return sum(result.accepted.get(kind, 0) for result in results)


def _sum(results: Sequence[Result], name: str) -> int:
    return sum(getattr(result, name) for result in results)
