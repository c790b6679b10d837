"""Entry of the API: `granian --interface asginl api.asgi:app`."""

import gc
import multiprocessing
import os
import signal
import socket

if multiprocessing.parent_process() is not None:
    # Until granian's worker serves, an inherited handler ignores SIGTERM: a stop during the imports
    # below would last until the kill timeout.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

from api.app import create_app, create_asgi_app
from api.http.context import EXTENSION
from api.transport.connections import (
    OTHER_DESCRIPTORS,
    IdleConnectionCloser,
    allow_descriptors,
)
from api.transport.traced import with_spans
from model_store.registry.hosts import share_state
from shared.audit.hosts.exchange import share_audit
from shared.domain.ids import new_id
from shared.logging import configure_logging
from shared.redis.servers import refuse_cluster, with_server_urls
from shared.settings import Settings
from shared.tracing.current import start_tracing

GC_THRESHOLD = 20_000
"""New objects after which the garbage collector looks for cycles among them: some megabytes."""

settings = with_server_urls(Settings.from_env())
configure_logging(settings.log_level, "api")
start_tracing("api")
refuse_cluster(settings.redis_url, settings.cache_url)
flask_app = create_app(settings)
fast_path = create_asgi_app(flask_app)
app = with_spans(fast_path)
share_state(
    settings,
    f"api@{socket.gethostname()}:{os.getpid()}-{new_id()[-8:]}",
    flask_app.extensions[EXTENSION].active_model.version_id,
)
share_audit(settings)
descriptors = allow_descriptors(settings.api_connections + OTHER_DESCRIPTORS)
IdleConnectionCloser(
    settings.port,
    fast_path.active_peers,
    min(settings.api_connections, descriptors - OTHER_DESCRIPTORS),
).start()
# The collector need not scan what the imports have created while requests wait. Requests leave few
# cycles behind, and it would run every 700 objects: a tenth of the time of a job.
gc.freeze()
gc.set_threshold(GC_THRESHOLD)
