"""Some faults of `make faults`: mixed load, its accepted ids compared with answers and log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.environments import ENV
from benchmarks.faults.injections import FAULTS, Fault
from benchmarks.faults.run import FaultRun, describe
from benchmarks.faults.running_service import RunningService
from benchmarks.faults.work import Kind
from tests.conftest import short_folder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

QUICK = [fault for fault in FAULTS if fault.is_quick]


@pytest.fixture(scope="module")
def run(models_path: Path) -> Iterator[FaultRun]:
    with short_folder() as folder:
        service = RunningService(folder, models_path, ENV)
        service.create_keys()
        service.start()
        yield FaultRun(service, print)
        service.stop()


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_nothing_is_lost_duplicated_unrecorded_or_refused_without_a_reason(
    run: FaultRun, fault: Fault
) -> None:
    (result,) = run.carry_out([fault])
    assert result.is_well, describe(result)
    assert result.remarks == []
    assert all(result.accepted[kind] for kind in Kind)
