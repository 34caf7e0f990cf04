"""The document is valid, and answers are what it says."""

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from remora_aggregator.web.app import OPERATIONS
from remora_aggregator.web.openapi import openapi_document
from remora_proto.v1 import records_pb2 as pb

DOCUMENT = openapi_document(OPERATIONS, "1.2.3")
FULL = {
    "error": pb.CallError(type="x", message="y"),
    "cache": pb.CacheVerdict(result="miss", age_s=1.0, saved_usd="0.1"),
    "attempts": [pb.Attempt(provider="a", parameters='{"top_p":1}',
                            cost=pb.Cost(total_usd="1", input_usd="1", output_usd="0"),
                            usage=pb.Usage(input_tokens=1))],
    "receipt": pb.Receipt(
        policy="p",
        candidates=[pb.CandidateReceipt(provider="a", model="m", est_cost_usd="0.1",
                                        parameters='{"top_p":1}', propensity=0.5, note="tied")],
        risk="low", reason="thompson", scores="ab",
        budgets=[pb.BudgetReceipt(name="b", spent_usd="1", limit_tokens=2, resets_unix_nano=1)],
    ),
    "origin": pb.Origin(labels={"a": "b"}),
    "attribution": pb.Attribution(task_id="t", goal="g"),
    "outcome": pb.Outcome(kind="check_failed", failed_checks=["json"]),
    "request_body": pb.Body(content=b"x"),
    "response_body": pb.Body(content=b"\xff"),
    "ttft_s": 0.1,
}  # fmt: skip


def schema_of(path, status="200", method="get"):
    response = DOCUMENT["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"]["Problem"]
    ((_, content),) = response["content"].items()
    return content["schema"]


def validator(schema):
    root = Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:openapi", root)
    reference = {"$ref": f"urn:openapi{schema['$ref']}"} if "$ref" in schema else schema
    return Draft202012Validator(reference, registry=registry)


def test_the_document_is_valid():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


async def test_the_document_is_served(api):
    served = (await api.get("/v1/openapi.json")).json
    assert served["openapi"] == "3.1.0"
    assert {**served, "info": None} == {**DOCUMENT, "info": None}


def test_every_operation_is_in_it_once():
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert sorted(names) == sorted(operation.name for operation in OPERATIONS)
    assert len(set(names)) == len(names)


def test_every_schema_is_valid_and_used():
    text = str(DOCUMENT)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}'" in text


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/v1/records", "/v1/records", "200"),
        ("/v1/records", "/v1/records?bodies=1", "200"),
        ("/v1/records", "/v1/records?fields=model,cost.total_usd", "200"),
        ("/v1/records", "/v1/records?limit=0", "400"),
        ("/v1/records", "/v1/records?namespace=x", "403"),
        ("/v1/records/{call_id}", f"/v1/records/{1:032x}", "200"),
        ("/v1/records/{call_id}", f"/v1/records/{1:032x}?bodies=1", "200"),
        ("/v1/records/{call_id}", f"/v1/records/{2:032x}", "200"),
        ("/v1/records/{call_id}", f"/v1/records/{9:032x}", "404"),
        ("/v1/usage", "/v1/usage?quantiles=0.5", "200"),
        ("/v1/usage", "/v1/usage?interval=1h&group_by=model,session", "200"),
        ("/v1/usage", "/v1/usage?interval=1", "400"),
        ("/v1/tasks", "/v1/tasks", "200"),
        ("/v1/tasks", "/v1/tasks?cursor=x", "400"),
        ("/v1/tasks/{namespace}/{task_id}", "/v1/tasks/local/t", "200"),
        ("/v1/tasks/{namespace}/{task_id}", "/v1/tasks/local/nobody", "404"),
        ("/v1/health", "/v1/health", "200"),
        ("/v1/fields", "/v1/fields", "200"),
        ("/v1/whoami", "/v1/whoami", "200"),
        ("/healthz", "/healthz", "200"),
        ("/readyz", "/readyz", "200"),
    ],
)
async def test_answers_are_what_the_document_says(api, call, path, asked, status):
    await api.put(call(1, **FULL), pb.CallRecord(call_id=f"{2:032x}", started_unix_nano=1))
    answer = await api.get(asked)
    assert answer.status == int(status)
    schema = schema_of(path, status)
    if "PartOfRecord" in str(schema) or "fields=" in asked:
        assert answer.json["records"]
    validator(schema).validate(answer.json)


async def test_answers_have_no_key_that_the_document_does_not_know(api, call):
    await api.put(call(1, **FULL))
    record = (await api.get(f"/v1/records/{1:032x}?bodies=1")).json
    usage = (await api.get("/v1/usage?quantiles=0.5")).json
    assert unknown_keys(record, schema_of("/v1/records/{call_id}")) == []
    assert unknown_keys(usage, schema_of("/v1/usage")) == []
    task = (await api.get("/v1/tasks/local/t")).json
    assert unknown_keys(task, schema_of("/v1/tasks/{namespace}/{task_id}")) == []
    health = (await api.get("/v1/health")).json
    assert unknown_keys(health, schema_of("/v1/health")) == []


def unknown_keys(value, schema, path=""):
    schema = resolved(schema)
    if isinstance(value, list):
        return [key for each in value for key in unknown_keys(each, schema["items"], path)]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    unknown = [f"{path}.{key}" for key in value if key not in known]
    for key, inner in value.items():
        if key in known:
            unknown += unknown_keys(inner, known[key], f"{path}.{key}")
    return unknown


def resolved(schema):
    for one in schema.get("anyOf", []):
        if one.get("type") != "null":
            return resolved(one)
    if "$ref" in schema:
        return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_parameters_in_the_document_are_those_that_are_read():
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]["parameters"]
        named = {one["name"] for one in described if one["in"] == "query"}
        assert named == set(operation.parameters.model_fields)
        in_path = {one["name"] for one in described if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", operation.path))
