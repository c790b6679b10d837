"""Which addresses webhooks may be sent to."""

from ipaddress import ip_address

import pytest

from shared.settings import Settings, SettingsError
from shared.webhooks.addresses import (
    URL_MAX_CHARS,
    AddressPolicy,
    CallbackRefusal,
    CallbackRefusedError,
    parse_address,
)

PUBLIC = AddressPolicy()
LOCAL = AddressPolicy.of("127.0.0.0/8, 10.1.0.0/16,::1/128,169.254.0.0/16")


def refusal(url: str, policy: AddressPolicy = PUBLIC) -> CallbackRefusal | None:
    try:
        policy.check_url(url)
    except CallbackRefusedError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks",
        "HTTP://Shop.Example",
        "https://shop.example?a=b",
        "https://shop.example:8443/a/b?c=%20&d=@:e",
        "http://8.8.8.8/x",
        "http://[2606:4700::1111]:8080/",
    ],
)
def test_public_addresses_are_accepted(url: str) -> None:
    assert refusal(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hooks",
        "//shop.example/hooks",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://shop.example:70/",
        "http:///path",
        "http://",
        "http://user@shop.example/",
        "http://user:pass@shop.example/",
        "http://8.8.8.8@127.0.0.1/",
        "http://shop.example\\@127.0.0.1/",
        "http://shop.example/a\\b",
        "http://shop.example/#fragment",
        "http://shop.example/a b",
        "http://shop.example/\r\nX: y",
        "http://shop.example/caf\u00e9",
        "http://caf\u00e9.example/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://[1.2.3.4]/",
        "http://999.1.1.1.1/",
        "http://shop.example:/",
        "http://shop.example:port/",
        "https://shop.example/" + "x" * URL_MAX_CHARS,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    assert refusal(url) is CallbackRefusal.NOT_A_URL


@pytest.mark.parametrize("port", [0, 22, 25, 81, 1023, 65_536, 99_999])
def test_ports_of_other_protocols_are_refused(port: int) -> None:
    assert refusal(f"http://shop.example:{port}/") is CallbackRefusal.PORT


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0", "0.0.0.0",
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "168.63.129.16",
        "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
        "[::]", "[::1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
        "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001:0:1::1]", "[2001:db8::1]",
        "localhost", "LOCALHOST.", "a.localhost", "broker", "printer.local", "db.internal",
    ],
)  # fmt: skip
def test_hosts_that_are_not_public_are_refused(host: str) -> None:
    assert refusal(f"http://{host}/") is CallbackRefusal.NOT_PUBLIC


def test_the_operator_allows_networks() -> None:
    for host in ("127.0.0.1:9000", "127.1", "10.1.2.3", "[::1]", "localhost", "receiver:8080"):
        assert refusal(f"http://{host}/", LOCAL) is None
    for host in ("10.2.0.1", "192.168.1.1", "[::ffff:10.1.2.3]"):
        assert refusal(f"http://{host}/", LOCAL) is CallbackRefusal.NOT_PUBLIC


def test_addresses_of_credentials_are_never_allowed() -> None:
    assert not LOCAL.permits(ip_address("169.254.169.254"))
    everything = AddressPolicy.of("0.0.0.0/0,::/0")
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "::169.254.169.254",
                 "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "fd00:ec2::254",
                 "fd00:ec2::23", "fd20:ce::254", "169.254.170.2", "169.254.170.23"):  # fmt: skip
        assert not everything.permits(ip_address(text))
    assert everything.permits(ip_address("fd00:ec2::1"))
    assert LOCAL.permits(ip_address("169.254.1.1"))


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8,::1/200", "1.2.3"])
def test_a_setting_that_is_no_network_is_named(networks: str) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_ALLOWED_NETWORKS: "):
        Settings.from_env({"WEBHOOK_ALLOWED_NETWORKS": networks})


def test_the_parts_of_an_address_are_those_that_are_called() -> None:
    assert parse_address("http://[2606:4700::1111]?x=1") == (
        "http", "2606:4700::1111", 80, "/?x=1",
    )  # fmt: skip
    assert parse_address("https://A.example:443/b").origin == "https://a.example"
    assert parse_address("http://[2606:4700::1]:8080").origin == "http://[2606:4700::1]:8080"
