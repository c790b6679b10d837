"""`carprice retrain`: a new version from new listings, activated if it is better."""

import getpass
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from cli.console import (
    DEFAULT_SEED,
    BadInputError,
    as_json_option,
    click_errors,
    print_json,
)
from model_store.registry.hosts import pull_models
from model_store.registry.shared_models import SharedModels
from shared.i18n.command import gettext as _
from shared.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from model_store.retraining.retrain import Retraining, RetrainingResult

EXIT_PARENT_DIED = 3
NICENESS = 15
"""Added to that of the bulk worker, which starts a scheduled retraining."""


@click.command()
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of listing files; all of them are read.",
)
@click.option(
    "--if-better",
    is_flag=True,
    help="Activate the new version only if it is significantly better than the active one on"
    " listings that neither has seen.",
)
@click.option("--dry-run", is_flag=True, help="Compare and tell; store and activate nothing.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Same seed, same model.")
@click.option(
    "--scheduled",
    is_flag=True,
    hidden=True,
    help="Started by a worker: ends when its standard input is closed.",
)
@as_json_option
def retrain(
    folder: Path, *, if_better: bool, dry_run: bool, seed: int, scheduled: bool, as_json: bool
) -> None:
    """Train on all listing files of a folder, and activate the new version.

    A candidate that has not seen the last months is compared with the active version on these.
    The same listings again do nothing.
    """
    if scheduled:
        _end_with_parent()
    settings = Settings.from_env()
    # matplotlib caches the list of fonts here instead of in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.home.resolve() / "matplotlib"))
    # scikit-learn takes seconds to import: a missing folder is reported before.
    from data.listings.loading import load_listings_of  # noqa: PLC0415

    with click_errors():
        listings, report = load_listings_of([folder])
        click.echo(report.summary(), err=True)
        from model_store.retraining.retrain import Retraining  # noqa: PLC0415
        from model_store.retraining.rollback import AUTOMATIC  # noqa: PLC0415

        pull_models(settings)
        with tqdm(
            desc=_("Training"), unit=_("step"), disable=True if scheduled else None
        ) as progress:
            retraining = Retraining(
                versions_path=settings.versions_path,
                name=f"{folder.resolve().name}/",
                seed=seed,
                by=AUTOMATIC if scheduled else getpass.getuser(),
                if_better=if_better,
                dry_run=dry_run,
                is_scheduled=scheduled,
                jobs=1 if scheduled else len(os.sched_getaffinity(0)),
                on_progress=lambda step: _show(progress, step),
                shared=SharedModels.of(settings),
            )
            result = _run(retraining, listings)
    if as_json:
        print_json(result.to_json() | {"data": report.to_json()})
    else:
        click.echo(_text(result))


def _show(progress: "tqdm[Any]", step: str) -> None:
    progress.set_postfix_str(step)
    progress.update()


def _run(retraining: "Retraining", listings: "pd.DataFrame") -> "RetrainingResult":
    from model_store.retraining.journal import RetrainingRuns  # noqa: PLC0415
    from model_store.retraining.retrain import ActiveVersionUnusable  # noqa: PLC0415

    path = retraining.versions_path
    before = _active(path)
    try:
        return retraining.run(listings)
    except OSError as error:
        now = _active(path)
        same, other = _("active version {version} is unchanged"), _("{version} is active now")
        state = (same if now == before else other).format(version=now)
        if now is None:
            state = _("no version is active")
        text = _(
            "the version cannot be stored in {folder}: {reason}; {state}. Check free space and"
            " permissions of that folder and of the one for temporary files, then run the command"
            " again"
        )
        reason = error.strerror or error
        raise BadInputError(text.format(folder=path, reason=reason, state=state)) from None
    except ActiveVersionUnusable as error:
        text = _(
            "{error} `carprice models rollback` returns to the version before, `carprice models"
            " activate VERSION` takes another one"
        )
        raise BadInputError(text.format(error=error)) from None
    except RetrainingRuns:
        text = _("another retraining runs with this registry; try again when it has ended")
        raise BadInputError(text) from None


def _active(versions_path: Path) -> str | None:
    """The active version; None if there is none or the registry cannot be read."""
    from model_store.registry.registry import ModelRegistry  # noqa: PLC0415

    try:
        return ModelRegistry(versions_path).active_version()
    except OSError:
        return None


def _text(result: "RetrainingResult") -> str:
    lines = [_("{number} listings").format(number=f"{result.rows:,}")]
    if result.judged_months:
        first, last = result.judged_months
        text = _("compared on listings of {first} to {last}")
        lines.append(text.format(first=first, last=last))
    lines.append(result.reason)
    made = result.version or _("a version trained on all listings")
    words = {
        "activated": (_("activated: {version}"), _("would be activated: {version}"), made),
        "kept": (_("kept: {version}"), _("would be kept: {version}"), result.active_before),
        "unchanged": (*[_("nothing to do; active: {version}")] * 2, result.active_before),
    }
    done, would, version = map(str, words[str(result.decision)])
    return "\n".join([*lines, (would if result.dry_run else done).format(version=version)])


def _end_with_parent() -> None:
    """Run with low priority, and end when the standard input is closed: the worker was killed."""
    os.nice(NICENESS)

    def watch() -> None:
        # Not `sys.stdin`, whose lock this thread would hold when the process ends by itself.
        while os.read(0, 1):
            pass
        os._exit(EXIT_PARENT_DIED)

    threading.Thread(target=watch, daemon=True).start()
