"""Checks of the active model, of the compiled kernels, and of the audit log."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from api.models.self_test import run_self_test
from cli.operations.findings import Finding, Installation, fault, warning
from model_store.registry.registry import ModelRegistry
from shared.audit.checkpoints import is_log_file
from shared.audit.verification import verify_files
from shared.domain.errors import ActivePointerLost, ModelRefused, ModelVersionNotFound
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.settings import Settings
from worker.kernel_cache import are_compiled

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def check_model(found: Installation) -> Iterator[Finding]:
    """A version is active, its files are what was saved, and it finds its own prices again.

    The last is not looked at while the kernels are not compiled, which `check_kernels` tells.
    """
    # Not shared with other hosts: that one would fetch what is missing here.
    registry = ModelRegistry(found.settings.versions_path)
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
    try:
        registry.check(active)
        kernels = kernel_folder(found.settings)
        if are_compiled(kernels):  # else the self-test would write to the home, and take minutes
            os.environ[CACHE_VARIABLE] = str(kernels)
            run_self_test(found.settings.versions_path, active)
    except ModelRefused as error:
        if isinstance(error.__cause__, subprocess.TimeoutExpired):
            text = _("the self-test of {version} has not ended in time: is this machine busy?")
            yield warning(text.format(version=active), "uptime")
            return
        text = _("the active version {version} cannot be used: {reason}")
        members = {"version": active, "reason": error.params.get("reason", "")}
        yield fault(text.format(**members), "carprice models rollback")
    except ModelVersionNotFound:
        text = _("the active version {version} is missing").format(version=active)
        # Processes that start fetch what other hosts have.
        yield fault(text, "carprice up" if found.settings.state_url else "carprice models rollback")


def kernel_folder(settings: Settings) -> Path:
    """Where the processes of the service keep compiled kernels."""
    return Path(os.environ.get(CACHE_VARIABLE) or settings.home / "numba")


def check_kernels(found: Installation) -> Iterator[Finding]:
    """The kernels are compiled for this processor and release."""
    if not are_compiled(kernel_folder(found.settings)):
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
