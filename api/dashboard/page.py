"""The page: the parts that live updates replace, and the list of work."""

import time
from collections.abc import Mapping
from typing import Any

from flask import render_template, request

from api.dashboard.access import Operator
from api.dashboard.plots import Plot, make_plot
from api.dashboard.texts import AGES, DONE, KINDS, format_rate, format_span
from api.http.context import services
from api.ops.docs_views import html_response
from api.pages.files.pages import STATES
from api.pages.language import gettext as _
from api.pages.policy import ASSETS, PAGE_CSP
from shared.domain.errors import DomainError
from shared.domain.ids import CallerId
from shared.domain.job import JobKind, JobState
from shared.operations.snapshot import Snapshot
from shared.operations.traffic import Traffic
from shared.operations.work_list import MAX_READ, FoundWork, WorkFilter

COLUMNS = (("now", "queues", "workers"), ("alerts", "traffic", "drift"))
"""What is kept up to date, as a wide screen shows it; each part has a template."""

PARTS = tuple(part for column in COLUMNS for part in column)

SHOWN = 50
MAX_CALLER_CHARS = 64


def dashboard(
    operator: Operator, *, trouble: Mapping[str, Any] | None = None, status: int = 200
) -> Any:
    """The page for an operator.

    Args:
        operator: who looks.
        trouble: title and sentences about a change that was refused.
        status: HTTP status.
    """
    snapshot = services().operations.snapshots.latest(is_fresh=trouble is not None)
    work, work_trouble = _work()
    return html_response(
        "dashboard/page.html",
        PAGE_CSP,
        status=status,
        assets=ASSETS,
        cache_control="private, no-store",
        operator=operator,
        columns=COLUMNS,
        trouble=trouble,
        done=DONE.get(request.args.get("done", "")),
        entries=work.entries,
        looked_at=MAX_READ if work.is_cut else 0,
        unreadable=work.unreadable,
        work_trouble=work_trouble,
        states=STATES,
        kinds=KINDS,
        ages=AGES,
        **part_values(snapshot),
    )


def part_values(snapshot: Snapshot) -> dict[str, Any]:
    """The variables of the parts."""
    return {"now": snapshot, "plots": _plots(snapshot.traffic), "protocols": _protocols(snapshot)}


def render_parts(snapshot: Snapshot) -> dict[str, str]:
    """The parts as HTML, by name."""
    values = part_values(snapshot)
    return {name: render_template(f"dashboard/{name}.html", **values) for name in PARTS}


def _plots(traffic: Traffic | None) -> list[Plot]:
    if traffic is None:
        return []
    rates = [(point.ago_s, point.per_s) for point in traffic.points]
    times = [(point.ago_s, point.p95_s) for point in traffic.points]
    made = (
        make_plot(_("Requests per second"), rates, format_rate, format_span),
        make_plot(_("Single cars, p95"), times, format_span, format_span),
    )
    return [plot for plot in made if plot is not None]


def _protocols(snapshot: Snapshot) -> int:
    """How many releases the live workers are of."""
    return len({each.protocol for each in snapshot.workers or () if each.is_alive})


def _work() -> tuple[FoundWork, str]:
    """The jobs and batches that the filters of the address let through, or why there are none."""
    states = [JobState(one) for one in request.args.getlist("state") if one in STATES]
    kinds = [JobKind(one) for one in request.args.getlist("kind") if one in KINDS]
    caller = request.args.get("caller", "").strip()[:MAX_CALLER_CHARS]
    age = request.args.get("age", "")
    wanted = WorkFilter(
        states=states or tuple(JobState),
        kinds=kinds or tuple(JobKind),
        caller=CallerId(caller) if caller else None,
        accepted_after=time.time() - int(age) if age and age in AGES else 0.0,
    )
    try:
        return services().operations.work().newest(wanted, SHOWN), ""
    except DomainError as error:
        return FoundWork([], is_cut=False), error.code
