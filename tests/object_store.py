"""An S3-compatible server for tests, over real HTTP."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUCKET = "cars"


class Traffic:
    """What the server was asked, and how late it answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.latency_s = 0.0
        self.requests: list[str] = []
        """Method, key and query of each request."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request after the latency."""
        query = environ.get("QUERY_STRING", "")
        line = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(f"{line}?{query}" if query else line)
        time.sleep(self.latency_s)
        return self._app(environ, start_response)

    def matching(self, method: str, *texts: str) -> list[str]:
        """The requests with this method that contain all the texts."""
        return [
            one
            for one in self.requests
            if one.startswith(method) and all(text in one for text in texts)
        ]


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one empty bucket."""

    endpoint_url: str
    server: ThreadedMotoServer
    traffic: Traffic = field(repr=False)

    @property
    def client(self):
        """A client that is independent of the code under test."""
        return boto3.client("s3", endpoint_url=self.endpoint_url)

    def stored(self, *parts: str) -> list[str]:
        """Return those of the bucket's first thousand keys that contain all the parts."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [one["Key"] for one in found if all(part in one["Key"] for part in parts)]

    def put_many(self, keys: Iterable[str], content: bytes = b"") -> None:
        """Put objects directly, without slow HTTP requests."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(BUCKET, key, content)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections in this context; the objects stay."""
        self.server.stop()
        try:
            yield
        finally:
            port = int(self.endpoint_url.rpartition(":")[2])
            again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
            again.start()
            self.server.__dict__.update(again.__dict__)

    def unfinished(self) -> list[str]:
        """Return the keys of unfinished multipart uploads."""
        return [
            one["Key"]
            for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        ]


@contextlib.contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Run a server with its credentials in the environment."""
    before = {name: os.environ.get(name) for name in AWS_VARIABLES}
    os.environ.update(AWS_VARIABLES)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    http_server: Any = server._server
    http_server.app = traffic = Traffic(http_server.app)
    store = ObjectStore(f"http://{host}:{port}", server, traffic)
    store.client.create_bucket(Bucket=BUCKET)
    try:
        yield store
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
