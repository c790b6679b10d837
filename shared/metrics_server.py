"""The port of a process without HTTP of its own: `/metrics`, and `/livez` of its main loop.

A thread answers, so an answer alone shows only that the interpreter runs.
"""

import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler

from shared.heartbeat import Heartbeat

SILENT_AFTER_S = 60.0
"""As the supervisor allows: a loop stands still while it values a message."""

LIVENESS_PATH = "/livez"


class LoopLiveness:
    """Whether the main loop of this process runs.

    Args:
        is_broker_answering: the loop waits while the broker is down, and a restart would not help.
        clock: monotonic seconds.
    """

    def __init__(
        self, is_broker_answering: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_broker_answering = is_broker_answering
        self._clock = clock

    def __call__(self) -> bool:
        """Whether it has beaten recently, or is not expected to."""
        last_s = Heartbeat.last_s
        if last_s is None or self._clock() - last_s <= SILENT_AFTER_S:
            return True
        return not self._is_broker_answering()


def serve_metrics(
    port: int, registry: CollectorRegistry, is_alive: Callable[[], bool]
) -> ThreadingHTTPServer:
    """Answer on a port, by threads that end with the process.

    Args:
        port: on all addresses; 0: a free one.
        registry: what `/metrics` shows.
        is_alive: decides between 200 and 503 at `/livez`.
    """

    class Handler(MetricsHandler):
        """Answers one request; the library makes a class for each registry, too."""

        def do_GET(self) -> None:  # noqa: N802 - the name that the library calls
            if self.path.partition("?")[0] == LIVENESS_PATH:
                self._send_liveness()
            else:
                super().do_GET()

        def _send_liveness(self) -> None:
            alive = is_alive()
            body = b"alive\n" if alive else b"the main loop does not run\n"
            self.send_response(200 if alive else 503)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    Handler.registry = registry
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)  # noqa: S104 - Prometheus is elsewhere
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
