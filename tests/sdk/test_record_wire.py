from dataclasses import fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.receipt import BudgetReceipt, CandidateReceipt, Receipt
from remora.record_wire import (
    from_message,
    stored_from_message,
    to_message,
    to_message_without_bodies,
    write_without_bodies,
)
from remora.records import (
    Attempt,
    Attribution,
    Body,
    CacheVerdict,
    CallError,
    CallRecord,
    Cost,
    EndReason,
    Origin,
    Outcome,
    Usage,
)
from remora_proto.v1 import records_pb2 as pb

small = st.integers(0, 2**32 - 1)
big = st.integers(0, 2**63 - 1)
seconds = st.floats(0, 1e9)
text = st.text(max_size=20)
money = st.decimals("0", "1e9", places=8)
errors = st.builds(CallError, type=text, message=text)
figures = st.none() | big
usages = st.builds(
    Usage,
    **{f.name: figures for f in fields(Usage) if f.type == int | None},
    input_audio_seconds=st.none() | seconds,
    estimated=st.booleans(),
)
costs = st.builds(
    Cost, total_usd=money, input_usd=money, output_usd=money, price_source=text, price_date=text
)
verdicts = st.builds(
    CacheVerdict,
    result=text,
    reason=text,
    age_s=st.none() | seconds,
    original_latency_s=st.none() | seconds,
    saved_usd=st.none() | money,
)
attempts = st.builds(
    Attempt,
    provider=text,
    model=text,
    status_code=small,
    duration_s=seconds,
    error=st.none() | errors,
    reused_connection=st.booleans(),
    failure=text,
    usage=st.none() | usages,
    cost=st.none() | costs,
    parameters=text,
)
outcomes = st.builds(
    Outcome,
    kind=text,
    strength=st.floats(0, 1),
    confidence=st.floats(0, 1),
    failure_category=text,
    failed_checks=st.lists(text, max_size=3).map(tuple),
)
receipts = st.builds(
    Receipt,
    policy=text,
    policy_version=text,
    rule=text,
    router=text,
    propensity=st.none() | st.floats(0, 1),
    candidates=st.lists(
        st.builds(
            CandidateReceipt,
            provider=text,
            model=text,
            score=st.none() | seconds,
            est_cost_usd=st.none() | money,
            filtered_out_by=text,
            parameters=text,
            propensity=st.none() | st.floats(0, 1),
            note=text,
        ),
        max_size=3,
    ).map(tuple),
    fallback=st.lists(text, max_size=3).map(tuple),
    budgets=st.lists(
        st.builds(
            BudgetReceipt,
            name=text,
            per=text,
            result=text,
            spent_usd=st.none() | money,
            limit_usd=st.none() | money,
            spent_tokens=st.none() | big,
            limit_tokens=st.none() | big,
            resets_unix_ns=st.none() | big,
        ),
        max_size=3,
    ).map(tuple),
    credential=text,
    refused_by=text,
    risk=text,
    reason=text,
    scores=text,
)
bodies = st.builds(
    Body,
    content=st.binary(max_size=200),
    original_bytes=big,
    truncated=st.booleans(),
    content_type=text,
)


def texts_of(kind: type) -> dict[str, st.SearchStrategy[str]]:
    return {f.name: text for f in fields(kind)}


TEXTS = [f.name for f in fields(CallRecord) if f.type in (str, "str")]
records = st.builds(
    CallRecord,
    **dict.fromkeys(TEXTS, text),
    **dict.fromkeys(("stream", "cached", "opaque"), st.booleans()),
    started_unix_ns=big,
    attribution=st.builds(Attribution, **texts_of(Attribution)),
    origin=st.builds(
        Origin, **texts_of(Origin) | {"labels": st.dictionaries(text, text, max_size=3)}
    ),
    status_code=small,
    revision=small,
    end_reason=st.sampled_from(EndReason),
    error=st.none() | errors,
    tool_names=st.lists(text, max_size=3).map(tuple),
    notes=st.lists(text, max_size=3).map(tuple),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    usage=st.none() | usages,
    cost=st.none() | costs,
    cache=st.none() | verdicts,
    receipt=st.none() | receipts,
    outcome=st.none() | outcomes,
    latency_s=seconds,
    ttft_s=st.none() | seconds,
    overhead_s=st.none() | seconds,
    request_bytes=big,
    response_bytes=big,
    request_body=st.none() | bodies,
    response_body=st.none() | bodies,
)


