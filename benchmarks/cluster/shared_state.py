"""Checks of what hosts share: answers, models, keys, names."""

import http.client
import time
from collections.abc import Callable

from benchmarks.cluster.hosts import Host
from benchmarks.cluster.run import Run, passes
from benchmarks.cluster.work import kill_workers, submitting
from tests.conftest import wait_until

ACTIVATION_S, REVOCATION_S, TIMEOUT_S = 3.0, 2.0, 60.0
POLL_S = 0.02


def check_answers(run: Run) -> None:
    """Work through both APIs while processes of both worker hosts are killed again and again."""
    with submitting(run.cluster, run.accounts.ledger, run.size.work):
        killed = kill_workers(run.cluster, run.size.kill_rounds)
    run.table.say(f"  {killed} processes killed")
    run.check_work()


def check_models(run: Run) -> None:
    """Activate a version on one API, and roll back on the other."""
    first, second = run.cluster.apis
    limit_s = ACTIVATION_S * run.size.slack
    allowed = [http.client.OK] + [http.client.ACCEPTED] * (run.size.slack > 1)
    active = str(first.get("/models/active")["version"])
    others = [one["version"] for one in first.get("/models")["models"] if one["version"] != active]
    for name, api, path, version in (
        ("activation", first, f"/models/{others[0]}/activate", others[0]),
        ("roll-back", second, "/models/rollback", active),
    ):
        started = time.monotonic()
        with api.client() as client:
            answer = client.post(path)
        answered_s = time.monotonic() - started

        def serves(version: str = version) -> bool:
            return set(run.cluster.serving()) == {version} and all(
                api.get("/models/active")["version"] == version for api in run.cluster.apis
            )

        serve = passes(serves, TIMEOUT_S)
        seconds = time.monotonic() - started
        run.table.add(
            f"{name} is effective on every API and worker",
            f"{' or '.join(f'{each:d}' for each in allowed)}, and within {limit_s:g} s",
            f"{answer.status_code} after {answered_s:.1f} s; all {len(run.cluster.serving())} "
            f"processes serve it after {seconds:.1f} s",
            is_kept=answer.status_code in allowed and serve and seconds <= limit_s,
        )


def check_keys(run: Run) -> None:
    """Create a key on a worker's host, and revoke it there."""
    host = run.cluster.workers[0]
    key = host.command("key", "create", "revoked", "--scope", "predict")

    def created() -> bool:
        return _statuses(run, key) == [http.client.OK] * 2

    wait_until(created, TIMEOUT_S, "the key is valid everywhere")
    host.command("key", "revoke", "revoked")
    limit_s = REVOCATION_S * run.size.slack
    seconds = _measured(lambda: _statuses(run, key) == [http.client.UNAUTHORIZED] * 2)
    run.table.add(
        "a revoked key is refused by every API",
        f"401 within {limit_s:g} s of the command",
        f"both 401 after {seconds:.1f} s",
        is_kept=seconds <= limit_s,
    )


def check_names(run: Run) -> None:
    """Look at the hosts with the same name, which all checks have."""
    if not run.cluster.network.are_isolated:
        reason = "every host has this machine's name, as there are no namespaces"
        run.table.leave_out("two hosts with the same name", "each has an identity", reason)
        return
    names = [host.host_name() for host in run.cluster.workers]
    ids = {(host.seen_home / "audit" / "host-id").read_text() for host in run.cluster.hosts}
    processes = len(run.cluster.serving())
    run.table.add(
        "two hosts with the same name",
        "each has an identity, all processes serve",
        f"names {names}, {len(ids)} identities, {processes} processes",
        is_kept=len(set(names)) == 1 and len(ids) == len(run.cluster.hosts),
    )
    _check_registrations(run)


def _check_registrations(run: Run) -> None:
    """Restart a worker of one host; look whether that of the other stays registered."""
    before, kept, is_new = run.cluster.registrations(), [], False
    run.cluster.workers[0].restart("interactive")
    until = time.monotonic() + TIMEOUT_S
    while not is_new and time.monotonic() < until:
        found = run.cluster.registrations()
        is_new = bool(found - before)
        kept.append(len(found & before))
        time.sleep(POLL_S)
    kept.append(len(run.cluster.registrations() & before))
    run.table.add(
        "a worker that starts leaves the registration of one with its name on another host",
        "always there",
        f"{'always there' if min(kept) else 'was missing'} in {len(kept)} looks",
        is_kept=is_new and min(kept) > 0,
    )


def key_status(api: Host, key: str) -> int:
    """What a caller with a key is answered."""
    return api.connection(key).request("GET", "/models/active")[0]


def _statuses(run: Run, key: str) -> list[int]:
    return [key_status(api, key) for api in run.cluster.apis]


def _measured(condition: Callable[[], bool]) -> float:
    """Seconds until a condition is true, or `TIMEOUT_S`."""
    started = time.monotonic()
    while not condition() and time.monotonic() < started + TIMEOUT_S:
        time.sleep(POLL_S)
    return time.monotonic() - started
