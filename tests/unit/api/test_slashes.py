"""Addresses with slashes too many."""

import pytest

from api.app import create_app
from shared.redis.servers import with_server_urls
from shared.settings import Settings


@pytest.mark.parametrize("path", ["/batches//results", "/jobs//x"])
def test_an_address_with_a_part_missing_is_not_found_as_any_other(tmp_path, path):
    settings = with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    answer = create_app(settings).test_client().get(f"http://localhost{path}")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
