"""What the batches of a caller take up."""

from shared.blobs.batch_files import BatchFiles
from shared.domain.ids import BatchId, CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors


class CallerBatches:
    """Counts the batches of a caller.

    Args:
        client: connection to the broker instance.
        files: records of batches.
    """

    def __init__(self, client: RedisClient, files: BatchFiles) -> None:
        self._client = client
        self._files = files

    def count_open(self, caller: CallerId) -> int:
        """The batches that have not ended; `BrokerUnavailable` if the broker does not answer."""
        with broker_errors():
            return len(self._client.zinter([keys.batches_by_caller(caller), keys.OPEN_BATCHES]))

    def stored_bytes(self, caller: CallerId) -> int:
        """The size of the uploaded files that are kept, decompressed.

        Raises:
            BrokerUnavailable: the broker does not answer.
            OSError: the store does not answer.
        """
        with broker_errors():
            ids = self._client.zrange(keys.batches_by_caller(caller), 0, -1)
        manifests = (self._files.manifest(BatchId(each.decode())) for each in ids)
        return sum(manifest.size_bytes for manifest in manifests if manifest is not None)
