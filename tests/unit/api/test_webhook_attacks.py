"""Webhooks in bad conditions: hostile receivers on real sockets, and a broker that is killed."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
import time

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.webhooks import deliverer, sender
from api.webhooks.deliverer import PLACES_OF_RECEIVER
from api.webhooks.sender import AttemptOutcome
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.conftest import answers, running_server, short_folder, wait_until
from tests.webhook_delivery import SHORT_S, Delivery, FakeResolver
from tests.webhook_receiver import running_receiver

NAME = "shop.example"


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture
def delivery(servers, car, tmp_path, monkeypatch):
    return Delivery(servers.broker, car, tmp_path, monkeypatch)


@contextlib.contextmanager
def raw_server(answer, context=None):
    """A server that calls `answer` with each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection):
            with contextlib.suppress(OSError), connection:
                if context is None:
                    answer(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as encrypted:
                        answer(encrypted)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def read_request(connection):
    """Read a webhook: its head and its body."""
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head and (block := connection.recv(65_536)):
        head += block
    head, _, body = head.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if b"content-length" in line
    )
    while len(body) < length and (block := connection.recv(65_536)):
        body += block
    return head, body


def send_for_ever(head, block):
    """An answer that never ends."""

    def answer(connection):
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return answer


ENDLESS = {
    "headers": send_for_ever(b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n" * 1000),
    "one header": send_for_ever(b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 65_536),
    "no line end": send_for_ever(b"", b"HTTP/1.1 200 OK" * 1000),
    "interim answers": send_for_ever(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
}


class TestAnswersWithoutEnd:
    @pytest.mark.parametrize("kind", ENDLESS)
    def test_they_are_failures_and_hold_up_nobody(self, delivery, receiver, kind):
        with raw_server(ENDLESS[kind]) as port:
            jobs = [delivery.end(f"http://127.0.0.1:{port}/") for _ in range(4)]
            with delivery.running(timeout_s=60.0):
                for job in jobs:
                    delivery.wait_for_outcome(job, AttemptOutcome.BROKEN)
                delivery.end(f"{receiver.url}/ok/{kind.replace(' ', '-')}")
                wait_until(lambda: receiver.at(f"/ok/{kind.replace(' ', '-')}"))

    def test_a_connection_that_is_closed_at_once_is_broken(self, delivery):
        with raw_server(lambda _: None) as port:
            job = delivery.end(f"http://127.0.0.1:{port}/")
            with delivery.running():
                delivery.wait_for_outcome(job, AttemptOutcome.BROKEN)

    def test_a_connection_that_is_never_accepted_times_out(self, delivery, monkeypatch):
        monkeypatch.setattr(sender, "CONNECT_TIMEOUT_S", SHORT_S)
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):  # its queue is full: further connections get no answer
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0)
                waiting.connect_ex(listener.getsockname())
            job = delivery.end(f"http://127.0.0.1:{listener.getsockname()[1]}/")
            with delivery.running():
                delivery.wait_for_outcome(job, AttemptOutcome.TIMED_OUT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """File of a certificate of `NAME` that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


class TestTls:
    @pytest.fixture
    def context(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    @pytest.fixture
    def received(self):
        return []

    @pytest.fixture
    def port(self, context, received):
        def answer(connection):
            received.append(read_request(connection))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        with raw_server(answer, context) as port:
            yield port

    def resolver(self):
        return FakeResolver({NAME: [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})

    def test_a_receiver_whose_authority_is_known_gets_it(
        self, delivery, port, received, certificate, monkeypatch
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        delivery.end(f"https://{NAME}:{port}/hooks")
        with delivery.running(self.resolver()):
            wait_until(lambda: received and not delivery.pending())
        assert received[0][0].startswith(b"POST /hooks HTTP/1.1\r\n")

    def test_a_certificate_that_nobody_has_signed_is_refused(self, delivery, port, received):
        job = delivery.end(f"https://{NAME}:{port}/")
        with delivery.running(self.resolver()):
            delivery.wait_for_outcome(job, AttemptOutcome.UNREACHABLE)
        assert received == [], "nothing is sent"

    def test_a_certificate_of_another_name_is_refused(
        self, delivery, port, received, certificate, monkeypatch
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        job = delivery.end(f"https://other.example:{port}/")
        with delivery.running(self.resolver()):
            delivery.wait_for_outcome(job, AttemptOutcome.UNREACHABLE)
        assert received == []

    def test_encryption_that_breaks_after_the_handshake_is_a_broken_connection(
        self, delivery, context, certificate, monkeypatch
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

        def answer(connection):
            read_request(connection)
            with socket.socket(fileno=connection.detach()) as plain:
                plain.sendall(b"\x17\x03\x03\x00\x20" + b"no ciphertext of this key".ljust(32))
                plain.recv(1)

        with raw_server(answer, context) as port:
            job = delivery.end(f"https://{NAME}:{port}/")
            with delivery.running(self.resolver()):
                delivery.wait_for_outcome(job, AttemptOutcome.BROKEN)


def test_a_broker_that_is_killed_in_the_middle_of_deliveries_loses_none(
    receiver, car, tmp_path, monkeypatch
):
    """It is away for longer than the end of an attempt is kept: then the lease ends."""
    monkeypatch.setattr(deliverer, "BROKER_RETRY_S", 0.1)
    receiver.received.clear()
    with short_folder() as home:
        client = connect(with_server_urls(Settings(home=home)).redis_url)
        with running_server(home, "broker") as server:
            wait_until(lambda: answers(client), what="the broker")
            delivery = Delivery(client, car, tmp_path, monkeypatch)
            jobs = {delivery.end(f"{receiver.url}/hold").id for _ in range(6)}
            with structlog.testing.capture_logs() as logs, delivery.running():
                wait_until(lambda: len(receiver.at("/hold")) == PLACES_OF_RECEIVER)
                server.kill()
                server.wait()
                receiver.released.set()
                wait_until(lambda: len(set(receiver.delivered)) == PLACES_OF_RECEIVER)
                time.sleep(2 * deliverer.SETTLE_ATTEMPTS * deliverer.BROKER_RETRY_S)
                with running_server(home, "broker"):
                    wait_until(lambda: answers(client), what="the broker")
                    wait_until(lambda: len(set(receiver.delivered)) == len(jobs))
                    wait_until(lambda: not delivery.pending())
    got = receiver.at("/hold")
    assert {each.json["data"]["id"] for each in got} == jobs
    assert len({each.id for each in got}) == len(jobs), "the same id in every attempt"
    assert len({each.body for each in got}) == len(jobs)
    assert [line for line in logs if line["log_level"] == "error"] == []
