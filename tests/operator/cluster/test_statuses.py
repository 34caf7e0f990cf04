"""The statuses that objects have, beside those that they should have."""

from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pytest
from tests.operator.policies.objects import pod, policy, shelf_with

from remora.errors import Problem
from remora.policy.crd import custom_resource_definitions
from remora_operator.cluster.statuses import StatusBook
from remora_operator.policies import Answers, ObjectKey, statuses

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ObjectKey("LLMPolicy", "team-a", "research")
SCHEMAS = {
    made["spec"]["names"]["kind"]: made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for made in custom_resource_definitions()
}


def wanted(*, refuses=False):
    """The status of a policy that one pod has, or refuses."""
    shelf, answers = shelf_with(policy(), pods=[pod("u")]), Answers()
    if refuses:
        version = shelf.policy_of("u").version
        answers.refused("u", version, [Problem("policy.spec." + "x" * 900, "is new " * 900)])
    return statuses(shelf, answers.of, {}, NOW)[KEY]


def stored(status, version="7"):
    written = {name: value for name, value in status.items() if value is not None}
    metadata = {"name": "research", "uid": "u", "resourceVersion": version}
    return {"metadata": metadata, "status": written}


def book_with(status, **fields):
    book = StatusBook()
    book.put(KEY, stored(status, **fields))
    return book


def test_an_object_without_a_status_gets_one_for_the_version_that_was_seen():
    status = wanted()
    assert book_with({}).difference(KEY, status) == {
        "metadata": {"resourceVersion": "7"},
        "status": status.to_json(),
    }


def test_a_status_that_is_right_is_left_alone():
    status = wanted()
    assert book_with(status.to_json()).difference(KEY, status) is None


def test_an_error_that_is_over_is_taken_away():
    status = wanted()
    patch = book_with(wanted(refuses=True).to_json()).difference(KEY, status)
    assert patch["status"]["lastError"] is None


def test_an_object_that_is_gone_gets_none():
    book = book_with({})
    book.remove(KEY)
    assert book.difference(KEY, wanted()) is None


def test_conditions_are_read_as_they_were_written():
    status = wanted()
    assert book_with(status.to_json()).conditions()[KEY] == status.conditions


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "Beautiful", "status": "True"},
        {"type": "Accepted", "status": "Perhaps"},
        {"type": "Accepted", "status": "True", "lastTransitionTime": "yesterday"},
        "Accepted",
        None,
    ],
)
def test_conditions_that_are_not_ours_count_for_nothing(condition):
    assert book_with({"conditions": [condition]}).conditions()[KEY] == ()


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_definitions_take_every_status(kind, refuses):
    status = stored(wanted(refuses=refuses).to_json())["status"]
    schema = SCHEMAS[kind]["properties"]["status"]
    jsonschema.Draft4Validator(schema).validate(status)
    assert set(status) <= set(schema["properties"])


def test_numbers_that_changed_are_a_difference():
    status = wanted()
    assert book_with(status.to_json()).difference(KEY, replace(status, current=1)) is not None
