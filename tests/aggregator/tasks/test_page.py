"""docs/tasks.md says what the code does."""

import re
from pathlib import Path

from remora_aggregator.service.task_service import MAX_HELD_TASKS
from remora_aggregator.tasks.conclusions import QuietRules
from remora_aggregator.tasks.leases import LeaseSettings
from remora_aggregator.tasks.states import State
from remora_aggregator.tasks.task import MAX_CHANGES, MAX_ID_CHARS

PAGE = (Path(__file__).parents[3] / "docs/tasks.md").read_text()
WORDS = " ".join(PAGE.split())


def test_every_state_has_its_row():
    states = PAGE.partition("## States")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", states, re.MULTILINE) == [state.value for state in State]


def test_the_figures_are_those_of_the_code():
    leases, quiet = LeaseSettings(), QuietRules()

    assert f"A lease lasts {leases.lease_s:.0f} seconds" in WORDS
    assert f"or {leases.size_per_mille / 10:.0f} % of the budget" in WORDS
    assert f"nothing happened for {quiet.pause_after_s / 60:.0f} minutes" in WORDS
    assert quiet.complete_after_s == 86_400
    assert f"the {MAX_HELD_TASKS:,} tasks" in WORDS
    assert f"The last {MAX_CHANGES} changes" in WORDS
    assert f"up to {MAX_ID_CHARS} characters" in WORDS
