"""A webhook is believed only if the owner of the secret has signed it, recently."""

import base64
import json
import time
from typing import Any

import pytest

from client.webhooks import InvalidWebhookError, verify
from shared.webhooks.signing import new_secret, signature_headers
from tests.unit.client.test_client import VALUATION

SECRET, OTHER = new_secret(), new_secret()
BODY = json.dumps(
    {"type": "job.succeeded", "timestamp": "2026-11-30T00:00:00.000+00:00",
     "data": {"id": "j1", "kind": "job", "state": "SUCCEEDED", "result": VALUATION}}
).encode()  # fmt: skip


def signed(*secrets: str, body: bytes = BODY, age_s: float = 0, **changed: str) -> dict[str, str]:
    """Headers as the service makes them."""
    at = int(time.time() - age_s)
    headers = dict(signature_headers("w1", at, body, secrets or (SECRET,)))
    return headers | {name.replace("_", "-"): value for name, value in changed.items()}


def test_a_webhook_of_the_service_is_read() -> None:
    event = verify(signed(), BODY, SECRET)
    assert (event.id, event.type, event.kind, event.work_id) == ("w1", "job.succeeded", "job", "j1")
    assert event.job is not None
    assert event.job.valuations[0].price_mad == 187_000
    assert event.timestamp.year == 2026


def test_the_example_of_the_specification_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.webhooks.time.time", lambda: 1614265330.0)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with pytest.raises(InvalidWebhookError, match="body"):  # signed, but not of this service
        verify(headers, b'{"test": 2432232314}', secret)
    with pytest.raises(InvalidWebhookError, match="signature"):
        verify(headers, b'{"test": 2432232315}', secret)


@pytest.mark.parametrize(
    "given",
    [
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: list(headers.items()),
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
    ],
    ids=["other letters", "pairs", "bytes"],
)
def test_headers_are_read_as_frameworks_give_them(given: Any) -> None:
    assert verify(given(signed()), BODY, SECRET).id == "w1"


@pytest.mark.parametrize(
    ("signers", "known"),
    [((SECRET, OTHER), OTHER), ((SECRET, OTHER), SECRET), ((SECRET,), [OTHER, SECRET])],
)
def test_secrets_are_replaced_without_a_gap(signers: tuple[str, ...], known: Any) -> None:
    assert verify(signed(*signers), BODY, known).id == "w1"


def test_signatures_of_other_versions_are_passed_over() -> None:
    ours = signed()["webhook-signature"]
    assert verify(signed(webhook_signature=f"v1a,{ours[3:]} v2,x {ours}"), BODY, SECRET).id == "w1"
    with pytest.raises(InvalidWebhookError):
        verify(signed(webhook_signature=f"v1a,{ours[3:]} v2,x"), BODY, SECRET)


@pytest.mark.parametrize(
    "headers",
    [
        signed(OTHER),
        signed(webhook_id="w2"),
        signed(webhook_timestamp=str(int(time.time()) + 1)),
        signed(webhook_timestamp="soon"),
        signed(webhook_signature=""),
        signed(webhook_signature="v1,"),
        signed(webhook_signature="v1,é\udcff"),
        signed(webhook_signature=signed()["webhook-signature"][:-2]),
        {name: value for name, value in signed().items() if name != "webhook-id"},
        {},
    ],
)
def test_what_is_not_signed_by_the_owner_of_the_secret_is_refused(headers: Any) -> None:
    with pytest.raises(InvalidWebhookError):
        verify(headers, BODY, SECRET)


@pytest.mark.parametrize(("age_s", "said"), [(400, r"40\d s old"), (-400, "ahead of this machine")])
def test_a_webhook_of_another_time_is_refused(age_s: float, said: str) -> None:
    with pytest.raises(InvalidWebhookError, match=said):
        verify(signed(age_s=age_s), BODY, SECRET)
    assert verify(signed(age_s=age_s), BODY, SECRET, tolerance_s=500).id == "w1"


def test_a_signed_time_that_is_none_is_refused() -> None:
    headers = dict(signature_headers("w1", "²", BODY, [SECRET]))
    with pytest.raises(InvalidWebhookError, match="is no time"):
        verify(headers, BODY, SECRET)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"type": "x", "data": {}}'])
def test_a_signed_body_that_is_no_webhook_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidWebhookError, match="body"):
        verify(signed(body=body), body, SECRET)


def test_mistakes_of_the_receiver_are_no_forgeries() -> None:
    with pytest.raises(TypeError, match="bytes"):
        verify(signed(), BODY.decode(), SECRET)
    for secret in ("", "whsec_", "whsec_é", "not base 64!", []):
        with pytest.raises(ValueError, match="secret"):
            verify(signed(), BODY, secret)
    with pytest.raises(ValueError, match="base 64") as error:
        verify(signed(), BODY, "whsec_topsecret!")
    assert "topsecret" not in str(error.value)


def test_a_webhook_without_its_result_has_no_job() -> None:
    content = json.loads(BODY)
    del content["data"]["result"]
    body = json.dumps(content).encode()
    assert verify(signed(body=body), body, SECRET).job is None


def test_a_secret_without_its_prefix_is_the_same() -> None:
    plain = base64.b64encode(base64.b64decode(SECRET.removeprefix("whsec_"))).decode()
    assert verify(signed(), BODY, plain).id == "w1"
