"""A cache that forgets what was used longest ago."""

from __future__ import annotations

import pytest

from evaluators.processes.recent import Recent


@pytest.fixture
def made() -> list[str]:
    return []


def ask(cache: Recent[str, str], made: list[str], *keys: str) -> None:
    for key in keys:

        def make(key: str = key) -> str:
            made.append(key)
            return key

        assert cache.get(key, make) == key


def test_what_fits_is_made_once(made: list[str]) -> None:
    ask(Recent(len, 6), made, "aa", "bb", "cc", "aa", "bb", "cc")
    assert made == ["aa", "bb", "cc"]


def test_what_was_used_longest_ago_goes_first(made: list[str]) -> None:
    cache = Recent[str, str](len, 4)
    ask(cache, made, "aa", "bb", "aa", "cc", "aa", "bb")
    assert made == ["aa", "bb", "cc", "bb"]
    assert len(cache) == 2


def test_the_newest_stays_however_large(made: list[str]) -> None:
    cache = Recent[str, str](len, 4)
    ask(cache, made, "aa", "large one", "large one")
    assert made == ["aa", "large one"]
    assert len(cache) == 1


def test_a_large_one_is_gone_before_the_next_is_made() -> None:
    """Two at once may be more than there is room for."""
    cache = Recent[str, str](len, 4)
    cache.get("large one", lambda: "large one")
    assert cache.get("another", lambda: str(len(cache))) == "0"


def test_what_cannot_be_made_is_not_kept() -> None:
    cache = Recent[str, str](len, 4)
    with pytest.raises(ZeroDivisionError):
        cache.get("aa", lambda: str(1 / 0))
    assert len(cache) == 0
