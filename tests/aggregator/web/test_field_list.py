"""What records can be asked by is what the list says."""

from urllib.parse import quote

from remora_aggregator.store.fields import Kind
from remora_aggregator.web.field_list import field_list

SAMPLES = {"text": "x", "number": "1", "money": "1", "truth": "true", "enum": "completed"}
FIELDS = field_list().fields


async def test_the_list_names_what_people_ask_by(api):
    answer = await api.get("/v1/fields")
    assert answer.status == 200
    by_name = {field["name"]: field for field in answer.json["fields"]}
    assert by_name["latency_s"] == {
        "name": "latency_s",
        "kind": "number",
        "operators": ["!=", "!~", "!?", "<=", ">=", "=", "~", "?", "<", ">"],
        "values": None,
        "orders": True,
        "is_quick": True,
    }
    assert "completed" in by_name["end_reason"]["values"]
    assert by_name["session_id"]["is_quick"]
    assert not by_name["usage.input_tokens"]["is_quick"]
    assert {"model", "error.type", "cost.total_usd", "origin.labels.NAME"} <= set(by_name)
    assert "request_body.content" not in by_name
    assert "cache" in answer.json["group_by"]
    assert {field["kind"] for field in by_name.values()} == {kind.value for kind in Kind}


async def test_every_operator_of_a_field_is_taken(open_api):
    async with open_api(queries_per_s=0) as api:
        for condition in (f"{field.name}{each}" for field in FIELDS for each in _asked(field)):
            answer = await api.get(f"/v1/records?where={quote(condition)}")
            assert (answer.status, answer.json) == (200, {"records": [], "next": None}), condition


def _asked(field):
    return [sign if sign.endswith("?") else sign + SAMPLES[field.kind] for sign in field.operators]


async def test_a_field_orders_or_is_refused_as_the_list_says(open_api):
    async with open_api(queries_per_s=0) as api:
        for field in FIELDS:
            answer = await api.get(f"/v1/records?order_by={field.name}")
            assert answer.status == (200 if field.orders else 400), field.name
