"""Durations, sizes, money and globs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.globs import Glob
from remora.policy.quantities import Duration, Quantity, parse_money


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("5s", 5000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0.5s", 500)],
)
def test_durations_are_read(text, milliseconds):
    assert Duration.parse(text).milliseconds == milliseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", "1.5ms", "99999d", "1s1", "1x"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="should be"):
        Duration.parse(text)


@given(st.integers(0, 3650 * 86_400_000))
def test_durations_are_written_as_they_are_read(milliseconds):
    duration = Duration(milliseconds)
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("256Mi", 256 << 20), ("1G", 10**9), ("1.5Ki", 1536)]
)
def test_sizes_are_read(text, size):
    assert Quantity.parse(text).bytes == size


@pytest.mark.parametrize("text", ["", "Mi", "1KB", "-1", "0.3", "1e3"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="should be"):
        Quantity.parse(text)


@given(st.integers(0, 10**15))
def test_sizes_are_written_as_they_are_read(size):
    assert Quantity.parse(str(Quantity(size))).bytes == size


@pytest.mark.parametrize("value", [0.25, 1, "1e3", "-1", "1,5", "", True, None])
def test_money_is_text_and_nothing_else(value):
    with pytest.raises(ValueError, match="decimal string"):
        parse_money(value)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o*", "GPT-4O", True),
        ("gpt-4?", "gpt-4o", True),
        ("gpt-4?", "gpt-4", False),
        ("*", "anything/at:all", True),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
        ("gpt-4", "gpt-4o", False),
    ],
)
def test_globs_match_whole_names_in_any_case(pattern, name, fits):
    assert Glob(pattern).matches(name) is fits


@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_no_glob_is_slow_or_raises(pattern, name):
    Glob(pattern).matches(name)
    assert Glob("*").matches(name)
