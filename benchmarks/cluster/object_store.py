"""`python -m benchmarks.cluster.object_store ADDRESS PORT`: an S3-compatible server, in memory."""

import signal
import sys
import threading

import boto3
from moto.server import ThreadedMotoServer

from tests.object_store import BUCKET


def main() -> None:
    """Serve one empty bucket until SIGTERM."""
    address, port = sys.argv[1], int(sys.argv[2])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    server = ThreadedMotoServer(ip_address=address, port=port, verbose=False)
    server.start()
    boto3.client("s3", endpoint_url=f"http://{address}:{port}").create_bucket(Bucket=BUCKET)
    print("ready", flush=True)
    stopping.wait()
    server.stop()


if __name__ == "__main__":
    main()
