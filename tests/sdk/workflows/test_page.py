"""The page about workflows says what the language is."""

import re
from pathlib import Path

import pytest

from remora.workflows import Catalogue, Market, read_workflow
from remora.workflows.model import CAPABILITIES, TIERS
from remora.workflows.step import Step
from remora.workflows.strategy import Strategy
from remora.workflows.workflow import Workflow

PAGE = (Path(__file__).parents[3] / "docs" / "workflows.md").read_text(encoding="utf-8")
FIELDS = sorted(
    {field.alias for model in (Workflow, Step, Strategy) for field in model.model_fields.values()}
)


def test_the_pages_example_is_right():
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    compiled = read_workflow(text, "digest.yaml", Market(Catalogue.builtin()))
    assert compiled.graph.levels == (("sort",), ("report",))
    assert compiled.warnings == ()


@pytest.mark.parametrize("word", [*FIELDS, *CAPABILITIES, *TIERS])
def test_every_field_and_word_is_on_the_page(word):
    assert re.search(rf"[`{{ ]{word}[`:,}} ]", PAGE)
