"""Suggestions by the model version that is active."""

from pathlib import Path

from api.http.context import services
from api.suggestions.usual import UsualValues, usual_values
from shared.domain.names import fold_name
from shared.domain.reading import NamesMissing
from shared.vehicles.names import read_names


def find_usual_values(company: str, model: str, year: int) -> UsualValues:
    """The usual values by the active version, of names as people write them."""
    try:
        reading = read_names(fold_name(company) or None, fold_name(model) or None)
    except NamesMissing:
        return UsualValues()
    return usual_values(active_folder(), reading.company, reading.model, year)


def active_folder() -> Path | None:
    """The folder of the active model version; None without one."""
    active = services().active_model.version_id()
    return None if active is None else services().settings.versions_path / active
