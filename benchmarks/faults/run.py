"""Carries out faults on one service, one after the other, under load."""

import time
import traceback
from collections.abc import Callable, Sequence

from benchmarks.faults.check import Checker, Result
from benchmarks.faults.injections import Fault
from benchmarks.faults.load import Load
from benchmarks.faults.running_service import NotInTimeError, RunningService, wait_until
from benchmarks.faults.work import Kind, Ledger

BEFORE_S = 2.0
"""Load before each fault."""
AFTER_S = 2.0
"""Load after each fault, at least."""
RECOVERY_TIMEOUT_S = 60.0


class FaultRun:
    """One service and all that was accepted by it.

    Args:
        service: the running service.
        say: receives a line for each fault.
    """

    def __init__(self, service: RunningService, say: Callable[[str], None]) -> None:
        self._service = service
        self._ledger = Ledger()
        self._checker = Checker(service, self._ledger)
        self._say = say

    def carry_out(self, faults: Sequence[Fault]) -> list[Result]:
        """Carry out the faults; the service is healthy before each of them."""
        return [self._one(fault) for fault in faults]

    def recheck(self) -> Result:
        """Count the records of all work again; the service may be stopped."""
        return self._checker.recheck()

    def _one(self, fault: Fault) -> Result:
        begun_at = time.monotonic()
        remarks = []
        ended_at: float | None = None
        self._ledger.fault = fault.name
        with Load(self._service.url, self._service.key, self._ledger, fault.mix):
            time.sleep(BEFORE_S)
            try:
                ended_at = fault.inject(self._service)
                time.sleep(AFTER_S)
                self._wait_for_new_work(fault, ended_at)
            except Exception as error:  # noqa: BLE001 - one fault must not end the run
                remarks.append(f"{type(error).__name__}: {error}"[:300])
                traceback.print_exc()
        try:
            self._service.wait_until_ready()
        except NotInTimeError as error:
            remarks.append(str(error))
        result = self._checker.check(fault.name, ended_at)
        result.remarks = remarks + result.remarks
        self._say(f"{time.monotonic() - begun_at:5.1f} s  {describe(result)}")
        return result

    def _wait_for_new_work(self, fault: Fault, ended_at: float) -> None:
        """Wait until work of each kind has been accepted after the fault."""
        callers = fault.mix.callers
        kinds = {
            kind for kind, caller in ((Kind.JOB, "job"), (Kind.BATCH, "batch")) if caller in callers
        }

        def accepted_all() -> bool:
            latest = self._ledger.works[-2_000:]
            answered = self._ledger.answered[-100:]
            is_answered = any(start > ended_at for start, _ in answered)
            return (is_answered or "single" not in callers) and kinds <= {
                work.kind for work in latest if work.accepted_at > ended_at
            }

        wait_until(accepted_all, RECOVERY_TIMEOUT_S, "new work of each kind is accepted")


def describe(result: Result) -> str:
    """One line about a result."""
    times = "/".join(
        "-" if one is None else f"{one:.1f}" for one in (result.car_s, result.job_s, result.batch_s)
    )
    verdict = "well" if result.is_well and not result.remarks else "NOT WELL"
    return (
        f"{verdict}: {result.fault}: {result.accepted}, lost {result.lost}, duplicated "
        f"{result.duplicated}, unrecorded {result.unrecorded}, wrong {result.wrong}, "
        f"unclear {result.unclear}, "
        f"recovery {times} s {result.refusals} {result.remarks}"
    )
