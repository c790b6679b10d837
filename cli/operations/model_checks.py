"""Checks of the active model, of the compiled kernels, and of the audit log."""

import os
from collections.abc import Iterator
from pathlib import Path

from api.models.self_test import run_self_test
from cli.operations.findings import Finding, Installation, fault, warning
from model_store.registry.hosts import open_registry
from shared.audit.checkpoints import is_log_file
from shared.audit.verification import verify_files
from shared.domain.errors import ActivePointerLost, DomainError, ModelRefused
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from worker.kernel_cache import are_compiled

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def check_model(found: Installation) -> Iterator[Finding]:
    """A version is active, its files are what was saved, and it finds its own prices again."""
    registry = open_registry(found.settings)
    try:
        active = registry.known_active_version()
    except ActivePointerLost as error:
        version = error.params["version"]
        yield fault(
            _("it is not known which version is active"), f"carprice models activate {version}"
        )
        return
    if active is None:
        yield fault(_("no model is active"), "carprice train --activate")
        return
    os.environ.setdefault(CACHE_VARIABLE, str(found.settings.home / "numba"))
    try:
        registry.check(active)
        run_self_test(found.settings.versions_path, active)
    except ModelRefused as error:
        text = _("the active version {version} cannot be used: {reason}")
        members = {"version": active, "reason": error.params.get("reason", "")}
        yield fault(text.format(**members), "carprice models rollback")
    except (DomainError, OSError):
        text = _("the active version {version} is missing").format(version=active)
        yield fault(text, "carprice models rollback")


def check_kernels(found: Installation) -> Iterator[Finding]:
    """The kernels are compiled for this processor and release."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or found.settings.home / "numba")
    if not are_compiled(folder):
        text = _(
            "the kernels are not compiled for this processor and release: the next start is slow"
        )
        yield warning(text, "carprice up")


def check_audit(found: Installation) -> Iterator[Finding]:
    """The file of the audit log that was written last is whole."""
    settings = found.settings
    try:
        files = [path for path in settings.audit_folder.glob("*.jsonl") if is_log_file(path)]
        if not files:
            return
        last = max(files, key=lambda path: path.stat().st_mtime)
        report = verify_files([last], settings.checkpoints_folder, settings.checkpoint_key_file)
    except OSError as error:
        text = _("the audit log {folder} cannot be read ({reason})")
        members = {"folder": settings.audit_folder, "reason": os_reason(error)}
        yield fault(text.format(**members), f"ls -l {settings.audit_folder}")
        return
    for each in report.faults:
        yield fault(str(each), "carprice audit verify")
