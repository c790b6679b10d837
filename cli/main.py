"""The command line `carprice`: a table of commands, whose modules are imported on use.

So `carprice --help` starts fast, and no command loads the code of another.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli.shell import metavars
from cli.shell.endings import broken_pipe_ends, run_and_exit
from cli.shell.exit_codes import UNUSABLE
from cli.shell.language import take_language
from cli.shell.options import language_option
from cli.streams import accept_any_encoding, refuse_argument, undecodable_argument
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext, speak

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class CommandTarget(NamedTuple):
    """Import path of a command (`module:attribute`) and its help text."""

    target: str
    short_help: str


COMMANDS: dict[str, CommandTarget] = {
    "up": CommandTarget("launcher.up:up", mark("Start the whole service here.")),
    "observe": CommandTarget(
        "launcher.observe.command:observe", mark("Run Prometheus and Alertmanager beside it.")
    ),
    "status": CommandTarget("cli.status:status", mark("Tell what runs, and what does not.")),
    "jobs": CommandTarget("cli.operations.jobs:jobs", mark("List the work of all callers.")),
    "doctor": CommandTarget(
        "cli.operations.doctor:doctor", mark("Find what is wrong here, and what mends it.")
    ),
    "run": CommandTarget("launcher.up:run", mark("Run one process of the service.")),
    "first-model": CommandTarget(
        "launcher.first_model:first_model", mark("Train unless a model is active.")
    ),
    "repair-broker": CommandTarget(
        "cli.broker:repair_broker", mark("Repair damaged files of the embedded broker.")
    ),
    "key": CommandTarget("cli.keys:key", mark("Create, list, change and revoke API keys.")),
    "audit": CommandTarget(
        "cli.audit.commands:audit", mark("Verify, search and export the audit log.")
    ),
    "backup": CommandTarget(
        "cli.backups.create:backup", mark("Copy all data, while it is in use.")
    ),
    "restore": CommandTarget(
        "cli.backups.restore:restore", mark("Put the data of a backup in place.")
    ),
    "dead": CommandTarget("cli.dead:dead", mark("Replay or drop work that was given up.")),
    "webhooks": CommandTarget(
        "cli.webhooks:webhooks", mark("List and replay webhooks; their secrets.")
    ),
    "outcomes": CommandTarget("cli.sales:outcomes", mark("How right the estimates were.")),
    "predict": CommandTarget("cli.valuations.predict:predict", mark("Value one car.")),
    "batch": CommandTarget("cli.valuations.batch:batch", mark("Value every car of a file.")),
    "train": CommandTarget("cli.training.train:train", mark("Train a model version.")),
    "retrain": CommandTarget(
        "cli.retraining.retrain:retrain", mark("Train on new listings; activate if better.")
    ),
    "evaluate": CommandTarget(
        "cli.training.evaluate:evaluate", mark("Measure a model on real listings.")
    ),
    "recalibrate": CommandTarget(
        "cli.retraining.recalibrate:recalibrate", mark("Recalibrate intervals on later data.")
    ),
    "drift": CommandTarget(
        "cli.retraining.drift:drift", mark("Compare valued cars with the training data.")
    ),
    "market": CommandTarget("cli.market:market", mark("Show or rebuild the reference market.")),
    "models": CommandTarget("cli.models:models", mark("List, activate and roll back versions.")),
    "completion": CommandTarget(
        "cli.shell.completion:completion", mark("Complete commands in bash, zsh and fish.")
    ),
}

PACKAGE = "carpricepredictor-ma"
"""Distribution whose version `--version` shows."""


class LazyGroup(click.Group):
    """A click group that imports a command when it is called."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Run the command line, whatever the encoding of its output and its arguments."""
        accept_any_encoding()
        taken = take_language(sys.argv[1:] if args is None else args)
        speak(taken.language)
        if taken.refusal is not None:
            click.echo(f"carprice: {taken.refusal}", err=True)
            sys.exit(UNUSABLE)
        given = taken.arguments
        if (argument := undecodable_argument(given)) is not None:
            refuse_argument(argument)
        exits = options.pop("standalone_mode", True)
        call: Callable[..., Any] = super().main
        run = partial(call, given, *others, standalone_mode=False, **options)
        return run_and_exit(run) if exits else run()

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the arguments; `--help` writes here."""
        with broken_pipe_ends():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command whose arguments were read."""
        with broken_pipe_ends():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        from cli.shell.prepared import prepared  # noqa: PLC0415 - the list of commands needs none

        return prepared(load(cmd_name), cmd_name)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help in the language of the run, without importing the commands."""
        self.help = gettext(HELP)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the help section of commands without importing them."""
        with formatter.section(gettext("Commands")):
            rows = [(name, gettext(place.short_help)) for name, place in COMMANDS.items()]
            formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """What may follow the name of the program."""
        return [gettext(metavars.OPTIONS), gettext(metavars.COMMAND)]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The options in the language of the run, `--lang` among them."""
        from cli.shell.prepared import translated  # noqa: PLC0415 - as in `get_command`

        return [translated(each) for each in (language_option(), *super().get_params(ctx))]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """`--help`, which click keeps from the first run of the process."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = HELP_OPTION
        return option

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete the name of a command without importing it."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only shells need it

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=gettext(place.short_help))
            for name, place in COMMANDS.items()
            if name.startswith(incomplete)
        ]


def load(name: str) -> click.Command:
    """Import a command, with its English texts."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


HELP = mark("Prices of used cars in Morocco.")
HELP_OPTION = mark("Show this message and exit.")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PACKAGE, message="carprice %(version)s")
def main() -> None:
    """Prices of used cars in Morocco."""


if __name__ == "__main__":
    main()
