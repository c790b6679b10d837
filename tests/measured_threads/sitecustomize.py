"""Lets coverage see the API's requests; `scripts/test.sh` puts this folder on PYTHONPATH.

granian calls the application from threads made in Rust. Coverage follows threads that Python
makes, and no others: here each of them takes over the trace function that those would have.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any


def _measured(wrap: Callable[..., Any]) -> Callable[..., Any]:
    def wrap_measured(application: Callable[..., Any], *rest: Any, **options: Any) -> Any:
        def traced(environ: Any, start_response: Any) -> Any:
            trace = threading.gettrace()
            if trace is not None and sys.gettrace() is None:
                sys.settrace(trace)
            return application(environ, start_response)

        return wrap(traced, *rest, **options)

    return wrap_measured


if any(argument.endswith("granian") for argument in sys.orig_argv):
    from granian.server import mp

    mp._wsgi_call_wrap = _measured(mp._wsgi_call_wrap)  # type: ignore[attr-defined]
