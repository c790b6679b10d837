"""What folding keeps in memory."""

from shared.domain.names import CACHED_MAX_CHARS, CACHED_TEXTS, _fold_short, fold


def test_the_folds_that_are_kept_are_short_ones():
    before = _fold_short.cache_info().currsize
    long = "É" * (CACHED_MAX_CHARS + 1)
    assert fold(long) == "e" * len(long)
    assert _fold_short.cache_info().currsize == before
    assert CACHED_MAX_CHARS * CACHED_TEXTS < 10_000_000
