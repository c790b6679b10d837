"""Title and detail of every problem document, by code."""

from shared.i18n.catalogue import mark
from shared.messages.uploads import UPLOAD_PROBLEM_MESSAGES, ProblemTexts

PROBLEM_MESSAGES: dict[str, ProblemTexts] = UPLOAD_PROBLEM_MESSAGES | {
    "invalid-input": (mark("Input refused"), "{first}{more}"),
    "valuation-not-found": (
        mark("Valuation not found"),
        mark("None of your valuations has the id {id}."),
    ),
    "valuation-expired": (
        mark("Valuation too old"),
        mark("A sale is reported within {days} days of valuation {id}."),
    ),
    "estimate-expired": (
        mark("Estimate expired"),
        mark("An estimate is kept for {days} days; those of {id} are over."),
    ),
    "job-not-found": (mark("Job not found"), mark("None of your jobs has the id {id}.")),
    "job-expired": (mark("Job expired"), mark("The retention time of job {id} is over.")),
    "job-already-ended": (
        mark("Job already ended"),
        mark("Job {id} has ended: there is nothing to cancel."),
    ),
    "dead-letter-not-found": (
        mark("Dead letter not found"),
        mark("No work that was given up has the id {id}."),
    ),
    "dead-letter-not-replayable": (
        mark("Cannot be replayed"),
        mark("The data of {id} are gone, or its batch is running or was corrected since."),
    ),
    "webhooks-unavailable": (
        mark("Webhooks unavailable"),
        mark(
            "A worker of an earlier release runs, or none has started: without callback_url only."
        ),
    ),
    "webhook-secrets-unreadable": (
        mark("Webhooks unavailable"),
        mark("The secrets that sign webhooks cannot be read: without callback_url only."),
    ),
    "idempotency-conflict": (
        mark("Idempotency-Key already used"),
        mark("This key came before with another body."),
    ),
    "model-not-loaded": (
        mark("Model not loaded"),
        mark("No model (modèle) is active; run `carprice train --activate`."),
    ),
    "model-version-not-found": (
        mark("Version not found"),
        mark("The registry has no version {version}."),
    ),
    "model-card-not-found": (mark("Card not found"), mark("Version {version} has no file {name}.")),
    "model-refused": (mark("Version refused"), mark("Version {version} is refused: {reason}.")),
    "model-not-tried": (
        mark("Version not tried"),
        mark(
            "No worker has said in time whether it can use version {version}, and nothing was"
            " changed; waited for: {workers}. Try again soon."
        ),
    ),
    "active-pointer-lost": (
        mark("Active version unknown"),
        mark(
            "File ACTIVE is lost or unreadable; {version} was active: `carprice models activate`."
        ),
    ),
    "model-changed": (
        mark("Active model changed"),
        mark("If-Match no longer holds: {version} is active."),
    ),
    "activation-conflict": (
        mark("Another version was activated"),
        mark("Another host activated {version} at the same time: look again before you repeat."),
    ),
    "no-earlier-model": (
        mark("No earlier version"),
        mark("The history names no version active before {version}."),
    ),
    "broker-unavailable": (
        mark("Queue unavailable"),
        mark("The queue does not answer; try again soon."),
    ),
    "acceptance-unknown": (
        mark("Unknown whether it was accepted"),
        mark(
            "The queue broke off: your request may be carried out. Repeat it; with the same "
            "Idempotency-Key it is carried out once."
        ),
    ),
    "broker-not-writable": (
        mark("Queue without disk space"),
        mark("The queue cannot store anything because its disk is full; try again soon."),
    ),
    "queue-full": (mark("Queue full"), mark("Too many requests wait already; try again soon.")),
    "too-many-transfers": (
        mark("Too many transfers"),
        mark("Too many clients send or receive slowly right now; try again soon."),
    ),
    "too-many-waits": (
        mark("Too many waits"),
        mark("Too many requests wait for the end of a job; poll without waiting."),
    ),
    "statistics-pending": (
        mark("Statistics pending"),
        mark("The audit log is being read; try again."),
    ),
    "audit-unavailable": (
        mark("Audit log unavailable"),
        mark("The answer cannot be recorded; try again."),
    ),
    "broker-full": (
        mark("Memory full"),
        mark("The rest of the memory is reserved for work already accepted; try again soon."),
    ),
    "job-storage-full": (
        mark("Too many jobs kept"),
        mark("Your jobs hold most of the memory: wait, or delete some that have ended."),
    ),
    "job-deleted": (mark("Job deleted"), mark("The job {id} was deleted on its caller's request.")),
    "unreadable-record": (
        mark("Unreadable record"),
        mark("A newer version of the service wrote it, or it is damaged."),
    ),
    "newer-record": (
        mark("Record of a newer version"),
        mark("This version of the service cannot read it; try again after the update."),
    ),
    "valuation-failed": (
        mark("Valuation failed"),
        mark("The valuation failed; the incident is on record."),
    ),
    "attempts-exhausted": (mark("Job given up"), mark("The job failed after several attempts.")),
    "not-authenticated": (
        mark("API key missing"),
        mark("Send a valid key: Authorization: Bearer <key>."),
    ),
    "not-permitted": (mark("Scope missing"), mark("The key lacks the scope {scope}.")),
    "demo-only": (
        mark("Demonstration"),
        mark(
            "This demonstration values single cars only. Everything else needs a key, or a service "
            "of your own."
        ),
    ),
    "key-expired": (
        mark("API key expired"),
        mark("The key {id} has expired; ask for another one."),
    ),
    "keys-unavailable": (
        mark("API keys unavailable"),
        mark("The API keys cannot be read; the operator has to restore them."),
    ),
    "rate-limited": (
        mark("Too many requests"),
        mark("Your key allows {limit} request(s) per second."),
    ),
    "car-limit-reached": (
        mark("Car limit reached"),
        mark("Cars per day with your key: {limit}; left: {left}, asked for: {cars}."),
    ),
    "open-jobs-limit-reached": (
        mark("Too many open jobs"),
        mark("Open jobs that your key allows: {limit}."),
    ),
    "open-batches-limit-reached": (
        mark("Too many open batches"),
        mark("Open batches that your key allows: {limit}."),
    ),
    "storage-limit-reached": (
        mark("Storage limit reached"),
        mark("Your key allows {limit} bytes: you hold {used}, and {size} more are needed."),
    ),
    "cross-site-refused": (
        mark("Other site refused"),
        mark("A page of another site may not change anything here."),
    ),
    "host-refused": (
        mark("Host refused"),
        mark("Without API keys the service answers to localhost only; see `make key`."),
    ),
    "internal-error": (
        mark("Internal error"),
        mark("An unexpected error occurred; it is on record."),
    ),
    "not-found": (mark("Not found"), mark("Nothing at this address; see /docs.")),
    "method-not-allowed": (mark("Method not allowed"), mark("This address accepts {allowed}.")),
    "unsupported-media-type": (
        mark("Unsupported media type"),
        mark("Expected Content-Type {expected} (got {given})."),
    ),
    "unsupported-content-encoding": (
        mark("Unsupported encoding"),
        mark("Expected Content-Encoding {expected} (got {given})."),
    ),
    "not-acceptable": (mark("Not acceptable"), mark("Available formats: {available}.")),
    "coding-not-acceptable": (
        mark("No coding accepted"),
        mark("Accept-Encoding refuses every coding: {available}."),
    ),
    "precondition-failed": (
        mark("Precondition failed"),
        mark("The content is no longer what {header} names."),
    ),
    "body-too-large": (mark("Body too large"), mark("At most {maximum} bytes.")),
    "bad-request": (mark("Bad request"), mark("The HTTP request is not valid.")),
    "batch-not-found": (mark("Batch not found"), mark("None of your batches has the id {id}.")),
    "batch-expired": (mark("Batch expired"), mark("The retention time of batch {id} is over.")),
    "batch-deleted": (
        mark("Batch deleted"),
        mark("Batch {id} was deleted on its caller's request."),
    ),
    "result-not-ready": (
        mark("Result not ready"),
        mark("Batch {id} is under way; try again soon."),
    ),
    "first-rows-are-csv": (
        mark("Not yet in this form"),
        mark("Batch {id} is under way: until it ends, its first rows are there as plain CSV."),
    ),
    "too-many-rows-for-sheet": (
        mark("Too many rows for a workbook"),
        mark("A sheet holds {maximum} rows; there are {rows}: ask for format=csv or parquet."),
    ),
    "too-many-rows-for-table": (
        mark("Too many rows for a table"),
        mark("Pages of rows are made of up to {maximum} rows; there are {rows}: download them."),
    ),
    "too-many-rows-for-search": (
        mark("Too many rows for a search"),
        mark("Texts are searched in up to {maximum} rows; there are {rows}: use the filters."),
    ),
    "nothing-to-retry": (
        mark("Nothing to retry"),
        mark("The file of batch {id} is refused, or is not kept any more. Send it again."),
    ),
    "correction-in-progress": (
        mark("Correction in progress"),
        mark(
            "A correction of batch {id} is under way or has just ended; reread its rejected rows."
        ),
    ),
    "nothing-to-correct": (mark("Nothing to correct"), mark("Batch {id} has no rejected rows.")),
    "form-not-ready": (
        mark("File not ready"),
        mark("The file {form} is being made; try again soon."),
    ),
}
