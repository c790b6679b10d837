"""Kombu's Redis transport with messages that belong to a process, so that they can be put back.

Kombu removes a message from its queue and knows its consumer only in memory. Here the broker knows
it too: a consumer of one queue moves each message to a list of its own in the same command, and the
unacknowledged messages of a consumer of several queues lie under its name. `shared.redis.owners`
restores both when the process has died.
"""

from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import Empty
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from shared.logging import get_logger
from shared.redis import keys
from worker.broker_channel import BrokerChannel

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSAL_PAUSE_S = 5.0
"""How long messages are taken without moving them after the broker refused to move one: it then
needs no memory."""

# A message whose delivery the process has not seen goes back to the head of its queue. Of its list
# only the last one can be such a message, if the connection broke before the reply arrived.
# KEYS: list, queue.  ARGV: the last message that was delivered.  Returns 1 if one was put back.
_PUT_BACK = """
local last = redis.call('LINDEX', KEYS[1], 0)
if not last or last == ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[2], last)
redis.call('LPOP', KEYS[1])
return 1
"""

log = get_logger("delivery")


class Deliveries:
    """The messages that this process has taken from its queues."""

    def __init__(self) -> None:
        self.owner = ""
        """Name of the consuming process; empty until it is known."""
        self.received = 0
        self.finished = 0
        """Messages of the process's list whose tasks have ended."""
        self.last = b""
        """The last message that was delivered from this list."""
        self.run_directly: Callable[[dict[str, Any]], bool] = lambda _: False
        """Carries out a message of this list; False if Celery's consumer has to."""


class OwnedChannel(BrokerChannel):
    """A channel that takes messages in the name of its process."""

    deliveries: ClassVar[Deliveries] = Deliveries()

    _moved_from = ""
    """The queue that the pending command moves a message from; empty if the command is BRPOP."""
    _moves_from = 0.0
    """Monotonic time before which messages are not moved."""
    _is_complete = False
    """Whether what an earlier channel of this process took has been delivered or put back."""

    @property
    def unacked_key(self) -> str:  # type: ignore[override]  # a constant in kombu
        """Hash of the unacknowledged messages."""
        return keys.unacked(self.deliveries.owner)

    @property
    def unacked_index_key(self) -> str:  # type: ignore[override]
        """Sorted set of their tags."""
        return keys.unacked_index(self.deliveries.owner)

    @property
    def unacked_mutex_key(self) -> str:  # type: ignore[override]
        """Lock of their redelivery."""
        return keys.unacked_index(self.deliveries.owner) + ":mutex"

    connection_errors: tuple[type[Exception], ...]  # unknown to kombu's types, as are the methods

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for the next message; one of a single queue is moved to the list of the process."""
        queues: list[str] = list(self.active_queues)
        self._moved_from = ""
        if len(queues) > 1 and self.deliveries.owner and not self._is_complete:
            self._put_back_unacknowledged()
        if len(queues) != 1 or not self.deliveries.owner or monotonic() < self._moves_from:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        if not self._is_complete:
            self._put_back_undelivered(queues[0])
        self._moved_from = queues[0]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self.client.connection.send_command(
            "BLMOVE", keys.queue(self._moved_from), keys.popped(self.deliveries.owner),
            "RIGHT", "LEFT", timeout or self.brpop_timeout or 0,
        )  # fmt: skip

    def _brpop_read(self, **options: Any) -> Any:
        """Deliver the message that has come; a solo worker carries out its task in this call."""
        if not self._moved_from:
            return super()._brpop_read(**options)  # type: ignore[misc]
        try:
            message = self._read_moved(**options)
            if message is None:
                raise Empty
            self.deliveries.last = message
            self._deliver(_read_message(message), self._moved_from)
            self.deliveries.finished += 1
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()  # type: ignore[attr-defined]

    def _deliver(self, message: Any, queue: str) -> None:
        connection: Any = self.connection
        # A queue whose consumer was cancelled meanwhile has none.
        is_consumed = queue in connection._callbacks  # noqa: SLF001 - as kombu's own channel does
        if is_consumed and self.deliveries.run_directly(message):
            self.deliveries.received += 1
            return
        connection._deliver(message, queue)  # noqa: SLF001

    def _put_back_undelivered(self, queue: str) -> None:
        """Put back a message whose move was not seen because the connection broke."""
        names = (keys.popped(self.deliveries.owner), keys.queue(queue))
        with self.conn_or_acquire() as client:
            if client.eval(_PUT_BACK, 2, *names, self.deliveries.last):
                log.warning("message_put_back", queue=queue)
        self._is_complete = True

    def _put_back_unacknowledged(self) -> None:
        """Put back what an earlier channel of this process has taken and not acknowledged.

        Celery drops what it has not started when its connection breaks, and cannot acknowledge
        over a new connection what it has started. Kombu puts both back as it closes the channel,
        unless the broker does not answer at that moment.
        """
        qos: Any = self.qos  # its Redis methods are unknown to kombu's types
        with self.conn_or_acquire() as client:
            tags = [bytes_to_str(tag) for tag in client.hkeys(self.unacked_key)]
        for tag in tags:
            if tag not in qos._delivered:  # noqa: SLF001 - kombu has no method for this
                qos.restore_by_tag(tag)
                log.warning("message_put_back", tag=tag)
        self._is_complete = True

    def _read_moved(self, **options: Any) -> bytes | None:
        try:
            moved: bytes | None = self.client.parse_response(
                self.client.connection, "BLMOVE", **options
            )
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except redis.ResponseError as error:
            log.warning("message_not_moved", queue=self._moved_from, error=str(error))
            self._moves_from = monotonic() + REFUSAL_PAUSE_S
            return None
        return moved


def _read_message(packed: bytes) -> Any:
    """Parse a message; kombu also knows types that JSON does not have."""
    if b'"__type__"' not in packed:
        try:
            return orjson.loads(packed)
        except orjson.JSONDecodeError:
            pass  # Python's parser accepts more
    return loads(bytes_to_str(packed))


class OwnedTransport(kombu_redis.Transport):
    """Kombu's Redis transport with `OwnedChannel`."""

    Channel = OwnedChannel


SCHEMES = ("redis", "rediss", "sentinel")
"""Schemes of Celery's broker URLs; that of a Unix socket is `redis+socket`."""


def use_owned_transport(server_url: str) -> None:
    """Have this process's Celery connect through `OwnedTransport`.

    Args:
        server_url: of the broker, as `shared.redis.connections.connect` takes it.
    """
    BrokerChannel.server_url = server_url
    for scheme in SCHEMES:
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{OwnedTransport.__name__}"
