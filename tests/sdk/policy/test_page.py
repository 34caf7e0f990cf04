"""docs/policy.md says what the code does."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from remora.policy import effective_policy, load_documents
from remora.policy.canonical import effective_from_canonical
from remora.policy.crd import custom_resource_definitions
from remora.policy.problems import fields_below
from remora.policy.spec import KINDS, CallRules, Floors
from remora.policy.support import ENFORCED
from remora.providers import ProviderRegistry

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
SCHEMAS = {
    made["spec"]["names"]["kind"]: made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for made in custom_resource_definitions()
}


def _fields(kind):
    """Each field that the page's table of a kind names, and whether it is said to be enforced."""
    section = PAGE.partition(f"## Fields of {kind}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `spec")]
    said = {}
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        for field in re.findall(r"`(spec[.\w]+)`", cells[0]):
            said[field] = cells[-1] == "enforced"
    return said


def test_what_is_said_to_be_enforced_is_enforced_and_nothing_else():
    for kind, enforced in ENFORCED.items():
        assert {field for field, is_enforced in _fields(kind).items() if is_enforced} == enforced


def test_every_field_of_policies_and_providers_is_on_the_page():
    for kind in ("LLMPolicy", "LLMProvider"):
        known = {f"spec.{name}" for name in fields_below(KINDS[kind], ["spec"])}
        assert set(_fields(kind)) == known


def test_every_built_in_provider_is_on_the_page():
    listed = re.findall(r"^\| `([\w-]+)` \|", PAGE.partition("## Built-in")[2], re.MULTILINE)
    assert listed == list(ProviderRegistry.builtin().names)


def _below(kind):
    """Every field below a kind's spec, as the page writes it, and its default."""
    schema = SCHEMAS[kind]["properties"]["spec"]
    todo = [(name, node) for name, node in schema["properties"].items()]
    while todo:
        path, node = todo.pop()
        yield path, node.get("default")
        inner = node.get("items", node)
        below = path + "[]" * (inner is not node)
        todo += [(f"{below}.{name}", field) for name, field in inner.get("properties", {}).items()]


ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def _row(field):
    for row in ROWS:
        if re.search(rf"`(spec\.)?{re.escape(field)}`", row.split("|")[1]):
            return row
    return ""


@pytest.mark.parametrize("kind", ["LLMPolicy", "LLMProvider"])
def test_every_field_however_deep_is_on_the_page_with_its_default(kind):
    fields = dict(_below(kind))
    assert [field for field in fields if not _row(field)] == []
    written = {field: json.dumps(default).strip('"') for field, default in fields.items()}
    assert [
        field
        for field, default in fields.items()
        if default is not None and f"`{written[field]}`" not in _row(field)
    ] == []


def test_every_choice_of_a_field_is_on_the_page():
    from remora.policy.limits import Detector
    from remora.policy.routing import RouterPolicy

    for choices in (RouterPolicy, Detector):
        assert [choice for choice in get_args(choices) if f"`{choice}`" not in PAGE] == []


def test_every_field_of_clusters_is_on_the_page():
    said = _fields("ClusterLLMPolicy")
    defaults = {f"spec.defaults.{name}" for name in CallRules.model_json_schema()["properties"]}
    floors = {f"spec.floors.{name}" for name in Floors.model_json_schema()["properties"]}
    assert set(said) == defaults | floors | {"spec.learning"}


def test_the_example_on_the_page_is_taken():
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    documents = load_documents({"example.yaml": example})
    assert (len(documents.policies), len(documents.providers), documents.warnings) == (1, 1, ())
    effective = effective_policy(documents, {"app": "research"})
    assert [budget.name for budget in effective.rules.budgets][-1] == "company/monthly"
    assert effective_from_canonical(effective.canonical).version == effective.version


def test_the_page_names_who_is_asked_for_a_streams_usage():
    section = PAGE.partition("## Usage of streams")[2].partition("\n## ")[0]
    asked = re.findall(r"`([\w-]+)`", section.partition("lists the\noption: ")[2])
    takers = [p.name for p in ProviderRegistry.builtin() if p.takes_include_usage]
    assert sorted(asked) == sorted(takers)
