"""A step of a batch that a full disk interrupts is postponed once the ledger can be written."""

from typing import Any

import pytest

from shared.domain.errors import BrokerNotWritable, BrokerUnavailable
from shared.domain.ids import BatchId
from worker.batches import steps
from worker.batches.steps import step_attempt

BATCH = BatchId("01m8ktnyrhgf42k3sfxqss5d7r")


class FullLedger:
    """A ledger whose disk is full for the first calls."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.postponed: list[bool] = []

    def begin(self, *_: Any) -> str:
        return "attempt"

    def postpone(self, *_: Any, count_attempt: bool) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BrokerNotWritable(reason="MISCONF")
        self.postponed.append(count_attempt)


def write_on_full_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "OUTAGE_POLL_S", 0.0)


def test_a_full_disk_postpones_the_step_when_there_is_space_without_an_attempt() -> None:
    ledger: Any = FullLedger(3)
    with step_attempt(ledger, BATCH, "split"):
        write_on_full_disk()
    assert ledger.postponed == [False]


def test_a_ledger_without_space_postpones_the_step_too_and_the_error_is_raised() -> None:
    ledger: Any = FullLedger(3)
    with pytest.raises(BrokerNotWritable), step_attempt(ledger, BATCH, "split"):
        raise BrokerNotWritable(reason="MISCONF")
    assert ledger.postponed == [False]


def test_a_step_that_the_broker_interrupted_is_postponed_when_the_broker_answers() -> None:
    ledger: Any = FullLedger(3)
    with pytest.raises(BrokerUnavailable), step_attempt(ledger, BATCH, "split"):
        raise BrokerUnavailable(reason="no answer")
    assert ledger.postponed == [False]


def test_a_step_that_could_not_begin_is_postponed_when_the_broker_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger: Any = FullLedger(3)

    def refuse(*_: Any) -> str:
        raise BrokerUnavailable(reason="no answer")

    monkeypatch.setattr(ledger, "begin", refuse)
    with pytest.raises(BrokerUnavailable), step_attempt(ledger, BATCH, "split"):
        pytest.fail("it has not begun")
    assert ledger.postponed == [False]


def test_the_wait_for_space_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "OUTAGE_WAIT_S", 0.0)
    ledger: Any = FullLedger(10_000)
    with pytest.raises(BrokerNotWritable), step_attempt(ledger, BATCH, "split"):
        raise OSError(28, "No space left on device")
