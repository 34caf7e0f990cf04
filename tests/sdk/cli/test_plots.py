"""Bars and sparklines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.cli.plots import bar, sparkline


@pytest.mark.parametrize(
    ("part", "drawn"),
    [
        (0, "░░░░"),
        (0.001, "▏░░░"),
        (0.25, "█░░░"),
        (0.5, "██░░"),
        (0.99, "███▉"),
        (0.9999, "███▉"),
        (1, "████"),
        (7, "████"),
        (-1, "░░░░"),
    ],
)
def test_a_bar_shows_how_much_there_is(part, drawn):
    assert bar(part, 4) == drawn


@given(part=st.floats(allow_nan=False), width=st.integers(1, 40))
def test_a_bar_is_as_wide_as_asked_and_whole_only_if_all_is_there(part, width):
    drawn = bar(part, width)
    assert len(drawn) == width
    assert (drawn == "█" * width) == (part >= 1)
    assert (drawn == "░" * width) == (part <= 0)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([0, 0], "▁▁"),
        ([None, None], "  "),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([None, 5, 0, 0.01], " █▁▂"),
    ],
)
def test_a_sparkline_has_a_character_for_each_value(values, drawn):
    assert sparkline(values) == drawn


def test_the_top_can_be_given():
    assert sparkline([1, 2], top=14) == "▂▂"


@given(st.lists(st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)))
def test_what_is_there_is_never_drawn_as_nothing(values):
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    for value, char in zip(values, drawn, strict=True):
        assert (char == " ") == (value is None)
        assert (char == "▁") == (value == 0)
