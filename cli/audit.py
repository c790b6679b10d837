"""`carprice audit verify`: checks the hash chains of the audit log."""

from pathlib import Path

import click

from shared.audit.log import OUTCOMES, PREDICTIONS, ChainVerifier, file_pattern
from shared.settings import Settings


@click.group()
def audit() -> None:
    """Check the audit log."""


@audit.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
def verify(folder: Path | None) -> None:
    """Find changed, missing and reordered records; exit code 1 if there are any, 2: no log."""
    folder = folder or Settings.from_env().audit_folder
    if not folder.is_dir():
        click.echo(f"carprice: no audit log at {folder}: is CARPRICE_HOME right?", err=True)
        raise SystemExit(2)
    named = file_pattern(PREDICTIONS, OUTCOMES)
    files = [path for path in sorted(folder.glob("*.jsonl")) if named.fullmatch(path.name)]
    total, broken = 0, 0
    for path in files:
        count, fault = check_file(path)
        total += count
        if fault:
            broken += 1
            click.echo(f"{path.name}: {fault}", err=True)
    click.echo(f"{total} records in {len(files)} files are whole, {broken} files are not")
    if broken:
        raise SystemExit(1)


def check_file(path: Path) -> tuple[int, str]:
    """Number of valid records at the beginning of a file, and its first error or ""."""
    chain = ChainVerifier()
    with path.open("rb") as file:
        for line in file:
            number = chain.verified + chain.open + 1
            if not line.endswith(b"\n"):
                torn = f"line {number} is torn: its writer died, or is writing it now"
                return chain.verified, torn
            if not chain.follow(line):
                lines = (
                    f"line {number} was"
                    if chain.verified + 1 >= number
                    else (f"a line from {chain.verified + 1} to {number} was")
                )
                return chain.verified, f"{lines} changed, or what stood before it is missing"
    if chain.open:
        return chain.verified, f"what stood after line {chain.verified + chain.open} is missing"
    return chain.verified, ""