@given(records)
def test_what_is_written_reads_as_what_was_filled_in(record):
    read = pb.CallRecord.FromString(write_without_bodies(record))
    assert from_message(read) == from_message(to_message_without_bodies(record))


@given(records)
def test_a_record_survives_the_wire(record):
    data = to_message(record).SerializeToString()

    assert from_message(pb.CallRecord.FromString(data)) == record


@given(records)
def test_facts_and_bodies_joined_are_the_whole_record(record):
    facts = to_message_without_bodies(record)
    bodies = to_message(record)
    for name in [f.name for f in pb.CallRecord.DESCRIPTOR.fields]:
        if name not in ("request_body", "response_body"):
            bodies.ClearField(name)

    joined = pb.CallRecord.FromString(facts.SerializeToString() + bodies.SerializeToString())

    assert from_message(joined) == record


def test_every_field_of_the_wire_form_is_a_field_of_the_record():
    wire = {f.name for f in pb.CallRecord.DESCRIPTOR.fields}
    named = {f.name for f in fields(CallRecord)}

    assert wire - named == {"started_unix_nano"}
    assert named - wire == {"started_unix_ns"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Usage, pb.Usage),
        (Cost, pb.Cost),
        (CallError, pb.CallError),
        (Attempt, pb.Attempt),
        (Body, pb.Body),
        (Attribution, pb.Attribution),
        (Origin, pb.Origin),
        (Outcome, pb.Outcome),
    ],
    ids=lambda kind: kind.__name__,
)
def test_parts_have_the_same_fields_on_both_sides(ours, theirs):
    assert {f.name for f in fields(ours)} == {f.name for f in theirs.DESCRIPTOR.fields}


def test_what_nobody_stated_is_absent_and_not_zero():
    message = to_message(CallRecord("a" * 32, 1, usage=Usage(output_tokens=0)))

    assert not message.usage.HasField("input_tokens")
    assert message.usage.HasField("output_tokens")
    assert not message.HasField("cost")
    assert not message.HasField("ttft_s")


def test_empty_parts_are_present_where_the_record_has_them():
    record = CallRecord(
        "a" * 32, 1, error=CallError("", ""), usage=Usage(), request_body=Body(b"", 0)
    )

    assert from_message(to_message(record)) == record


def test_money_is_written_without_an_exponent():
    cost = Cost(Decimal("1E-9"), Decimal(0), Decimal("1E-9"), "list 1", "2026-01-01")

    assert to_message(CallRecord("a" * 32, 1, cost=cost)).cost.total_usd == "0.000000001"


def test_an_end_reason_of_a_newer_version_reads_as_unspecified():
    message = to_message(CallRecord("a" * 32, 1))
    message.end_reason = 99

    assert from_message(message).end_reason is EndReason.UNSPECIFIED


def test_what_does_not_fit_the_wire_is_refused():
    with pytest.raises(ValueError, match="surrogates"):
        to_message(CallRecord("a" * 32, 1, response_model="\ud800"))


def test_a_stored_record_keeps_its_stamps():
    record = CallRecord("a" * 32, 1)
    message = pb.StoredRecord(
        record=to_message(record), namespace="ns", pod_uid="uid", received_unix_nano=7, cursor="c"
    )

    stored = stored_from_message(message)

    assert (stored.record, stored.namespace, stored.pod_uid) == (record, "ns", "uid")
    assert (stored.received_unix_ns, stored.cursor) == (7, "c")
