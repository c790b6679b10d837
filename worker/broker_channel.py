"""Kombu's Redis channel with the connections and the names of keys that the project's clients have.

So Celery verifies the certificate of the server, asks the sentinels, and leaves a server that is no
primary any more, as `shared.redis.connections` does.
"""

from typing import Any, ClassVar

import redis
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.redis import keys
from shared.redis.addresses import parse_address
from shared.redis.primaries import make_pool

_KOMBU: Any = kombu_redis.Channel
CONNECTION_PAUSES = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 1.0}
"""Seconds between two attempts to connect to the broker, as kombu names them: by default they grow
to half a minute."""

_SOCKET_OPTIONS = ("socket_connect_timeout", "socket_keepalive", "socket_keepalive_options")
"""Options of TCP connections."""


class _NamespaceClient(redis.Redis):
    """Returns the names of queues without the namespace."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """As redis-py's."""
        found = super().parse_response(  # type: ignore[no-untyped-call]
            connection, command_name, **options
        )
        if command_name == "BRPOP" and found:
            return bytes_to_str(found[0]).removeprefix(keys.NAMESPACE), found[1]
        return found


class BrokerChannel(kombu_redis.Channel):
    """A channel to the server of `server_url`, with all keys in the namespace of the project."""

    server_url: ClassVar[str] = ""
    """As `shared.redis.connections.connect` takes it; "": the address of kombu's connection."""

    # Kombu's own option prefixes some commands only. It remains for Flower, which reads it.
    from_transport_options = tuple(
        name for name in kombu_redis.Channel.from_transport_options if name != "global_keyprefix"
    )

    keyprefix_queue = f"{keys.NAMESPACE}{_KOMBU.keyprefix_queue}"
    keyprefix_fanout = f"{keys.NAMESPACE}{_KOMBU.keyprefix_fanout}"
    keyprefix_binding_deadlines = f"{keys.NAMESPACE}{_KOMBU.keyprefix_binding_deadlines}"
    keyprefix_binding_permanent = f"{keys.NAMESPACE}{_KOMBU.keyprefix_binding_permanent}"

    def _q_for_pri(self, queue: str, pri: int) -> str:
        return keys.queue(super()._q_for_pri(queue, pri))  # type: ignore[misc]

    def _handle_message(self, client: Any, r: Any) -> dict[str, Any]:
        """A message of a channel, whose name kombu expects to begin with a slash."""
        found: dict[str, Any] = super()._handle_message(client, r)  # type: ignore[misc]
        return {**found, "channel": bytes_to_str(found["channel"]).removeprefix(keys.NAMESPACE)}

    def _get_client(self) -> type[redis.Redis]:
        return _NamespaceClient if keys.NAMESPACE else redis.Redis

    def _get_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - as kombu's
        if not self.server_url:
            return super()._get_pool(asynchronous)  # type: ignore[misc]
        address = parse_address(self.server_url)
        names = ["max_connections", "socket_timeout", "health_check_interval", "client_name"]
        if "path" not in address.options:
            names += _SOCKET_OPTIONS
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=address.options.get("db", 0))
        return make_pool(
            self.server_url,
            address,
            **{name: getattr(self, name) for name in names},
            retry=Retry(NoBackoff(), 0),
            wrap=self._reporting if asynchronous else lambda kind: kind,
        )

    def _reporting(self, kind: type) -> type:
        """The class of a connection that reports its end to the poller, as kombu's does."""
        channel: Any = self

        class Connection(kind):  # type: ignore[misc]
            def disconnect(self, *args: Any, **options: Any) -> None:
                super().disconnect(*args, **options)
                if channel._registered:  # noqa: SLF001 - it is in the poller
                    channel._on_connection_disconnect(self)  # noqa: SLF001

        return Connection
