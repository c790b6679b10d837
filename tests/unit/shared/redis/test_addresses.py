"""URLs of servers and sentinels."""

from pathlib import Path

import pytest

from shared.queue.celery_app import make_celery
from shared.redis.addresses import parse_address, server_location, with_ca_file
from shared.redis.servers import with_server_urls
from shared.settings import Settings, SettingsError


def test_the_login_of_a_sentinel_url_is_that_of_the_server() -> None:
    address = parse_address(
        "sentinel://user:p%40ss@a.example,b.example:5000/queue?db=3&sentinel_password=other"
    )
    assert address.places == [("a.example", 26_379), ("b.example", 5000)]
    assert address.service == "queue"
    assert address.options == {"username": "user", "password": "p@ss", "db": 3}
    assert address.sentinel_options == {"password": "other"}


def test_certificates_are_verified_unless_the_url_says_otherwise() -> None:
    for url in ("rediss://queue.example/0", "sentinels://a.example/queue"):
        options = parse_address(url).options
        assert options["ssl_cert_reqs"] == "required"
        assert options["ssl_check_hostname"] is True
    unverified = parse_address("rediss://queue.example/0?ssl_cert_reqs=none")
    assert unverified.options["ssl_cert_reqs"] == "none"
    by_address = parse_address("rediss://10.0.0.1/0?ssl_check_hostname=no")
    assert by_address.options["ssl_check_hostname"] is False
    assert "ssl_cert_reqs" not in parse_address("redis://queue.example/0").options


def test_sentinels_are_asked_by_tls_with_the_same_authorities() -> None:
    address = parse_address(with_ca_file("sentinels://a.example/queue", "/etc/ca.pem"))
    assert address.options["ssl_ca_certs"] == "/etc/ca.pem"
    assert address.sentinel_options["ssl"] is True
    assert address.sentinel_options["ssl_ca_certs"] == "/etc/ca.pem"


def test_authorities_are_added_once_and_only_to_urls_with_tls(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    settings = Settings(
        home=tmp_path,
        redis_url="rediss://queue.example/0",
        cache_url="redis://cache.example/0",
        redis_ca_file=ca_file,
    )
    once = with_server_urls(settings)
    assert parse_address(once.redis_url).options["ssl_ca_certs"] == str(ca_file)
    assert once.cache_url == settings.cache_url
    assert with_server_urls(once) == once


@pytest.mark.parametrize("url", ["sentinel://a.example", "sentinel:///queue", "http://a.example"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected|must"):
        parse_address(url)
    with pytest.raises(SettingsError, match="REDIS_URL"):
        Settings.from_env({"REDIS_URL": url})


def test_a_location_shows_no_password() -> None:
    url = "sentinel://user:secret@a.example,b.example:5000/queue?sentinel_password=hidden"
    assert server_location(url) == "queue of the sentinels a.example:26379, b.example:5000"


def test_celery_verifies_certificates_and_hides_the_password_of_the_sentinels() -> None:
    url = with_ca_file("sentinels://:secret@a.example/queue?sentinel_password=hidden", "/ca.pem")
    conf = make_celery(url).conf
    assert conf.broker_url == "sentinel://:secret@a.example:26379/0"
    assert conf.broker_use_ssl["ssl_cert_reqs"] == "required"
    assert conf.broker_use_ssl["ssl_ca_certs"] == "/ca.pem"
    assert "hidden" not in str(dict(conf.broker_transport_options))
    assert make_celery("redis://queue.example/0").conf.broker_use_ssl is None


def test_a_prefix_has_no_spaces_or_patterns() -> None:
    assert Settings.from_env({"REDIS_PREFIX": "test:"}).redis_prefix == "test:"
    for prefix in ("a b", "*", "{slot}", "x" * 41):
        with pytest.raises(SettingsError, match="REDIS_PREFIX"):
            Settings.from_env({"REDIS_PREFIX": prefix})
