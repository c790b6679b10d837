"""The client reaches this machine without a proxy, and others by what the environment says."""

import httpx
import pytest

from client.errors import CarPriceError, ServiceUnreachableError, UnexpectedAnswerError
from client.proxies import proxy_of
from client.sync import CarPriceClient

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "env", "named"),
    [
        ("http://cars.example", {"http_proxy": "proxy:3128"}, "http_proxy=http://proxy:3128"),
        ("http://cars.example", {"HTTP_PROXY": "http://p"}, "http_proxy=http://p"),
        ("https://cars.example", {"http_proxy": "http://p"}, None),
        ("https://cars.example", {"all_proxy": "socks5://p:1"}, "all_proxy=socks5://p:1"),
        ("http://cars.example", {"all_proxy": "http://a", "http_proxy": "http://h"},
         "http_proxy=http://h"),
        ("http://cars.example", {"http_proxy": "http://me:word@p:1"}, "http_proxy=http://…@p:1"),
        ("http://cars.example", {"http_proxy": "http://p", "no_proxy": "example"}, None),
        ("http://cars.example:81", {"http_proxy": "http://p", "no_proxy": "a.b, *"}, None),
        ("http://localhost:81", {"all_proxy": "http://p"}, None),
        ("http://cars.localhost", {"all_proxy": "http://p"}, None),
        ("http://127.9.9.9", {"all_proxy": "http://p"}, None),
        ("http://[::1]:81", {"all_proxy": "http://p"}, None),
        ("http://[::ffff:127.0.0.1]", {"all_proxy": "http://p"}, None),
        ("http://127.0.0.1.example", {"all_proxy": "http://p"}, "all_proxy=http://p"),
        ("http://[bad", {"all_proxy": "http://p"}, None),
        ("http://cars.example", {}, None),
    ],
)  # fmt: skip
def test_the_proxy_of_an_address(
    monkeypatch: pytest.MonkeyPatch, url: str, env: dict[str, str], named: str | None
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = proxy_of(url)
    assert (None if found is None else str(found)) == named


def test_a_proxy_of_an_unknown_kind_is_an_error_of_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "gopher://proxy.example")
    with pytest.raises(ServiceUnreachableError, match=r"gopher://proxy\.example") as error:
        CarPriceClient("http://cars.example")
    assert error.value.proxy is not None


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'"x"', b"{}", b'{"id": "x"}', b"\xff"])
def test_an_answer_of_another_service_is_an_error_of_the_client(answer: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=answer))
    client = CarPriceClient("http://service", transport=transport)
    for call in (lambda: client.value({}), lambda: client.job("x"), lambda: client.batch("x")):
        with pytest.raises(UnexpectedAnswerError, match="not of the car price service"):
            call()


@pytest.mark.parametrize("car", [{"company": "\ud800"}, {"year": float("nan")}])
def test_a_car_that_json_cannot_hold_is_an_error_of_the_client(car: dict[str, object]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with pytest.raises(CarPriceError, match="cannot be written"):
        CarPriceClient("http://service", transport=transport).value(car)
