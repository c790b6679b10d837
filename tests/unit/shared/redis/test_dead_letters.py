"""The list of dead letters."""

import pytest

from shared.domain.errors import UnreadableRecord
from shared.domain.ids import CallerId, new_id
from shared.redis import keys
from shared.redis.dead_letters import DeadKind, DeadLetter, DeadLetters
from tests.conftest import Servers


def test_an_entry_of_another_version_does_not_hide_the_others(servers: Servers) -> None:
    letters = DeadLetters(servers.broker, lambda: 1_790_000_000.0)
    ids = [new_id(), new_id()]
    for work_id in ids:
        letters.add(
            DeadLetter(
                kind=DeadKind.JOB, work_id=work_id, caller=CallerId("me"), reason="worker-lost",
                attempts=3, failed_at=1_790_000_000.0,
            )
        )  # fmt: skip
    servers.broker.hset(keys.dead_letter(ids[0]), "kind", "of a later release")
    assert [letter.work_id for letter in letters.all()] == [ids[1]]
    with pytest.raises(UnreadableRecord):
        letters.get(ids[0])
