"""Check of stops: the APIs are stopped and started in turn behind a proxy."""

import shutil
import time
from functools import partial

from benchmarks.cluster.run import Run
from benchmarks.faults.load import car
from tests.conftest import wait_until
from tests.rolling_load import Callers, is_ready, running_proxy

TIMEOUT_S = 60.0
ANSWERS = 50
NOTICE_S = 3.0
"""The proxy counts two answers before it uses an API again."""


def check_rolling_stop(run: Run) -> None:
    """SIGTERM both APIs in turn, with callers behind HAProxy."""
    name, goal = "both APIs are stopped in turn behind HAProxy", "0 errors"
    if shutil.which("haproxy") is None:
        run.table.leave_out(name, goal, "no haproxy here")
        return
    apis = run.cluster.apis
    with (
        running_proxy(run.cluster.folder, [api.address for api in apis]) as url,
        Callers(url, car(1), apis[0].headers) as callers,
    ):
        codes = []
        for api in apis:
            _await_answers(callers)
            codes.append(api.terminate("api"))
            _await_answers(callers)
            api.start("api")
            wait_until(partial(is_ready, api.url), TIMEOUT_S, "the API is back")
            time.sleep(NOTICE_S)
    run.table.add(
        name,
        goal,
        f"{sum(callers.errors.values())} of {callers.answers.total():,} answers are errors "
        f"{callers.errors or ''}; exit codes {codes}",
        is_kept=not callers.errors and codes == [0, 0],
    )


def _await_answers(callers: Callers) -> None:
    before = callers.answers.total()
    wait_until(lambda: callers.answers.total() > before + ANSWERS, TIMEOUT_S, "answers")
