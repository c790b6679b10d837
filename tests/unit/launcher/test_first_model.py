"""The default model is trained on the first start, and not in place of a lost own one."""

from pathlib import Path

import pytest

from launcher.first_model import needs_default_model
from launcher.preflight import CannotStartError
from shared.settings import Settings
from tests.unit.model_store.small_retraining import make_registry


@pytest.mark.parametrize("name", ["stock.csv", "reference market"])
@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_lost_pointer_replaces_the_default_model_alone(
    tmp_path: Path, name: str, content: str | None
) -> None:
    path = tmp_path / "versions"
    settings = Settings(home=tmp_path, models_path=path)
    assert needs_default_model(settings)
    active = str(make_registry(path, name=name).active_version())
    assert not needs_default_model(settings)
    (path / "ACTIVE").unlink()
    if content is not None:
        (path / "ACTIVE").write_text(content)
    if name == "reference market":
        assert needs_default_model(settings)
        return
    with pytest.raises(CannotStartError, match=f"{active} was activated last"):
        needs_default_model(settings)
