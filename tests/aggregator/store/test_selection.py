import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.client.condition import Operator
from remora.errors import BadRequest
from remora_aggregator.store.fields import Kind, field_named, values_of
from remora_aggregator.store.selection import selection
from remora_proto.v1 import records_pb2 as pb

LOCAL = ("local",)


def _filter(field, operator, *values):
    return pb.RecordFilter(
        conditions=[pb.Condition(field=field, operator=operator.value, values=values)]
    )


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (pb.RecordFilter(namespace="team-b"), "team-b"),
        (pb.RecordFilter(since_unix_nano=9, until_unix_nano=9), "since"),
        (pb.RecordFilter(outcome=7), "outcome"),
        (pb.RecordFilter(text="?!"), "word"),
        (_filter("usage.bananas", Operator.EQUAL, "1"), "usage.bananas"),
        (_filter("usage", Operator.PRESENT), "usage"),
        (_filter("request_body.content", Operator.EQUAL, "x"), "request_body"),
        (_filter("latency_s", Operator.LESS, "soon"), "number"),
        (_filter("latency_s", Operator.LESS, "nan"), "number"),
        (_filter("latency_s", Operator.LESS), "1 values"),
        (_filter("latency_s", Operator.LESS, "1", "2"), "not 2"),
        (_filter("cost.total_usd", Operator.EQUAL, "much"), "number"),
        (_filter("stream", Operator.EQUAL, "maybe"), "true or false"),
        (_filter("stream", Operator.LESS, "true"), "order"),
        (_filter("end_reason", Operator.EQUAL, "bored"), "number"),
        (_filter("provider", Operator.PRESENT, "x"), "present takes 0"),
        (_filter("provider", Operator.GLOB, ""), "pattern"),
        (pb.RecordFilter(conditions=[pb.Condition(field="provider", operator=99)]), "operator 99"),
        (pb.RecordFilter(conditions=[pb.Condition(field="provider", operator=9)] * 51), "50"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused_with_its_name(wanted, says):
    with pytest.raises(BadRequest, match=says):
        selection(wanted, LOCAL)


def test_another_namespace_is_forbidden():
    with pytest.raises(BadRequest, match="team-a") as refusal:
        selection(pb.RecordFilter(namespace="team-b"), ("team-a",))
    assert refusal.value.status == 403


@pytest.mark.parametrize(
    ("wanted", "namespaces", "seen"),
    [
        ("", LOCAL, LOCAL),
        ("", None, None),
        ("a", None, ("a",)),
        ("a", ("a", "b"), ("a",)),
        ("", ("a", "b"), ("a", "b")),
    ],
    ids=["own", "all", "one of all", "one of some", "some"],
)
def test_who_asks_sees_at_most_their_namespaces(wanted, namespaces, seen):
    assert selection(pb.RecordFilter(namespace=wanted), namespaces).namespaces == seen


def test_conditions_by_columns_and_by_messages_are_told_apart():
    chosen = selection(
        pb.RecordFilter(
            provider="openai",
            conditions=[
                pb.Condition(field="origin.labels.app", operator=1, values=["x"]),
                pb.Condition(field="latency_s", operator=6, values=["2"]),
            ],
        ),
        LOCAL,
    )
    assert [one.field.path for one in chosen.conditions] == ["provider", "latency_s"]
    assert [one.field.path for one in chosen.residual] == ["origin.labels.app"]


RECORD = pb.StoredRecord(
    namespace="local",
    record=pb.CallRecord(
        provider="openai",
        url="https://api.openai.com/v1/x",
        stream=True,
        end_reason=pb.END_REASON_PROVIDER_CUT,
        tool_names=["search", "fetch"],
        usage=pb.Usage(input_tokens=0, web_searches=3),
        attempts=[pb.Attempt(status_code=429), pb.Attempt(status_code=200)],
        origin=pb.Origin(labels={"app": "research"}),
        receipt=pb.Receipt(budgets=[pb.BudgetReceipt(spent_usd="0.10")]),
    ),
)


@pytest.mark.parametrize(
    ("field", "operator", "values", "holds"),
    [
        ("url", Operator.GLOB, ["*API.openai.com*"], True),
        ("url", Operator.NOT_GLOB, ["*anthropic*"], True),
        ("stream", Operator.EQUAL, ["true"], True),
        ("end_reason", Operator.EQUAL, ["provider_cut"], True),
        ("end_reason", Operator.NOT_EQUAL, ["provider_cut"], False),
        ("tool_names", Operator.EQUAL, ["fetch"], True),
        ("tool_names", Operator.NOT_EQUAL, ["fetch"], False),
        ("usage.web_searches", Operator.GREATER, ["2"], True),
        ("usage.input_tokens", Operator.EQUAL, ["0"], True),
        ("usage.output_tokens", Operator.ABSENT, [], True),
        ("usage.output_tokens", Operator.LESS, ["5"], False),
        ("attempts.status_code", Operator.EQUAL, ["429"], True),
        ("attempts.status_code", Operator.LESS, ["200"], False),
        ("origin.labels.app", Operator.EQUAL, ["research", "other"], True),
        ("origin.labels.team", Operator.PRESENT, [], False),
        ("origin.labels.team", Operator.EQUAL, ["", "x"], True),
        ("receipt.budgets.spent_usd", Operator.GREATER_OR_EQUAL, ["0.1"], True),
        ("receipt.budgets.spent_usd", Operator.EQUAL, ["0.1"], True),
        ("method", Operator.ABSENT, [], True),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
def test_conditions_hold_by_the_message_alone(field, operator, values, holds):
    (condition,) = selection(_filter(field, operator, *values), LOCAL).residual
    assert condition.holds(RECORD) is holds


def _paths(descriptor, prefix="", depth=3):
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if field.message_type is None:
            yield path
        elif depth and not field.message_type.GetOptions().map_entry:
            yield from _paths(field.message_type, f"{path}.", depth - 1)


PATHS = [path for path in _paths(pb.CallRecord.DESCRIPTOR) if "_body" not in path]


@pytest.mark.parametrize("path", PATHS)
def test_every_field_of_a_record_can_be_asked_by(path):
    field = field_named(path)
    assert field.kind in Kind
    assert isinstance(list(values_of(RECORD, field)), list)
    chosen = selection(_filter(path, Operator.PRESENT), LOCAL)
    assert len(chosen.conditions) + len(chosen.residual) == 1


@given(
    path=st.sampled_from(PATHS) | st.text(max_size=20),
    operator=st.integers(0, 12),
    values=st.lists(st.text(max_size=10), max_size=3),
)
def test_any_condition_is_read_or_refused(path, operator, values):
    message = pb.Condition(field=path, operator=operator, values=values)
    try:
        chosen = selection(pb.RecordFilter(conditions=[message]), LOCAL)
    except BadRequest:
        return
    for condition in chosen.residual:
        assert condition.holds(RECORD) in (True, False)
