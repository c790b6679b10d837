"""The programs of Debian that `carprice observe` runs: where they are, and what installs them."""

import shutil
from dataclasses import dataclass

from launcher.preflight import CannotStartError
from shared.i18n.command import gettext as _


@dataclass(frozen=True)
class Program:
    """A program that is not part of the project."""

    package: str
    """Of Debian."""
    names: tuple[str, ...]
    """Of its file, the one of Debian first."""

    def path(self) -> str | None:
        """Where it is; None: it is not installed."""
        return next((found for name in self.names if (found := shutil.which(name))), None)


PROMETHEUS = Program("prometheus", ("prometheus",))
ALERTMANAGER = Program("prometheus-alertmanager", ("prometheus-alertmanager", "alertmanager"))
REDIS_EXPORTER = Program("prometheus-redis-exporter", ("prometheus-redis-exporter",))


def required_paths() -> tuple[str, str]:
    """Where Prometheus and Alertmanager are.

    Raises:
        CannotStartError: one of them is not installed; the message says what to do.
    """
    prometheus, alertmanager = PROMETHEUS.path(), ALERTMANAGER.path()
    if prometheus and alertmanager:
        return prometheus, alertmanager
    missing = [each for each in (PROMETHEUS, ALERTMANAGER) if each.path() is None]
    packages = " ".join(each.package for each in missing)
    raise CannotStartError(
        _("not installed: {programs}. On Debian and Ubuntu: apt install {packages}").format(
            programs=", ".join(each.names[-1] for each in missing), packages=packages
        )
    )
