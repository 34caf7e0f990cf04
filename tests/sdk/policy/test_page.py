"""docs/policy.md says what the code does."""

import re
from pathlib import Path

from remora.policy.problems import fields_below
from remora.policy.spec import KINDS
from remora.policy.support import ENFORCED
from remora.providers import ProviderRegistry

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()


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


def test_the_example_on_the_page_is_taken():
    from remora.policy import load_documents

    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert load_documents({"example.yaml": example}).policies


def test_the_page_names_who_is_asked_for_a_streams_usage():
    section = PAGE.partition("## Usage of streams")[2].partition("\n## ")[0]
    asked = re.findall(r"`([\w-]+)`", section.partition("lists the\noption: ")[2])
    takers = [p.name for p in ProviderRegistry.builtin() if p.takes_include_usage]
    assert sorted(asked) == sorted(takers)
