"""`carprice doctor`: what is wrong with this installation, and what mends it."""

from collections.abc import Sequence
from typing import Any

import click
import redis

from cli.operations import (
    host_checks,
    model_checks,
    server_checks,
    settings_checks,
    work_checks,
)
from cli.operations.findings import Check, Finding, Installation, Level, fault
from cli.shell.exit_codes import DONE, REFUSED
from cli.shell.options import json_option
from cli.streams import echo_json
from launcher.environment import with_absolute_paths
from shared.domain.errors import DomainError
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext, os_reason
from shared.logging import log_errors_only
from shared.redis.servers import with_server_urls
from shared.settings import Settings, SettingsError

CHECKS: Sequence[Check] = (
    Check(name="settings", title=mark("settings"), find=settings_checks.check_settings),
    Check(name="access", title=mark("access"), find=settings_checks.check_access),
    Check(name="home", title=mark("folders"), find=host_checks.check_home),
    Check(name="secrets", title=mark("files of keys"), find=host_checks.check_secrets),
    Check(name="space", title=mark("disk space"), find=host_checks.check_space),
    Check(name="open-files", title=mark("open files"), find=host_checks.check_open_files),
    Check(name="broker", title=mark("broker"), find=server_checks.check_broker),
    Check(name="cache", title=mark("cache"), find=server_checks.check_cache),
    Check(name="clock", title=mark("clock"), find=host_checks.check_clock, needs_broker=True),
    Check(name="model", title=mark("model"), find=model_checks.check_model),
    Check(name="kernels", title=mark("kernels"), find=model_checks.check_kernels),
    Check(name="api", title=mark("API"), find=work_checks.check_api),
    Check(name="workers", title=mark("workers"), find=work_checks.check_workers, needs_broker=True),
    Check(name="queues", title=mark("queues"), find=work_checks.check_queues, needs_broker=True),
    Check(
        name="given-up",
        title=mark("work that was given up"),
        find=work_checks.check_given_up,
        needs_broker=True,
    ),
    Check(name="audit", title=mark("audit log"), find=model_checks.check_audit),
    Check(name="alerts", title=mark("alerts"), find=work_checks.check_alerts),
)

SIGNS = {Level.FAULT: "✗", Level.WARNING: "!"}


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check this installation; name what is wrong, and the command that mends it.

    Looks at settings, disks, permissions, servers, the model, workers, queues and the audit log of
    this environment (CARPRICE_HOME, PORT, REDIS_URL, …). Nothing is changed.
    """
    log_errors_only()
    try:
        given = with_absolute_paths(Settings.from_env())
        installation = Installation(with_server_urls(given), given)
    except SettingsError as error:
        found: list[tuple[Check, Sequence[Finding] | None]] = [(CHECKS[0], [fault(str(error))])]
    else:
        found = [(check, findings_of(check, installation)) for check in CHECKS]
    faults, warnings = (_count(found, level) for level in (Level.FAULT, Level.WARNING))
    if as_json:
        checks = [_members(check, findings) for check, findings in found]
        echo_json({"healthy": not faults, "checks": checks})
    else:
        for check, findings in found:
            _tell(check, findings)
        _tell_counts(faults, warnings)
    raise SystemExit(REFUSED if faults else DONE)


def findings_of(check: Check, installation: Installation) -> Sequence[Finding] | None:
    """What a check finds until something keeps it from looking, which is a finding too.

    None if it needs the broker, which does not answer.
    """
    if check.needs_broker and installation.broker_error is not None:
        return None
    found: list[Finding] = []
    try:
        found.extend(check.find(installation))
    except DomainError as error:
        found.append(work_checks.unreadable(error.code))
    except OSError as error:  # a folder of another user, for example
        found.append(work_checks.unreadable(f"{os_reason(error)} {error.filename or ''}".rstrip()))
    except redis.RedisError as error:  # a server whose user may not ask
        found.append(work_checks.unreadable(str(error)))
    return found


def _count(found: Sequence[tuple[Check, Sequence[Finding] | None]], level: Level) -> int:
    return sum(each.level is level for _, findings in found for each in findings or ())


def _members(check: Check, findings: Sequence[Finding] | None) -> dict[str, Any]:
    """A check in the JSON document."""
    return {
        "name": check.name,
        "checked": findings is not None,
        "findings": [
            {"level": str(each.level), "text": each.text, "remedy": each.remedy}
            for each in findings or ()
        ],
    }


def _tell(check: Check, findings: Sequence[Finding] | None) -> None:
    """A check as text."""
    title = _(check.title)
    if findings is None:
        click.echo(f"? {title}: " + _("not checked, because the broker does not answer"))
    elif not findings:
        click.echo(f"✓ {title}")
    for each in findings or ():
        click.echo(f"{SIGNS[each.level]} {title}: {each.text}")
        if each.remedy:
            click.echo(f"    → {each.remedy}")


def _tell_counts(faults: int, warnings: int) -> None:
    if not faults and not warnings:
        click.echo(_("Nothing is wrong."))
        return
    texts = (
        ngettext("{number} fault", "{number} faults", faults).format(number=faults),
        ngettext("{number} warning", "{number} warnings", warnings).format(number=warnings),
    )
    click.echo(" · ".join(texts))
