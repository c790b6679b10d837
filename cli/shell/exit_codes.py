"""Exit codes of the commands and what they mean; `--help` and docs/command-line.md show them."""

from collections.abc import Mapping

from shared.i18n.catalogue import mark

DONE = 0
REFUSED = 1
"""The command was understood, but its answer is no: the message says why."""
UNUSABLE = 2
"""Options, input or settings cannot be used, or a server does not answer."""
INCOMPLETE = 3
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""128 and the number of SIGPIPE: whoever read the output has stopped."""

USUAL: Mapping[int, str] = {
    DONE: mark("done"),
    REFUSED: mark("not done, because of the state of the service or its data"),
    UNUSABLE: mark("options, input or settings cannot be used, or a server does not answer"),
    INTERRUPTED: mark("interrupted by Ctrl-C"),
}
"""The codes of a command, unless `OWN` says otherwise."""

OWN: Mapping[str, Mapping[int, str]] = {
    "up": {
        DONE: mark("stopped as asked"),
        REFUSED: mark("stopped, because a process failed again and again"),
    },
    "observe": {
        DONE: mark("stopped as asked"),
        REFUSED: mark("stopped, because a process failed again and again"),
    },
    "run": {DONE: mark("the process has ended; any other code is that of the process")},
    "repair-broker": {REFUSED: mark("--check has found damage")},
    "predict": {DONE: mark("valued")},
    "batch": {DONE: mark("every row was valued"), REFUSED: mark("not every row was valued")},
    "batch correct": {
        DONE: mark("every row was valued"),
        REFUSED: mark("not every row was valued"),
    },
    "audit verify": {
        DONE: mark("nothing is changed or missing"),
        REFUSED: mark("records or files are changed or missing"),
        INCOMPLETE: mark("nothing was found, but without checkpoints nobody knows what is missing"),
    },
    "audit query": {
        REFUSED: mark("the id has no record"),
        INCOMPLETE: mark("records were left out, or nothing says that none is missing"),
    },
    "restore": {REFUSED: mark("restored, but the restored audit log has faults")},
    "dead replay": {REFUSED: mark("some of the ids cannot be replayed or dropped")},
    "dead drop": {REFUSED: mark("some of the ids cannot be replayed or dropped")},
    "webhooks replay": {REFUSED: mark("some of the ids are neither pending nor given up")},
    "models verify": {REFUSED: mark("the version is not what was saved, or fails its self-test")},
    "doctor": {DONE: mark("no fault was found"), REFUSED: mark("faults were found")},
    "status": {DONE: mark("the service is healthy"), REFUSED: mark("something does not work")},
}


def exit_codes(path: str) -> Mapping[int, str]:
    """The codes of a command, by its words after `carprice`, with their English meanings."""
    codes = {**USUAL, **OWN.get(path, {})}
    return {code: codes[code] for code in sorted(codes)}
