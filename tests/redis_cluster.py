"""Redis servers for tests: primary and replicas with sentinels, by TLS if asked."""

import contextlib
import datetime as dt
import ipaddress
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.cluster.network import Place
from launcher.embedded import server_binary
from scripts.ports import reserve_port
from tests.conftest import wait_until

SERVICE = "queue"
FAILOVER_GIVEN_UP_S = 12.0
"""A sentinel that has begun a failover gives it up before, if it does not end."""
DEADLINE_S = 60.0
LOOPBACK = Place("127.0.0.1")


def server_program(name: str) -> str:
    """Return the path of `redis-server` or `redis-sentinel`; the bundled server if there is none.

    Tests that need TLS or sentinels have the marker `redis`: the bundled server has neither.
    """
    program = shutil.which(name)
    if program is None and name == "redis-server":
        return str(server_binary())
    if program is None:
        pytest.fail(f"{name} is needed")
    return program


@dataclass
class RedisServer:
    """A server process; it keeps its data in its folder."""

    place: Place
    port: int
    folder: Path
    arguments: list[str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.place.prefix, *self.arguments], cwd=self.folder, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def client(self) -> "redis.Redis":
        return redis.Redis(host=self.place.address, port=self.port, socket_timeout=5)

    @property
    def url(self) -> str:
        return f"redis://{self.place.address}:{self.port}/0"


@dataclass
class SentinelService:
    """A primary, its replicas and the sentinels that watch them."""

    servers: list[RedisServer]
    sentinels: list[RedisServer] = field(default_factory=list)

    @property
    def url(self) -> str:
        places = ",".join(f"{each.place.address}:{each.port}" for each in self.sentinels)
        return f"sentinel://{places}/{SERVICE}"

    def primary(self) -> RedisServer:
        """Return the server that the sentinels name now."""
        for sentinel in self.sentinels:
            with contextlib.suppress(redis.RedisError):
                _, port = sentinel.client.sentinel_get_master_addr_by_name(SERVICE)
                return next(each for each in self.servers if each.port == port)
        raise AssertionError("no sentinel answers")

    def replicas_in_step(self) -> bool:
        """Whether every server but the primary is a connected replica of it."""
        with contextlib.suppress(redis.RedisError, AssertionError):
            found = self.primary().client.info("replication")
            online = [f"slave{n}" in found and found[f"slave{n}"]["state"] == "online"
                      for n in range(len(self.servers) - 1)]  # fmt: skip
            return found["role"] == "master" and all(online)
        return False

    def await_change(self, former: RedisServer) -> None:
        """Wait until the sentinels name another primary."""
        wait_until(lambda: self.primary() is not former, DEADLINE_S, "another primary")


def kill_primary(brokers: SentinelService) -> None:
    """SIGKILL the primary; it comes back when another one has been chosen."""
    former = brokers.primary()
    former.kill()
    brokers.await_change(former)
    former.start()


def ask_for_failover(brokers: SentinelService) -> None:
    """SENTINEL FAILOVER, again if the sentinel refuses it or gives it up soon after another one."""
    former = brokers.primary()
    until = time.monotonic() + DEADLINE_S
    while brokers.primary() is former and time.monotonic() < until:
        with contextlib.suppress(redis.ResponseError):
            brokers.sentinels[0].client.sentinel_failover(SERVICE)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: brokers.primary() is not former, FAILOVER_GIVEN_UP_S, "a failover")
    brokers.await_change(former)


def demote_by_hand(brokers: SentinelService) -> None:
    """Make the primary a replica of another server behind the sentinels' back."""
    former = brokers.primary()
    other = next(each for each in brokers.servers if each is not former)
    other.client.replicaof("NO", "ONE")
    former.client.replicaof(other.place.address, str(other.port))
    brokers.await_change(former)


def _server(folder: Path, *options: str, place: Place = LOOPBACK) -> RedisServer:
    port = reserve_port()
    # Its folder by name: a command that enters mount namespaces starts in the root folder.
    arguments = [
        server_program("redis-server"), "--dir", str(folder / str(port)),
        "--port", str(port), "--bind", place.address,
        "--protected-mode", "no",
        "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
        "--repl-ping-replica-period", "1", *options,
    ]  # fmt: skip
    return RedisServer(place, port, folder / str(port), arguments)


@contextlib.contextmanager
def running_server(folder: Path, *options: str, place: Place = LOOPBACK) -> Iterator[RedisServer]:
    """Run one server."""
    server = _server(folder, *options, place=place)
    server.start()
    try:
        wait_until(lambda: _answers(server), DEADLINE_S, "a server")
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_sentinels(
    folder: Path, places: Sequence[Place] = (LOOPBACK,) * 3
) -> Iterator[SentinelService]:
    """Run three servers and three sentinels, one of each in each place."""
    first = _server(folder, place=places[0])
    of_first = ("--replicaof", f"{first.place.address} {first.port}")
    others = [_server(folder, *of_first, place=place) for place in places[1:]]
    service = SentinelService([first, *others])
    try:
        for server in service.servers:
            server.start()
        for number, place in enumerate(places):
            service.sentinels.append(_start_sentinel(folder / f"sentinel-{number}", place, first))
        wait_until(service.replicas_in_step, DEADLINE_S, "the replicas")
        wait_until(lambda: _sentinels_agree(service), DEADLINE_S, "the sentinels")
        yield service
    finally:
        for process in [*service.sentinels, *service.servers]:
            if process.process is not None:
                process.process.send_signal(signal.SIGCONT)
            process.kill()


def _start_sentinel(folder: Path, place: Place, primary: RedisServer) -> RedisServer:
    port = reserve_port()
    folder.mkdir()
    (folder / "sentinel.conf").write_text(
        f"port {port}\nbind {place.address}\nprotected-mode no\n"
        f"sentinel monitor {SERVICE} {primary.place.address} {primary.port} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} 2000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )
    program = server_program("redis-sentinel")
    sentinel = RedisServer(place, port, folder, [program, str(folder / "sentinel.conf")])
    sentinel.start()
    wait_until(lambda: _answers(sentinel), DEADLINE_S, "a sentinel")
    # A primary that calls itself a replica is replaced after twice this time.
    sentinel.client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "1000")
    return sentinel


def _answers(server: RedisServer) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(server.client.ping())
    return False


def _sentinels_agree(service: SentinelService) -> bool:
    """Whether each sentinel knows the others and both replicas, so that it can fail over."""
    for sentinel in service.sentinels:
        found: Any = sentinel.client.sentinel_master(SERVICE)
        if found["num-other-sentinels"] != 2 or found["num-slaves"] != 2:
            return False
    return True


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and a certificate of 127.0.0.1 that it signed."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def server_options(self) -> list[str]:
        return [
            "--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key),
            "--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", "no",
        ]  # fmt: skip


def make_certificates(folder: Path, name: str) -> Certificates:
    """Make an authority of this name, and a certificate for the loopback address."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    today = dt.datetime.now(dt.UTC)

    def sign(owner: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: tuple) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(owner)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - dt.timedelta(days=1))
            .not_valid_after(today + dt.timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.sign(authority_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    files = Certificates(folder / f"{name}-ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
    files.authority.write_bytes(sign(issuer, authority_key.public_key(), ca))
    files.certificate.write_bytes(sign(subject, key.public_key(), (loopback, False)))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
