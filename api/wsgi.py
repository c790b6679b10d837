"""Entry of the API: `granian --interface wsgi api.wsgi:app`."""

from api.app import create_app
from shared.connections import with_connections
from shared.logging import configure_logging
from shared.settings import Settings

settings = with_connections(Settings.from_env())
configure_logging(settings.log_level, "api")
app = create_app(settings)
