"""Who may read an estimate of a service with keys."""

from tests.unit.api.pages.estimates.conftest import BROWSER, ask


def bearer(auth: tuple[str, str]) -> dict[str, str]:
    """The key as programs send it."""
    return {"Authorization": f"Bearer {auth[1]}"}


def test_an_estimate_is_read_by_its_caller_and_administrators_only(keyed, cached):
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    id_ = path.rsplit("/", 1)[-1]
    stranger = page.get(path, headers=BROWSER)
    assert stranger.status_code == 401
    assert stranger.headers["WWW-Authenticate"].startswith("Basic ")
    for auth, status in ((keyed.owner, 200), (keyed.other, 404), (keyed.admin, 200)):
        assert page.get(path, auth=auth).status_code == status
        assert page.get(f"/valuations/{id_}", headers=bearer(auth)).status_code == status
    for suffix in (".pdf", ".png"):
        assert page.get(path + suffix).status_code == 401
        assert page.get(path + suffix, auth=keyed.other).status_code == 404
    assert page.get(f"/valuations/{id_}").status_code == 401


def test_an_unknown_address_does_not_show_that_it_is_unknown(keyed, cached):
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    unknown = path[:-1] + ("0" if path[-1] != "0" else "1")
    assert page.get(path).status_code == page.get(unknown).status_code == 401
    assert (
        page.get(path, auth=keyed.other).status_code
        == page.get(unknown, auth=keyed.other).status_code
        == 404
    )


def test_its_caller_shares_it_and_takes_it_back(keyed, cached):
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    assert "Partager par lien" in page.get(path, auth=keyed.owner).text
    assert "wa.me" not in page.get(path, auth=keyed.owner).text

    shared = page.post(f"{path}/partage", data={"partage": "oui"}, auth=keyed.owner)
    assert (shared.status_code, shared.headers["Location"]) == (303, f"{path}#partager")
    read = keyed.browser().get(path, headers=BROWSER)
    assert read.status_code == 200
    assert "wa.me" in read.text
    assert "partage" not in read.text.replace("partager", ""), "only its caller decides"
    assert page.get(path, auth=keyed.other).status_code == 200
    assert page.get(f"/valuations/{path.rsplit('/', 1)[-1]}").status_code == 200
    assert "dealer" not in read.text

    page.post(f"{path}/partage", data={"partage": "non"}, auth=keyed.owner)
    assert keyed.browser().get(path).status_code == 401


def test_nobody_else_shares_it(keyed, cached):
    cached()
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    form = {"partage": "oui"}
    assert page.post(f"{path}/partage", data=form).status_code == 401
    assert page.post(f"{path}/partage", data=form, auth=keyed.other).status_code == 404
    assert page.post(f"{path}/partage", data=form, auth=keyed.admin).status_code == 403
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    answer = page.post(f"{path}/partage", data=form, auth=keyed.owner, headers=elsewhere)
    assert answer.status_code == 403
    assert page.get(path).status_code == 401


def test_the_caller_of_a_slow_estimate_waits_alone(keyed):
    page = keyed.browser()
    path = ask(page, auth=keyed.owner)
    assert page.get(path, auth=keyed.owner).status_code == 202
    assert page.get(path, auth=keyed.other).status_code == 404
    assert page.get(path).status_code == 401
