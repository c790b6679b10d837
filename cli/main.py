"""The command line `carprice`: a table of commands, whose modules are imported on use.

So `carprice --help` starts fast, and no command loads the code of another.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from cli.streams import accept_any_encoding, refuse_argument, undecodable_argument


class CommandTarget(NamedTuple):
    """Import path of a command (`module:attribute`) and its help text."""

    target: str
    short_help: str


COMMANDS: dict[str, CommandTarget] = {
    "up": CommandTarget("launcher.up:up", "Start the whole service here."),
    "run": CommandTarget("launcher.up:run", "Run one process of the service."),
    "first-model": CommandTarget(
        "launcher.first_model:first_model", "Train unless a model is active."
    ),
    "repair-broker": CommandTarget(
        "cli.broker:repair_broker", "Repair damaged files of the embedded broker."
    ),
    "key": CommandTarget("cli.keys:key", "Create, list, change and revoke API keys."),
    "audit": CommandTarget("cli.audit:audit", "Check the audit log."),
    "backup": CommandTarget("cli.backups.create:backup", "Copy all data, while it is in use."),
    "restore": CommandTarget("cli.backups.restore:restore", "Put the data of a backup in place."),
    "dead": CommandTarget("cli.dead:dead", "Replay or drop work that was given up."),
    "webhooks": CommandTarget("cli.webhooks:webhooks", "List and replay webhooks; their secrets."),
    "outcomes": CommandTarget("cli.sales:outcomes", "How right the estimates were."),
    "predict": CommandTarget("cli.valuations.predict:predict", "Value one car."),
    "batch": CommandTarget("cli.valuations.batch:batch", "Value every car of a file."),
    "train": CommandTarget("cli.training.train:train", "Train a model version."),
    "retrain": CommandTarget(
        "cli.retraining.retrain:retrain", "Train on new listings; activate if better."
    ),
    "evaluate": CommandTarget(
        "cli.training.evaluate:evaluate", "Measure a model on real listings."
    ),
    "recalibrate": CommandTarget(
        "cli.retraining.recalibrate:recalibrate", "Recalibrate intervals on later data."
    ),
    "drift": CommandTarget(
        "cli.retraining.drift:drift", "Compare valued cars with the training data."
    ),
    "market": CommandTarget("cli.market:market", "Show or rebuild the reference market."),
    "models": CommandTarget("cli.models:models", "List, activate and roll back versions."),
}

PACKAGE = "carpricepredictor-ma"
"""Distribution whose version `--version` shows."""


class LazyGroup(click.Group):
    """A click group that imports a command when it is called."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Run the command line, whatever the encoding of its output and its arguments."""
        accept_any_encoding()
        given = sys.argv[1:] if args is None else args
        if (argument := undecodable_argument(given)) is not None:
            refuse_argument(argument)
        return super().main(args, *others, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the help section of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.short_help) for name, place in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PACKAGE, prog_name="carprice")
def main() -> None:
    """Prices of used cars in Morocco."""


if __name__ == "__main__":
    main()
