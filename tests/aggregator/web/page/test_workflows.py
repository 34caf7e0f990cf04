"""Executions of workflows on the page: the list, one of them, and both as they go on."""

import re

import pytest
from playwright.async_api import expect
from tests.aggregator.web.page import fleet
from tests.aggregator.web.page.told_workflows import CALL, DONE, report, step, tell

from remora_proto.v1 import workflows_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAILED, COMPLETED = pb.EXECUTION_STATUS_FAILED, pb.EXECUTION_STATUS_COMPLETED


async def layers(tab, steps):
    program = "async (steps) => [...(await import('/page/step_layers.js')).layers(steps)]"
    given = [{"step_id": name, "depends_on": list(before)} for name, before in steps]
    return dict(await tab.page.evaluate(program, given))


async def test_steps_stand_behind_all_that_they_wait_for(tab):
    await tab.open()
    steps = [("a", ""), ("b", ""), ("c", "a"), ("d", "bc"), ("e", "a"), ("f", "?")]
    assert await layers(tab, steps) == {"a": 0, "b": 0, "c": 1, "d": 2, "e": 1, "f": 0}
    many = [(f"s{number}", [f"s{number - 1}"] if number else []) for number in range(200)]
    assert (await layers(tab, many))["s199"] == 199


async def test_no_two_steps_are_drawn_on_one_place(tab):
    await tab.open()
    program = """async (steps) => {
        const made = (await import("/page/step_layers.js")).placed(steps);
        return [[...made.boxes.values()], made.lines.length, made.width, made.height, made.box];
    }"""
    steps = [
        {"step_id": str(number), "depends_on": [str(number // 3)] if number > 2 else []}
        for number in range(40)
    ]
    boxes, lines, width, height, box = await tab.page.evaluate(program, steps)
    assert len({(one["x"], one["y"]) for one in boxes}) == 40
    assert lines == 37
    assert max(one["x"] for one in boxes) + box["width"] == width
    assert max(one["y"] for one in boxes) + box["height"] == height


async def test_executions_are_listed_and_found(served, tab, now_ns):
    await tell(
        served,
        report(now_ns),
        report(now_ns, "run-2", status=FAILED, error_code="NO_MODEL", workflow="write"),
        report(now_ns, "run-3", status=COMPLETED, unpriced_calls=1),
    )
    await tab.open("#/workflows")
    rows = tab.get("table", "Executions of workflows").get_by_role("row")
    await expect(rows).to_have_count(4)
    first = rows.filter(has_text="run-1")
    await expect(first).to_contain_text("running")
    await expect(first).to_contain_text("2 of 4")
    await expect(first).to_contain_text("$0.0042")
    await expect(first).to_contain_text("4.10 s")
    await expect(rows.filter(has_text="run-2")).to_contain_text("NO_MODEL")
    await expect(rows.filter(has_text="run-3")).not_to_contain_text("$0.0042")
    await tab.get("combobox", "State").select_option("failed")
    await expect(rows).to_have_count(2)
    await tab.get("combobox", "State").select_option("")
    await tab.get("searchbox", "Name of the workflow").fill("research")
    await tab.get("button", "Find").click()
    await expect(rows).to_have_count(3)
    assert "workflow=research" in tab.page.url


async def test_one_execution_shows_its_graph_its_steps_and_its_receipts(served, tab, now_ns):
    await served.put(fleet.decided(now_ns))
    await tell(served, report(now_ns))
    await tab.open("#/workflows/local/run-1")
    await expect(tab.get("heading", "run-1", level=1)).to_be_visible()
    await tab.has("research-7c9-1")
    nodes = tab.page.locator(".graph .node")
    await expect(nodes).to_have_count(4)
    await expect(tab.page.locator(".graph .edge")).to_have_count(4)
    await expect(nodes.first).to_contain_text("completed · 1.90 s · $0.0021")
    rows = tab.get("table", "Steps", exact=True).get_by_role("row")
    await expect(rows).to_have_count(5)
    await expect(rows.filter(has_text="look-up").first).to_contain_text("CONDITION")
    await expect(rows.nth(1)).to_contain_text("and 3 more")
    await tab.get("link", "Call 1 of gather").click()
    await expect(tab.get("heading", re.compile("gpt-4o-mini-2024-07-18"), level=1)).to_be_visible()
    assert tab.page.url.endswith(f"#/calls/{CALL}")


async def test_why_an_execution_did_not_complete_is_said(served, tab, now_ns):
    steps = [step("gather", pb.STEP_STATUS_FAILED, error_code="NO_MODEL", note="tried twice")]
    await tell(
        served,
        report(
            now_ns, status=FAILED, error_code="NO_MODEL", failed_step="gather", steps=steps,
            downgraded=["workflow"], unpriced_calls=2, ended_unix_nano=now_ns,
        ),
    )  # fmt: skip
    await tab.open("#/workflows/local/run-1")
    await tab.has("It did not complete:")
    await tab.has("tried twice")
    await tab.has("$0.0042 known, 2 calls unpriced")
    await tab.has("Moved to cheaper models by the budget of:")
    await expect(tab.page.locator(".graph")).to_have_count(0)


async def test_both_go_on_by_themselves(served, open_tab, now_ns):
    await tell(served, report(now_ns))
    async with open_tab(served.url) as one, open_tab(served.url) as whole:
        await one.open("#/workflows/local/run-1")
        await whole.open("#/workflows")
        await expect(one.page.locator(".graph .node.good")).to_have_count(1)
        await expect(whole.page.locator("tbody tr")).to_have_count(1)
        steps = [step(name) for name in ("gather", "synthesize", "look-up", "cite")]
        await tell(
            served,
            report(now_ns, revision=4, status=COMPLETED, steps=steps, ended_unix_nano=now_ns),
            report(now_ns, "run-2"),
        )
        await expect(one.page.locator(".graph .node.good")).to_have_count(4)
        await expect(one.page.locator(".head .badge")).to_have_text("completed")
        await expect(whole.page.locator("tbody tr")).to_have_count(2)


async def test_odd_names_are_shown_as_text(served, tab, now_ns):
    odd = "<img src=x onerror=alert(1)> \u202e\u05e9\u05dc\u05d5\u05dd " + "w" * 120
    steps = [step(odd), step("b", DONE, odd, model=odd)]
    await tell(served, report(now_ns, workflow=odd, steps=steps))
    for address in ("#/workflows", "#/workflows/local/run-1"):
        await tab.open(address)
        await tab.has("<img src=x onerror=alert(1)>")
        assert await tab.page.locator("main img").count() == 0
        wide = "() => document.documentElement.scrollWidth - innerWidth"
        assert await tab.page.evaluate(wide) <= 0


async def test_an_execution_that_nobody_reported_is_said_to_be_so(served, tab):
    await tab.open("#/workflows")
    await tab.has("No workflow has run yet.")
    await tab.open("#/workflows/local/nobody")
    await tab.has("namespace 'local' has no execution 'nobody': nobody reported it")
