"""Secrets of webhooks and the signatures that they make."""

import base64
import datetime as dt

import pytest

from shared.webhooks.secret_store import SecretStoreError, WebhookSecret, WebhookSecrets
from shared.webhooks.signing import new_secret, secret_bytes, signature_headers

NOW = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)


def entry(owner: str, *, age_h: float = 0.0, ends_in_h: float | None = None) -> WebhookSecret:
    until = None if ends_in_h is None else NOW + dt.timedelta(hours=ends_in_h)
    return WebhookSecret(
        owner=owner,
        secret=new_secret(),
        created_at=NOW - dt.timedelta(hours=age_h),
        expires_at=until,
    )


def test_signatures_are_those_of_standard_webhooks() -> None:
    # The example of the specification, and of the libraries that verify it.
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert dict(headers) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_signs() -> None:
    first, second = new_secret(), new_secret()
    both = signature_headers("id", 1, b"{}", [first, second])[2][1]
    single = [signature_headers("id", 1, b"{}", [each])[2][1] for each in (first, second)]
    assert both.split() == single


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "whsec_short", "secret", "whsec_%%%", base64.b64encode(b"x" * 32).decode(),
     "whsec_" + base64.b64encode(b"x" * 65).decode()],
)  # fmt: skip
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and 24 to 64 bytes"):
        secret_bytes(text)


def test_secrets_sign_for_their_owner_until_they_end(tmp_path) -> None:
    now = [NOW.timestamp()]
    store = WebhookSecrets(tmp_path / "home" / "secrets.json", lambda: now[0])
    assert store.signing("") == []
    service, old, new = entry("service"), entry("abc", age_h=1, ends_in_h=2), entry("abc")
    WebhookSecrets(store.path).change(lambda _: [service, old, new])
    assert store.path.stat().st_mode & 0o077 == 0
    assert store.signing("") == [], "the file is looked at once a second"
    now[0] += 1.0
    assert store.signing("") == [service.secret]
    assert store.signing("abc") == [new.secret, old.secret], "the newest first"
    assert store.signing("other") == []
    now[0] += 2 * 3600
    assert store.signing("abc") == [new.secret]


def test_a_damaged_file_is_reported_without_its_content(tmp_path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('[{"owner": "a", "secret": "whsec_topsecret"}]')
    with pytest.raises(SecretStoreError, match="not a file of webhook secrets") as caught:
        WebhookSecrets(path).signing("")
    assert "topsecret" not in str(caught.value)
    with pytest.raises(SecretStoreError):
        WebhookSecrets(path).change(lambda secrets: secrets)
    assert "topsecret" in path.read_text(), "nothing was replaced"
