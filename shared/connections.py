"""Where this process finds the broker and the cache: given, or embedded."""

import dataclasses

from shared.embedded import embedded_url
from shared.settings import Settings


def with_server_urls(settings: Settings) -> Settings:
    """The settings with both URLs filled in and an absolute home."""
    settings = dataclasses.replace(settings, home=settings.home.resolve())
    return dataclasses.replace(
        settings,
        redis_url=settings.redis_url or embedded_url(settings, "broker"),
        cache_url=settings.cache_url or embedded_url(settings, "cache"),
    )
