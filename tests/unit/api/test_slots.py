"""Slots of slow clients."""

import contextlib
import io

from api.slots import BodySlots, Slots
from shared.domain.errors import TooManyTransfers


def test_a_body_that_was_read_to_its_announced_end_holds_no_slot():
    slots = Slots(1)

    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        slots.take()  # free again, although the answer is still under way
        slots.give_back()
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"abc"),
        "CONTENT_LENGTH": "3",
    }
    assert BodySlots(application, slots)(environ, lambda *_: None) == [b""]
    with contextlib.suppress(TooManyTransfers):
        slots.take()
