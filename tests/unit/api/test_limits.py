"""ConcurrencyLimiter of slow clients."""

import contextlib
import io

from api.limits import BodyConcurrencyLimit, ConcurrencyLimiter
from shared.domain.errors import TooManyTransfers


def test_a_body_that_was_read_to_its_announced_end_holds_no_slot():
    slots = ConcurrencyLimiter(1)

    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        slots.acquire()  # free again, although the answer is still under way
        slots.release()
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"abc"),
        "CONTENT_LENGTH": "3",
    }
    assert BodyConcurrencyLimit(application, slots)(environ, lambda *_: None) == [b""]
    with contextlib.suppress(TooManyTransfers):
        slots.acquire()
