"""Names that differ from a known one by a slip of the finger."""

from collections.abc import Iterable, Iterator

MIN_NAME_LENGTH = 5
"""Of shorter names one letter is too much: "kia" and "kin" may be anything."""
MAX_NAME_LENGTH = 40


class FuzzyNameIndex:
    """Known names, found although a letter is missing, doubled, wrong or in its neighbour's place.

    Args:
        names: the known names; those with digits, spaces or fewer than `MIN_NAME_LENGTH` letters
            are found by no slip.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, set[str]] = {}
        for name in names:
            if name.isalpha() and MIN_NAME_LENGTH <= len(name) <= MAX_NAME_LENGTH:
                for shortened in _deletion_variants(name):
                    self._known.setdefault(shortened, set()).add(name)

    def find(self, written: str) -> str | None:
        """The only known name that is a slip away; None if there is none, or more than one."""
        if not (written.isalpha() and MIN_NAME_LENGTH <= len(written) <= MAX_NAME_LENGTH):
            return None
        found: set[str] = set()
        for shortened in _deletion_variants(written):
            found |= self._known.get(shortened, set())
        return found.pop() if len(found) == 1 else None


def _deletion_variants(name: str) -> Iterator[str]:
    """The name itself, then without each of its letters."""
    yield name
    for place in range(len(name)):
        yield name[:place] + name[place + 1 :]
