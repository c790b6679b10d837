"""Notes on the rows of a batch are counted, with shortened examples."""

from shared.domain.files.notes import EXAMPLE_MAX_CHARS, NoteCounter


def test_a_long_example_says_that_it_is_shortened():
    counter = NoteCounter()
    counter.add("model", "name-corrected", 2, ["x" * EXAMPLE_MAX_CHARS, "y" * 200])
    (note,) = counter.result()
    whole, shortened = note.examples
    assert whole == "x" * EXAMPLE_MAX_CHARS
    assert len(shortened) == EXAMPLE_MAX_CHARS
    assert shortened.endswith("y…")
    assert NoteCounter().merge([note]).result() == (note,)
