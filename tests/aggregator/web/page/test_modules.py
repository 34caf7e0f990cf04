"""The page's pure parts, in the browser that they are for."""

import json
import random
from decimal import Decimal, localcontext

import pytest

from remora.client.condition import Operator, parse_condition

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def called(tab, module, name, *arguments):
    """Call a function of a module with arguments that JSON can hold."""
    program = "async ([from, name, given]) => (await import(from))[name](...given)"
    return await tab.page.evaluate(program, [f"/page/{module}", name, list(arguments)])


async def all_called(tab, module, name, rows):
    program = (
        "async ([from, name, rows]) => { const found = await import(from);"
        " return rows.map((given) => found[name](...given)); }"
    )
    return await tab.page.evaluate(program, [f"/page/{module}", name, rows])


UNKNOWN = "\u2013"
FIGURES = {
    "usd": [
        (None, UNKNOWN),
        ("0", "$0"),
        ("0.0000078", "$0.0000078"),
        ("0.00161", "$0.00161"),
        ("0.5", "$0.500"),
        ("1", "$1.00"),
        ("1234.567", "$1,234.57"),
        ("-3.5", "-$3.50"),
        ("12345678.9", "$12.3M"),
        ("0.000000000001", "$0.000000000001"),
    ],
    "seconds": [
        (None, UNKNOWN),
        (0, "0 s"),
        (0.0004, "400 µs"),
        (0.0011, "1.1 ms"),
        (0.313, "313 ms"),
        (1.9, "1.90 s"),
        (13.04, "13.0 s"),
        (320, "5 min 20 s"),
        (4000, "1 h 7 min"),
        (2592000, "30 days"),
    ],
    "bytes": [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (5 * 2**30, "5.0 GiB"),
        (None, UNKNOWN),
    ],
    "count": [(0, "0"), (1234567, "1,234,567"), (None, UNKNOWN)],
    "few": [(950, "950"), (15_500_000, "15.5M"), (None, UNKNOWN)],
}


async def test_figures_are_written_as_people_read_them(tab):
    await tab.open()
    for name, rows in FIGURES.items():
        found = await all_called(tab, "format.js", name, [[value] for value, _ in rows])
        assert found == [text for _, text in rows], name


async def test_money_is_summed_to_the_last_digit(tab):
    await tab.open()
    dice = random.Random(20)  # noqa: S311 - figures
    amounts = [
        f"{dice.randint(-(10**18), 10**18) * Decimal(10) ** -dice.randint(0, 20):f}"
        for _ in range(400)
    ]
    rows = [amounts[at : at + dice.randint(1, 9)] for at in range(391)]
    found = await all_called(tab, "money.js", "sum", [[row] for row in rows])
    with localcontext(prec=80):
        assert [Decimal(text) for text in found] == [sum(map(Decimal, row)) for row in rows]
    assert await called(tab, "money.js", "sum", ["0.1", None, "0.2"]) == "0.3"
    assert await called(tab, "money.js", "sum", [None]) is None


VALUES = [
    ["gpt-4o"],
    ["a|b", "c\\d"],
    ["=x"],
    ["~x"],
    ["<x"],
    [">=x", "y"],
    [""],
    ["", "z"],
    ["שלום", "<script>"],
]


async def test_conditions_that_the_page_writes_are_read_as_they_were_meant(tab):
    await tab.open()
    rows = [["session_id", *values] for values in VALUES]
    for written in zip(await all_called(tab, "conditions.js", "equals", rows), VALUES, strict=True):
        condition = parse_condition(written[0])
        assert (condition.field, condition.operator) == ("session_id", Operator.EQUAL)
        assert list(condition.values) == written[1]


TICKS = {
    0: [0, 1],
    1: [0, 0.25, 0.5, 0.75, 1],
    0.29: [0, 0.1, 0.2, 0.3],
    7: [0, 2, 4, 6, 8],
    100: [0, 25, 50, 75, 100],
    1e-9: [0, 2.5e-10, 5e-10, 7.5e-10, 1e-9],
    3e12: [0, 1e12, 2e12, 3e12],
}


async def test_axes_have_round_marks_that_reach_the_top(tab):
    await tab.open()
    found = await all_called(tab, "scales.js", "ticks", [[most] for most in TICKS])
    for marks, expected in zip(found, TICKS.values(), strict=True):
        assert marks == pytest.approx(expected)


async def test_marks_of_time_stand_at_round_times_and_are_not_too_many(tab):
    await tab.open()
    hour, begin = 3_600_000, 1_760_000_000_000
    for span in (
        900_000,
        hour,
        6 * hour,
        24 * hour,
        168 * hour,
        720 * hour,
        2160 * hour,
        9600 * hour,
    ):
        for most in (2, 4, 18):
            marks = await called(tab, "scales.js", "timeTicks", begin, begin + span, most)
            assert len(marks) <= most + 2
            assert all(begin <= mark["at"] <= begin + span for mark in marks)
            assert all(mark["at"] % 60_000 == 0 for mark in marks)


async def test_json_is_laid_out_token_by_token(tab):
    await tab.open()
    rows = [
        ['{"a":12345678901234567890,"a":1.10,"b":[],"c":{},"d":[1,{"e":"x:,{}\\"\\n"}]}'],
        ["[]"],
        ["data: {}"],
        ['{"a":'],
        ["  [1, 2]\n"],
        ['"text"'],
        [""],
    ]
    first, *rest = await all_called(tab, "body_text.js", "laidOut", rows)
    assert first == (
        '{\n  "a": 12345678901234567890,\n  "a": 1.10,\n  "b": [],\n  "c": {},\n'
        '  "d": [\n    1,\n    {\n      "e": "x:,{}\\"\\n"\n    }\n  ]\n}'
    )
    assert rest == ["[]", None, None, "[\n  1,\n  2\n]", None, None]
    assert json.loads(first)["d"] == [1, {"e": 'x:,{}"\n'}]
