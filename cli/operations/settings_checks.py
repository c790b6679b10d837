"""Checks of settings that contradict each other, or open the service to others."""

from collections.abc import Iterator

from api.middleware.authentication import has_public_address
from cli.operations.findings import Finding, Installation, as_owner, fault, warning
from launcher.ports import collisions, observing_ports, service_ports
from launcher.preflight import LOOPBACK
from shared.i18n.command import gettext as _
from shared.keys.shared_store import open_key_store
from shared.settings import Settings, SettingsError

NEW_KEY = "carprice key create operator --scope admin"


def check_access(found: Installation) -> Iterator[Finding]:
    """Who can reach the service needs a key, and sends it over TLS."""
    settings = found.settings
    try:
        has_keys = bool(open_key_store(settings).load())
    except SettingsError as error:
        is_hidden = isinstance(error.__cause__, PermissionError)
        yield fault(str(error), as_owner(settings.keys_file) if is_hidden else NEW_KEY)
        return
    is_public = has_public_address(settings)
    if settings.is_demo:
        if is_public and not settings.trusted_proxies:
            text = _("all visitors share the limits of one address: TRUSTED_PROXIES is 0")
            yield warning(text, "TRUSTED_PROXIES=1")
        return
    if not has_keys and not settings.is_loopback:
        text = _("HOST={host} can be reached from other machines, and there are no keys")
        yield fault(text.format(host=settings.host), NEW_KEY)
    elif not has_keys and (is_public or settings.trusted_proxies):
        text = _("a proxy opens the service to others, and there are no keys")
        yield fault(text, NEW_KEY)
    if has_keys and settings.public_url.startswith("http://") and is_public:
        text = _("keys are sent without TLS to PUBLIC_URL={url}").format(url=settings.public_url)
        yield warning(text, "PUBLIC_URL=https://…")


def check_settings(found: Installation) -> Iterator[Finding]:
    """Settings that do not fit together."""
    given = found.given
    yield from _ports(given)
    if given.flower_address not in LOOPBACK and not given.flower_basic_auth:
        text = _("Flower can be reached from other machines without a password")
        yield fault(text, "FLOWER_ADDRESS=127.0.0.1")
    if given.predict_wait_s > given.max_wait_s:
        text = _("PREDICT_WAIT_S is larger than MAX_WAIT_S, which ends every wait")
        yield warning(text, f"PREDICT_WAIT_S={given.max_wait_s:g}")
    yield from _places(given)


def _ports(given: Settings) -> Iterator[Finding]:
    """Ports that several programs would have; those of `carprice observe` may never be used."""
    ours = service_ports(given)
    for each in collisions([*ours, *observing_ports(given)]):
        stops_service = all(port in ours for port in each.ports[:2])
        yield (fault if stops_service else warning)(each.text, each.remedy)


def _places(given: Settings) -> Iterator[Finding]:
    """Settings that name files, servers and stores."""
    urls = (given.redis_url, given.cache_url)
    if given.redis_ca_file is not None:
        if not given.redis_ca_file.is_file():
            text = _("{variable} names {path}, which does not exist")
            members = {"variable": "REDIS_CA_FILE", "path": given.redis_ca_file}
            yield fault(text.format(**members), "REDIS_CA_FILE=")
        if not any(url.startswith(("rediss://", "sentinels://")) for url in urls):
            text = _("REDIS_CA_FILE is of no use: no server is reached over TLS")
            yield warning(text, "REDIS_URL=rediss://…")
    if given.retrain_data is not None and not given.retrain_data.is_dir():
        text = _("{variable} names {path}, which does not exist")
        members = {"variable": "RETRAIN_DATA", "path": given.retrain_data}
        yield fault(text.format(**members), f"mkdir -p {given.retrain_data}")
    if given.state_url and not given.blob_url:
        text = _("hosts share STATE_URL, but the results of files lie on one of them")
        yield warning(text, "BLOB_URL=s3://…")
