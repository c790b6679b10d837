"""Names that differ from a known one by a slip of the finger."""

from collections.abc import Iterable, Iterator

SHORTEST_NAME = 5
"""Of shorter names one letter is too much: "kia" and "kin" may be anything."""
LONGEST_NAME = 40


class NearNames:
    """Known names, found although a letter is missing, doubled, wrong or in its neighbour's place.

    Args:
        names: the known names; those with digits, spaces or fewer than `SHORTEST_NAME` letters
            are found by no slip.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, set[str]] = {}
        for name in names:
            if name.isalpha() and SHORTEST_NAME <= len(name) <= LONGEST_NAME:
                for shortened in _with_a_letter_less(name):
                    self._known.setdefault(shortened, set()).add(name)

    def find(self, written: str) -> str | None:
        """The only known name that is a slip away; None if there is none, or more than one."""
        if not (written.isalpha() and SHORTEST_NAME <= len(written) <= LONGEST_NAME):
            return None
        found: set[str] = set()
        for shortened in _with_a_letter_less(written):
            found |= self._known.get(shortened, set())
        return found.pop() if len(found) == 1 else None


def _with_a_letter_less(name: str) -> Iterator[str]:
    """The name itself, then without each of its letters."""
    yield name
    for place in range(len(name)):
        yield name[:place] + name[place + 1 :]
