"""The gauges of open batches."""

import pytest

from shared.domain.batch import RowCounts
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import BatchId, CallerId
from shared.redis import keys
from shared.redis.batch_ledger.backlog import Backlog, BacklogReader
from shared.redis.batch_ledger.ledger import make_ledger
from shared.redis.connections import connect
from tests.conftest import Servers

CHUNK_ROWS = 100


def test_rows_that_are_not_done_of_batches_in_every_state(servers: Servers) -> None:
    client = connect(servers.settings.redis_url)
    client.delete(keys.OPEN_BATCHES)
    now = [5000.0]
    reader = BacklogReader(client, lambda: now[0], CHUNK_ROWS)
    assert reader.read() == Backlog(0, 0.0)
    ledger = make_ledger(client, lambda: now[0], servers.settings)
    caller = CallerId("c")
    ledger.create(BatchId("first"), now[0], caller)
    now[0] += 30
    assert reader.read() == Backlog(1, 30.0), "its number of rows is not known yet"
    ledger.create(BatchId("second"), now[0], caller)
    ledger.record_split(BatchId("first"), 3, None)
    assert reader.read().rows == 3 * CHUNK_ROWS + 1
    ledger.record_split(BatchId("first"), 3, 250)
    ledger.finish_chunk(BatchId("first"), 0, RowCounts(90, 8, 2), abort=False)
    assert reader.read().rows == 150 + 1
    client.delete(keys.OPEN_BATCHES)


def test_a_broker_that_is_down_is_reported() -> None:
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(BrokerUnavailable):
        BacklogReader(client, lambda: 0.0, CHUNK_ROWS).read()
