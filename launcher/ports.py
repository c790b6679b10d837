"""The TCP ports of `carprice up` and `carprice observe`: every number once, and free at the start.

Otherwise a program that cannot listen would end again and again, and none of its lines would say
which settings collide.
"""

import dataclasses
import itertools
import socket
from collections.abc import Collection, Sequence

from launcher.preflight import CannotStartError
from shared.i18n.command import gettext as _
from shared.i18n.command import language, os_reason
from shared.i18n.numbers import COMMA
from shared.settings import Settings

LOCAL = "127.0.0.1"
"""Where the programs of `carprice observe` listen."""

UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on
"""Addresses that stand for all of this machine."""

MAX_PORT = 65_535


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListeningPort:
    """Where a program listens, and the settings that say so."""

    variable: str
    number: int
    host: str
    host_variable: str = ""
    """Setting of `host`; empty: it cannot be chosen."""
    offset: int = 0
    """How far the number is from that of the setting."""

    @property
    def label(self) -> str:
        """The setting, as messages name it."""
        return f"{self.variable} + {self.offset}" if self.offset else self.variable

    @property
    def chosen(self) -> int:
        """The number in the setting."""
        return self.number - self.offset


def service_ports(settings: Settings) -> list[ListeningPort]:
    """Those of `carprice up`."""
    return [
        ListeningPort(
            variable="PORT", number=settings.port, host=settings.host, host_variable="HOST"
        ),
        ListeningPort(
            variable="FLOWER_PORT",
            number=settings.flower_port,
            host=settings.flower_address,
            host_variable="FLOWER_ADDRESS",
        ),
    ]


def observing_ports(settings: Settings) -> list[ListeningPort]:
    """Those of `carprice observe`, with both exporters."""
    given = (
        ("PROMETHEUS_PORT", settings.prometheus_port, 0),
        ("ALERTMANAGER_PORT", settings.alertmanager_port, 0),
        ("REDIS_EXPORTER_PORT", settings.redis_exporter_port, 0),
        ("REDIS_EXPORTER_PORT", settings.redis_exporter_port, 1),
    )
    return [
        ListeningPort(variable=variable, number=number + offset, host=LOCAL, offset=offset)
        for variable, number, offset in given
    ]


def check_ports(settings: Settings) -> None:
    """Check that the ports of the API and of Flower differ and are free.

    Raises:
        CannotStartError: they are not.
    """
    ports = service_ports(settings)
    check_distinct(ports)
    for port in ports:
        check_free(port)


@dataclasses.dataclass(frozen=True, slots=True)
class Collision:
    """Settings that give several programs one port."""

    ports: Sequence[ListeningPort]
    remedy: str
    """A setting with a number that no other program has."""

    @property
    def text(self) -> str:
        """Which settings they are, in the language of the command."""
        labels = COMMA[language()].join(port.label for port in self.ports)
        text = _("several settings choose the port {port}: {variables}")
        return text.format(port=self.ports[0].number, variables=labels)


def collisions(ports: Sequence[ListeningPort]) -> list[Collision]:
    """The numbers that several programs have.

    Args:
        ports: those of the service first: numbers of the others are easier to change.
    """
    used = {port.number for port in ports}
    groups: dict[int, list[ListeningPort]] = {}
    for port in ports:
        groups.setdefault(port.number, []).append(port)
    found = []
    for same in groups.values():
        group = [port for port in same if any(_collide(port, other) for other in same)]
        if group:
            other = _other_number(group[-1], used)
            used.add(other)
            found.append(Collision(group, f"{group[-1].variable}={other}"))
    return found


def _collide(one: ListeningPort, other: ListeningPort) -> bool:
    """Whether two programs with one number cannot both listen."""
    hosts = {one.host, other.host}
    return one is not other and (len(hosts) == 1 or not hosts.isdisjoint(UNSPECIFIED))


def check_distinct(
    ports: Sequence[ListeningPort], started: Collection[ListeningPort] | None = None
) -> None:
    """Require that every program has a port of its own.

    Args:
        ports: as in `collisions`.
        started: those of the programs that are started; None: all.

    Raises:
        CannotStartError: some have the same.
    """
    found = [
        each
        for each in collisions(ports)
        if started is None or any(port in started for port in each.ports)
    ]
    if found:
        text = _("{collision}: give each another number, like {remedy}")
        lines = (text.format(collision=each.text, remedy=each.remedy) for each in found)
        raise CannotStartError("; ".join(lines))


def check_free(port: ListeningPort) -> None:
    """Bind and listen, as the program will.

    Raises:
        CannotStartError: the port is taken or out of range, or its address is not of this machine.
    """
    if not 1 <= port.number <= MAX_PORT:
        raise CannotStartError(
            _("{variable}={port}: expected a number from 1 to {maximum}").format(
                variable=port.variable, port=port.chosen, maximum=MAX_PORT - port.offset
            )
        )
    host, number = port.host, port.number
    try:
        family, kind, *_unused, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets with SO_REUSEADDR may both bind, but only one may listen.
            probe.listen(1)
    except socket.gaierror:
        text = _("{variable}={host}: no such address")
        raise CannotStartError(text.format(variable=port.host_variable, host=host)) from None
    except PermissionError:
        raise CannotStartError(
            _("{variable}={port}: only root may use ports below 1024").format(
                variable=port.variable, port=number
            )
        ) from None
    except OSError as error:
        raise CannotStartError(
            _(
                "port {port} on {host} cannot be used ({reason}): choose another with "
                "{variable}={other}"
            ).format(
                port=number,
                host=host,
                reason=os_reason(error),
                variable=port.variable,
                other=_other_number(port, ()),
            )
        ) from None


def _other_number(port: ListeningPort, used: Collection[int]) -> int:
    """The next number for the setting of a port that no program has."""
    offsets = range(2) if port.variable == "REDIS_EXPORTER_PORT" else range(1)
    later = range(port.chosen + 1, MAX_PORT - offsets[-1] + 1)
    for number in itertools.chain(later, range(port.chosen - 1, 0, -1)):
        if not any(number + offset in used for offset in offsets):
            return number
    raise AssertionError("there are more numbers than programs")
