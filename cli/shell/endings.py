"""How every command ends: exit codes of signals, no traceback, no message for a broken pipe."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

from cli.shell.exit_codes import BROKEN_PIPE, DONE, INTERRUPTED, REFUSED, UNUSABLE
from shared.i18n.command import gettext as _
from shared.settings import SettingsError


@contextlib.contextmanager
def broken_pipe_ends() -> Iterator[None]:
    """End with the code of a broken pipe; click would end with 1, which means something else."""
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None


def run_and_exit(command: Callable[[], Any]) -> NoReturn:
    """Run a command in click's mode without exits, and exit with its documented code."""
    try:
        code = _code_of(command)
        # Otherwise the interpreter would write after this function, and report a broken pipe.
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        _discard_output()
        code = BROKEN_PIPE
    sys.exit(code)


def _code_of(command: Callable[[], Any]) -> int | str | None:
    try:
        result = command()
    except SystemExit as ended:
        return ended.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:  # any command reads them
        click.echo(f"carprice: {error}", err=True)
        return UNUSABLE
    except click.Abort as stopped:
        is_interrupted = isinstance(stopped.__context__, KeyboardInterrupt)
        click.echo(_("Interrupted.") if is_interrupted else _("Aborted!"), err=True)
        return INTERRUPTED if is_interrupted else REFUSED
    return result if isinstance(result, int) else DONE


def _discard_output() -> None:
    """Let what is still to be written go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
