"""A JSON object that names a member twice is refused: nobody knows which value counts."""

import pytest

from api.http.requests import parse_json
from shared.domain.errors import InvalidInput


@pytest.mark.parametrize(
    "body",
    [
        b'{"company": "Kia", "model": "Rio", "company": "Seat"}',
        b'[{"year": 2015}, {"year": 2015, "company": "Kia", "company": "Kia"}]',
        b'{"cars": {"company": "Kia", "company": "Seat"}}',
        b'{"com\\u0070any": "Kia", "company": "Seat"}',
    ],
)
def test_a_repeated_member_is_named(body):
    with pytest.raises(InvalidInput) as refused:
        parse_json(body, len(body))
    assert [(p.pointer, p.code) for p in refused.value.problems] == [
        ("/company", "repeated-member")
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"company": "Kia", "edition": "note: 1:2", "year": 2015}',
        b'[{"company": "Kia"}, {"company": "Kia"}]',
        b'{"a": {"company": "Kia"}, "b": {"company": "Kia"}}',
        b'"a:b"',
        b"[" * 900 + b'":"' + b"]" * 900,
    ],
)
def test_colons_in_values_and_members_of_several_objects_are_no_repeats(body):
    assert parse_json(body, len(body)) is not None
