"""`carprice completion`: the script by which a shell completes the command line."""

import click
from click.shell_completion import get_completion_class

from cli.shell.options import json_option
from cli.streams import echo_json

PROGRAM = "carprice"
VARIABLE = "_CARPRICE_COMPLETE"
"""Set by the script when it asks the program; click's name for it."""
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
@click.pass_context
def completion(ctx: click.Context, shell: str, *, as_json: bool) -> None:
    """Print the script that completes commands and options in a shell.

    \b
    bash:  eval "$(carprice completion bash)"    # ~/.bashrc
    zsh:   eval "$(carprice completion zsh)"     # ~/.zshrc
    fish:  carprice completion fish > ~/.config/fish/completions/carprice.fish
    """  # noqa: D301 - click's mark of lines that are kept
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has the shells of `SHELLS`
    root = ctx.find_root().command
    script = found(root, {}, PROGRAM, VARIABLE).source()
    if as_json:
        echo_json({"shell": shell, "script": script})
    else:
        click.echo(script)
