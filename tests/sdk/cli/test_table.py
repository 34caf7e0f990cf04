"""Figures, moments and the table of records, as a person sees them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.cli.figures import clipped, money, plural, seconds, tokens, visible
from remora.cli.moments import iso_utc, parse_moment
from remora.cli.record_json import record_json, usage_json
from remora.cli.record_lines import RecordLines
from remora.cli.usage_tables import (
    cost,
    quantile_note,
    quantile_table,
    usage_table,
    warnings,
)
from remora.client.usage import Measure, Quantile, UsageDimension, UsageRow
from remora.records import Attribution, CallError, CallRecord, Cost, EndReason, StoredRecord, Usage

NOON_NS = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 10**9
SECOND_NS = 10**9


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0"),
        ("0.0000001234567", "$0.0000001235"),
        ("0.25", "$0.25"),
        ("0.1", "$0.1"),
        ("1", "$1.00"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_money_keeps_the_digits_that_count(usd, text):
    assert money(Decimal(usd)) == text


@pytest.mark.parametrize(
    ("span_s", "text"),
    [
        (0, "<1ms"), (0.0004, "<1ms"), (0.12, "120ms"), (0.9996, "1.00s"), (1.239, "1.24s"),
        (9.996, "10.0s"), (99.94, "99.9s"), (99.96, "1m40s"), (3600, "60m00s"),
    ],
)  # fmt: skip
def test_spans_are_in_the_unit_that_suits_them(span_s, text):
    assert seconds(span_s) == text


def test_counts_read_well():
    assert (tokens(999_999), tokens(1_234_567)) == ("999,999", "1.23M")
    assert (plural(1, "call"), plural(0, "call"), plural(1200, "call")) == (
        "1 call",
        "0 calls",
        "1,200 calls",
    )
    assert (clipped("abcdef", 6), clipped("abcdefg", 6)) == ("abcdef", "abcde…")


@given(st.text())
def test_text_of_strangers_can_not_steer_the_terminal(text):
    assert visible(text).isprintable()


@pytest.mark.parametrize(
    ("text", "back_ns"),
    [
        ("30m", 1800 * SECOND_NS),
        ("1h30m", 5400 * SECOND_NS),
        ("7d", 7 * 86400 * SECOND_NS),
        ("2026-11-01", 12 * 3600 * SECOND_NS),
        ("2026-11-01T11:59", 60 * SECOND_NS),
        ("2026-11-01T11:59:30Z", 30 * SECOND_NS),
        ("2026-11-01T11:00+01:00", 2 * 3600 * SECOND_NS),
    ],
)
def test_a_moment_is_a_span_back_or_a_time(text, back_ns):
    assert parse_moment(text, NOON_NS, UTC) == NOON_NS - back_ns


def test_a_time_without_offset_is_meant_in_the_given_zone():
    east = timezone(timedelta(hours=2))
    assert parse_moment("2026-11-01T14:00", NOON_NS, east) == NOON_NS


@pytest.mark.parametrize("text", ["", "yesterday", "2 h", "-1h", "1x", "2026-13-01"])
def test_what_is_no_moment_is_said_with_what_would_be_one(text):
    with pytest.raises(ValueError, match="neither a span such as 30m"):
        parse_moment(text, NOON_NS)


@given(st.integers(min_value=0, max_value=2**62))
def test_a_time_in_json_reads_back_to_the_microsecond(unix_ns):
    read = datetime.fromisoformat(iso_utc(unix_ns))
    since = read - datetime(1970, 1, 1, tzinfo=UTC)
    assert since // timedelta(microseconds=1) == unix_ns // 1000


PLAIN = CallRecord(
    call_id=f"{1:032x}",
    started_unix_ns=NOON_NS,
    provider="openai",
    operation="chat",
    method="POST",
    url="https://api.openai.com/v1/chat/completions",
    attribution=Attribution(session_id="sess_0123456789abcdef", task_id="t1"),
    requested_model="gpt-4o-mini",
    sent_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    status_code=200,
    end_reason=EndReason.COMPLETED,
    usage=Usage(input_tokens=1200, output_tokens=34, cache_read_tokens=1024),
    cost=Cost(Decimal("0.000123"), Decimal("0.0001"), Decimal("0.000023"), "list", "2026-11-01"),
    latency_s=1.5,
    ttft_s=0.25,
)
NOTHING_KNOWN = {"usage": None, "cost": None, "ttft_s": None}
RECORDS = [
    PLAIN,
    replace(PLAIN, response_model="o4", cost=None),
    replace(
        PLAIN,
        **NOTHING_KNOWN,
        status_code=429,
        response_model="",
        error=CallError("rate_limit_exceeded", "slow down"),
    ),
    replace(PLAIN, **NOTHING_KNOWN, error=CallError("usage_unreadable", "keys: a")),
    replace(
        PLAIN,
        **NOTHING_KNOWN,
        started_unix_ns=NOON_NS + 86_400 * SECOND_NS,
        status_code=0,
        end_reason=EndReason.NO_ANSWER,
        response_model="",
        error=CallError("connect", "refused"),
    ),
    replace(PLAIN, **NOTHING_KNOWN, end_reason=EndReason.CLIENT_GONE, requested_model="x\x1b[2J"),
    CallRecord(call_id="", started_unix_ns=NOON_NS, method="GET", url="https://api.x/v1/models?a"),
]

GOLDEN_80 = """\
time     model              status                in     out        cost latency
2026-11-01
12:00:00 gpt-4o-mini-2024-… 200                1,200      34   $0.000123   1.50s
12:00:00 gpt-4o-mini → o4   200                1,200      34     unknown   1.50s
12:00:00 gpt-4o-mini        429 rate_limit_…       -       -           -   1.50s
12:00:00 gpt-4o-mini-2024-… 200 no usage     unknown unknown     unknown   1.50s
2026-11-02
12:00:00 gpt-4o-mini        no answer              -       -           -   1.50s
2026-11-01
12:00:00 x\\x1b[2J → gpt-4o… 200 client gone        -       -           -   1.50s
12:00:00 GET /v1/models     unknown                -       -           -    <1ms"""


def _table(width: int, *, wide: bool = False) -> list[str]:
    lines = RecordLines(width, wide=wide, zone=UTC)
    return [line.plain for record in RECORDS for line in lines.lines(record)]


def test_the_table_at_80_columns():
    assert "\n".join(_table(80)) == GOLDEN_80


@pytest.mark.parametrize("width", [76, 80, 99, 100, 109, 110, 130, 150, 200])
def test_no_line_is_wider_than_the_screen(width):
    assert max(map(len, _table(width))) <= width


def test_a_wide_table_has_what_is_needed_to_ask_further():
    (line,) = [line for line in _table(80, wide=True) if f"{1:032x}" in line][:1]
    assert "sess_0123456789abcdef" in line
    assert " t1 " in line


def test_json_is_null_where_nothing_is_known():
    bare = record_json(StoredRecord(RECORDS[-1], "", "", NOON_NS, ""))
    for name in ("model", "status_code", "end_reason", "usage", "cost", "ttft_s", "session_id"):
        assert bare[name] is None, name


def test_json_money_is_text():
    assert record_json(StoredRecord(PLAIN, "n", "p", 0, "c"))["cost"]["total_usd"] == "0.000123"


def _row(**fields: object) -> UsageRow:
    zeros = dict.fromkeys(UsageRow.__slots__, 0) | {
        "keys": ("m",),
        "cost_usd": None,
        "saved_usd": None,
        "quantiles": (),
        "calls": 1,
    }
    return UsageRow(**(zeros | fields))


UNREAD = _row(unread_usage_calls=1)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (_row(), "-"),
        (_row(cost_usd=Decimal("0.5")), "$0.5"),
        (_row(unpriced_calls=1), "unknown"),
        (UNREAD, "unknown"),
        (_row(cost_usd=Decimal("0.5"), unpriced_calls=1), "$0.5 + unknown"),
    ],
    ids=["no usage", "priced", "unpriced", "unread", "priced in part"],
)
def test_a_cost_that_is_not_known_is_no_zero(row, text):
    assert cost(row) == text


def _cells(table):
    return {column.header: list(column.cells) for column in table.columns}


def test_savings_show_only_where_there_are_any():
    none = usage_table([_row()], [UsageDimension.MODEL])
    assert "saved" not in _cells(none)
    rows = [
        _row(cached_calls=2, saved_usd=Decimal("0.5"), saved_s=3.0),
        _row(cached_calls=1, saved_s=1.0),
        _row(),
    ]
    cells = _cells(usage_table(rows, [UsageDimension.MODEL]))
    assert cells["saved"] == ["$0.5", "unknown", "-", "$0.5"]
    assert cells["time saved"] == ["3.00s", "1.00s", "-", "4.00s"]


@pytest.mark.parametrize(
    ("interval_s", "text"),
    [
        (86_400, "2026-11-01"),
        (7 * 86_400, "2026-11-01"),
        (3_600, "2026-11-01 12:00"),
        (900, "2026-11-01 12:00"),
        (1, "2026-11-01 12:00:00"),
    ],
)
def test_spans_of_time_begin_with_when(interval_s, text):
    rows = [_row(start_unix_ns=NOON_NS), _row(start_unix_ns=NOON_NS)]
    cells = _cells(usage_table(rows, [UsageDimension.MODEL], interval_s=interval_s))
    assert cells["from (UTC)"] == [text, text, "total"]
    assert cells["model"] == ["m", "m", ""]


def test_quantiles_are_marked_and_their_error_is_said_once():
    told = (
        Quantile(Measure.LATENCY, 0.5, 1.5, 0.0149),
        Quantile(Measure.LATENCY, 0.9, 20.0, 0.0149),
    )
    rows = [_row(quantiles=told), _row()]
    cells = _cells(quantile_table(rows, [UsageDimension.MODEL], (0.5, 0.9)))
    assert cells["latency p50"] == ["≈1.50s", "-"]
    assert [column for column in cells if "p50" in column] == [
        "latency p50",
        "first token p50",
        "overhead p50",
    ]
    assert quantile_note(rows) == "≈ within 1.5% of the true value"
    shown = usage_json(rows[0], [UsageDimension.MODEL], with_quantiles=True)["quantiles"]
    assert shown["latency_s"][0] == {"quantile": 0.5, "value_s": 1.5, "error": 0.0149}
    assert (shown["ttft_s"], shown["overhead_s"]) == ([], [])


def test_sums_that_hold_an_estimate_are_marked():
    guess = _row(estimated_calls=1, input_tokens=1200)
    cells = _cells(usage_table([guess], [UsageDimension.MODEL]))
    assert cells["tokens in"] == ["~1,200"]
    assert "~ marks" in warnings([guess])[0]


def test_tokens_that_could_not_be_read_are_unknown_and_null():
    cells = [list(column.cells) for column in usage_table([UNREAD], [UsageDimension.MODEL]).columns]
    assert cells[4:7] == [["unknown"], ["-"], ["unknown"]]
    assert usage_json(UNREAD, [UsageDimension.MODEL])["input_tokens"] is None
    assert usage_json(_row(), [UsageDimension.MODEL])["input_tokens"] == 0
    assert warnings([UNREAD]) == [
        "1 call succeeded without readable usage: tokens and cost lack theirs."
    ]
