"""What the batches of a caller take up."""

from shared.domain.ids import CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors


class CallerBatches:
    """Counts the batches of a caller.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def count_open(self, caller: CallerId) -> int:
        """The batches that have not ended; `BrokerUnavailable` if the broker does not answer."""
        with broker_errors():
            return len(self._client.zinter([keys.batches_by_caller(caller), keys.OPEN_BATCHES]))

    def stored_bytes(self, caller: CallerId) -> int:
        """What they take up in the blob store, as last recorded.

        An open batch counts with its file. What is lost with the broker's data, or missing since
        an update, is recorded by the next scan of the sweep.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            return sum(map(int, self._client.hvals(keys.batch_bytes_of(caller))))
