"""The contrast of the page's colours, computed as WCAG 2.2 has it. No browser."""

import re

import pytest

from remora_aggregator.web.page.serving import page_files

TOKENS = page_files()["tokens.css"].body.decode()
COLOURS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(
        r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", TOKENS
    )
}
GROUNDS = ("ground", "surface", "sunken")
TEXT = [(text, ground) for text in ("text", "soft", "accent") for ground in GROUNDS]
TEXT += [("text", f"{kind}-ground") for kind in ("accent", "good", "warn", "bad")]
TEXT += [(kind, f"{kind}-ground") for kind in ("accent", "good", "warn", "bad")]
TEXT += [("bad", "surface"), ("bad", "sunken"), ("soft", "accent-ground"), ("on-accent", "accent")]
SERIES = [f"series-{number}" for number in (1, 2, 3, 4, 5, 6, 7, "other")]
MARKS = [(mark, "surface") for mark in (*SERIES, "edge", "warn", "bad")] + [
    ("edge", "ground"),
    ("accent", "ground"),
]


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_black_on_white_is_as_far_apart_as_can_be():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT, ids=lambda value: value)
def test_text_can_be_read(text, ground, scheme):
    assert contrast(COLOURS[text][scheme], COLOURS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS, ids=lambda value: value)
def test_lines_bars_and_edges_can_be_seen(mark, ground, scheme):
    assert contrast(COLOURS[mark][scheme], COLOURS[ground][scheme]) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_two_series_have_one_colour(scheme):
    assert len({COLOURS[name][scheme] for name in SERIES}) == len(SERIES)


def test_other_files_name_no_colour_of_their_own():
    for name, file in page_files().items():
        if name.endswith(".css") and name != "tokens.css":
            assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", file.body.decode()), name
