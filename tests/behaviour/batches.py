"""Records the results of many uploads in every format."""

import io
from dataclasses import dataclass
from typing import Any

import httpx
import pyarrow.parquet as pq

from tests.behaviour.files import File, files
from tests.behaviour.normal import Headers, Placeholders, ValueTable, digest, digest_of
from tests.behaviour.running import Service, wait_until
from tests.behaviour.scenarios import audit_line

FORMS = {
    "csv": "results",
    "excel-fr": "results?dialect=excel-fr",
    "ndjson": "results?format=ndjson",
    "parquet": "results?format=parquet",
    "rejected": "rejected",
    "rejected excel-fr": "rejected?dialect=excel-fr",
    "errors": "errors",
}
FIRST_LINES = 3
LINES_IN_FULL = 14
OWN_HEADERS = ("content-disposition", "carprice-results")
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


@dataclass(frozen=True)
class HeaderRecorder:
    """Records headers; those that many responses share are recorded once in a table."""

    plain: Headers
    table: ValueTable

    def headers(self, answer: httpx.Response, names: Placeholders) -> list[str]:
        """Return the name of the response's headers in the table, and its file name headers."""
        lines = self.plain.of(answer.headers.multi_items(), names)
        own = [line for line in lines if line.startswith(OWN_HEADERS)]
        return [self.table.name([line for line in lines if line not in own]), *own]


def _audit(service: Service, batch_id: str) -> list[Any]:
    """Return number, digest and first record of each audit file of a batch."""
    files = []
    for path in sorted((service.home.folder / "audit").rglob(f"*{batch_id}*.jsonl")):
        lines = [audit_line(line) for line in path.read_text("utf-8").splitlines()]
        files.append([len(lines), digest("\n".join(lines)), *lines[:1]])
    return files


def record(service: Service) -> Any:
    """Record the responses of each upload and of all its results."""
    with service.client() as http:
        plain = Headers(http.get("/livez").headers.multi_items())
        table = ValueTable()
        recorder = HeaderRecorder(plain, table)
        recorded = {file.name: _file(service, http, file, recorder) for file in files()}
    return {"plain headers": plain.plain, "names": table.values, **recorded}


def _file(
    service: Service, http: httpx.Client, file: File, recorder: HeaderRecorder
) -> dict[str, Any]:
    names = Placeholders()
    sent = send(http, file)
    accepted = {"status": sent.status_code, "headers": recorder.headers(sent, names),
                "answer": names.value(sent.json())}  # fmt: skip
    if sent.status_code != httpx.codes.ACCEPTED:
        french = send(http, file, language="fr")
        return {"refused": accepted, "refused in French": names.value(french.json())}
    address = f"/batches/{sent.json()['id']}"
    ended = wait_until(lambda: _ended(http, address), file.name)
    accepted["answer"] = _without(accepted["answer"], "input")
    in_french = http.get(address, headers={"Accept-Language": "fr"}).json()
    found: dict[str, Any] = {
        "accepted": accepted,
        "ended": names.value(ended.json()),
        "in French": names.value({
            "notices": in_french["input"]["notices"], "error": in_french.get("error")
        }),
    }  # fmt: skip
    for form, part in FORMS.items():
        language = {"Accept-Language": "en"} if form == "errors" else {}
        answer = wait_until(
            lambda part=part, headers=language: _written(http, f"{address}/{part}", headers), form
        )
        found[form] = _result(answer, form, names, recorder)
    french = http.get(f"{address}/errors")
    found["errors in French"] = _result(french, "errors in French", names, recorder)
    return found | {"audit": _audit(service, sent.json()["id"])}


def send(http: httpx.Client, file: File, language: str = "en") -> httpx.Response:
    """Upload a file."""
    headers = {"Accept-Language": language}
    if file.is_form:
        parts = {"file": (file.name, file.data, file.media_type)}
        return http.post(f"/batches?{file.query}", files=parts, headers=headers)
    headers |= {"Content-Type": file.media_type}
    disposition = f'attachment; filename="{file.name}"'
    headers["Content-Disposition"] = disposition.encode().decode("latin-1")
    if file.encoding:
        headers["Content-Encoding"] = file.encoding
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return http.post(f"/batches?{file.query}", content=file.data, headers=pairs)


def _ended(http: httpx.Client, address: str) -> httpx.Response | None:
    answer = http.get(address, params={"wait": 10}, headers={"Accept-Language": "en"})
    return answer if answer.json()["state"] in ENDED else None


def _written(http: httpx.Client, address: str, headers: dict[str, str]) -> httpx.Response | None:
    answer = http.get(address, headers=headers)
    is_pending = answer.status_code == httpx.codes.CONFLICT and "Retry-After" in answer.headers
    return None if is_pending else answer


def _result(
    answer: httpx.Response, form: str, names: Placeholders, recorder: HeaderRecorder
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "status": answer.status_code,
        "headers": recorder.headers(answer, names),
    }
    if form == "parquet" and answer.status_code == httpx.codes.OK:
        table = pq.read_table(io.BytesIO(answer.content))
        rows = names.value(table.to_pylist())
        columns = [f"{field.name}: {field.type}" for field in table.schema]
        return result | {
            "columns": columns,
            "rows": len(rows),
            "digest": digest_of(rows),
            "first": rows[:1],
        }
    text = answer.content.decode("utf-8", "backslashreplace")
    lines = text.splitlines(keepends=True)
    shown = lines if len(lines) <= LINES_IN_FULL else lines[:FIRST_LINES]
    if form not in {"csv", "errors in French"}:
        shown = lines[:2]
    return result | {"bytes": len(answer.content), "digest": digest(answer.content), "lines": [
        names.text(line) for line in shown
    ]}  # fmt: skip


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key != name}
