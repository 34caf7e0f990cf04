"""Each view, in both schemes, narrow and wide: what it shows, and how it is made."""

import random
import re

import pytest
from playwright.async_api import expect
from tests.aggregator.web.page import fleet, told_workflows

from remora_aggregator.tasks.amounts import Amount, Limit
from remora_aggregator.tasks.leases import AccountKey
from remora_proto.v1 import records_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALL = f"{0xDEC1DED:032x}"
VIEWS = {
    "calls": "#/calls",
    "call": f"#/calls/{CALL}",
    "usage": "#/usage",
    "latency": "#/usage?of=p95&by=provider&since=1d",
    "sessions": "#/sessions",
    "session": "#/sessions/run-007?namespace=local",
    "tasks": "#/tasks",
    "task": "#/tasks/local/nightly-03",
    "workflows": "#/workflows",
    "execution": "#/workflows/local/run-1",
    "budgets": "#/budgets",
    "scores": "#/scores",
    "goal": "#/scores/summarization",
    "benchmarks": "#/benchmarks",
    "health": "#/health",
}


async def filled(served, now_ns, count=150):
    await served.put(*fleet.usual_calls(count, now_ns, 3 * 86_400))
    await served.put(fleet.decided(now_ns), pod="q")
    await served.bound_task("nightly-03", 10**10, "Nightly digest")
    await served.lease(AccountKey("local", "per-task", "task", "nightly-03"), Limit(10**12, 500))
    await told_workflows.tell(served, told_workflows.report(now_ns))


async def judged(served, now_ns, goal="summarization"):
    """Have calls for a goal, of two models, and users who like what the one says."""
    dice = random.Random(7)  # noqa: S311 - figures for a picture
    calls = [
        fleet.usual(10_000 + number, now_ns - (60 - number) * 600 * 10**9, dice)
        for number in range(60)
    ]
    for number, record in enumerate(calls):
        record.attribution.goal = goal
        record.provider, record.status_code, record.cached = "openai", 200, False
        record.sent_model = ("gpt-4o", "gpt-4o-mini")[number % 2]
    await served.put(*calls, pod="judged")
    await served.signal(
        *(
            (record.call_id, f"{goal}-{number}", float(number % 2 == 0 or number % 5 == 0))
            for number, record in enumerate(calls)
        )
    )


NAMES_PROGRAM = """
() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, [tabindex], [role=slider], [role=meter]")]
  .filter((one) => one.checkVisibility() && one.id !== "main" && one.tagName !== "H1")
  .filter((one) => {
    const ids = (one.getAttribute("aria-labelledby") ?? "").split(" ");
    const by = ids.map((id) => document.getElementById(id)?.textContent ?? "").join("");
    const label = [...(one.labels ?? [])].map((each) => each.textContent).join("");
    return !(one.getAttribute("aria-label") || by || label || one.textContent || "").trim();
  })
  .map((one) => one.outerHTML.slice(0, 120))
"""
STRUCTURE_PROGRAM = """
() => ({
  mains: document.querySelectorAll("main").length,
  headings: [...document.querySelectorAll("h1,h2,h3")].map((one) => Number(one.tagName[1])),
  ids: [...document.querySelectorAll("[id]")].map((one) => one.id),
  tables: [...document.querySelectorAll("table")]
    .filter((one) => !one.querySelector("caption")?.textContent.trim()).length,
  heads: [...document.querySelectorAll("thead th")].filter((one) => one.scope !== "col").length,
  lang: document.documentElement.lang,
  title: document.title,
  wide: document.documentElement.scrollWidth - innerWidth,
  tiny: [...document.querySelectorAll("button, select")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24).length,
})
"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 400)])
async def test_every_view_is_well_made(served, open_tab, now_ns, scheme, width):
    await filled(served, now_ns)
    await judged(served, now_ns)
    grounds = {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 27)"}
    async with open_tab(served.url, width=width, scheme=scheme) as tab:
        for name, address in VIEWS.items():
            await tab.open(address)
            assert await tab.page.evaluate(NAMES_PROGRAM) == [], name
            found = await tab.page.evaluate(STRUCTURE_PROGRAM)
            assert (found["mains"], found["lang"], found["tables"], found["heads"]) == (
                1,
                "en",
                0,
                0,
            ), name
            assert found["headings"].count(1) == 1, name
            steps = zip(found["headings"], found["headings"][1:], strict=False)
            assert all(after <= before + 1 for before, after in steps), name
            assert len(found["ids"]) == len(set(found["ids"])), name
            assert found["title"].endswith(" · Remora"), name
            assert found["wide"] <= 0, name
            assert found["tiny"] == 0, name
        ground = await tab.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert ground == grounds[scheme]


async def test_the_scheme_can_be_chosen_and_is_kept(served, open_tab):
    ground = "() => getComputedStyle(document.body).backgroundColor"
    async with open_tab(served.url, scheme="light") as tab:
        await tab.open()
        before = await tab.page.evaluate(ground)
        await tab.get("combobox", "Colours").select_option("dark")
        dark = await tab.page.evaluate(ground)
        assert dark != before
        await tab.page.reload()
        await tab.settled()
        assert await tab.page.evaluate(ground) == dark
        await tab.get("combobox", "Colours").select_option("")
        assert await tab.page.evaluate(ground) == before


async def test_a_call_is_shown_with_its_decision_and_what_was_said(served, tab, now_ns):
    await served.put(fleet.decided(now_ns))
    await tab.open(f"#/calls/{CALL}")
    await expect(tab.get("heading", re.compile("gpt-4o-mini-2024-07-18"), level=1)).to_be_visible()
    steps = tab.page.locator(".decision > li h3")
    await expect(steps).to_have_text(
        ["Asked for", "Ruled by", "Candidates", "Budgets", "Cache", "Attempts"]
    )
    candidates = tab.get("table", "Candidates").get_by_role("row")
    await expect(candidates.nth(1)).to_contain_text("chosen")
    await expect(candidates.nth(3)).to_contain_text("left out: model denied")
    meter = tab.get("meter", "Money of daily")
    await expect(meter).to_have_attribute("aria-valuetext", "$43.20 of $50.00, 86 %")
    lanes = tab.page.locator(".timeline li")
    await expect(lanes.nth(0)).to_contain_text("429 · rate_limited · 620 ms")
    await expect(lanes.nth(1)).to_contain_text("kept connection")
    request = tab.get("region", "Request")
    await expect(request).to_contain_text('"max_tokens": 12345678901234567890,')
    await tab.get("button", "Laid out").first.click()
    await expect(request).to_contain_text('"max_tokens": 12345678901234567890, "messages"')
    await tab.has("The provider named no model in its first chunk.")
    await expect(tab.get("link", "nightly-03")).to_have_attribute(
        "href", "#/tasks/local/nightly-03"
    )


async def test_a_learned_choice_says_how_likely_each_was_and_what_is_known_of_the_answer(
    served, tab, now_ns
):
    warm, small = '{"temperature":0.7}', "gpt-4o-mini"
    record = fleet.decided(
        now_ns,
        attribution=pb.Attribution(goal="extract"),
        outcome=pb.Outcome(
            kind="check_failed", confidence=0.6, failure_category="malformed_output",
            failed_checks=["json"],
        ),
    )  # fmt: skip
    receipt = pb.Receipt(
        policy="p", policy_version="ab", rule="chat", router="learned", propensity=0.8,
        reason="thompson", risk="low", scores="cd" * 32,
        candidates=[
            pb.CandidateReceipt(
                provider="openai", model=small, parameters=warm, propensity=0.8, score=0.9
            ),
            pb.CandidateReceipt(provider="openai", model=small, propensity=0.0, note="tied"),
        ],
    )  # fmt: skip
    record.receipt.CopyFrom(receipt)
    record.attempts[0].model, record.attempts[0].parameters = small, warm
    await served.put(record)
    await tab.open(f"#/calls/{CALL}")
    steps = tab.page.locator(".decision > li")
    await expect(steps.nth(1)).to_contain_text(
        "A model that may be better than the best known; risk low; by scores cdcdcdcdcd."
    )
    rows = tab.get("table", "Candidates").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text('with {"temperature":0.7}')
    await expect(rows.nth(1)).to_contain_text("80 %")
    await expect(rows.nth(1)).to_contain_text("chosen")
    await expect(rows.nth(2)).to_contain_text("as good as a cheaper or faster one")
    await expect(steps.last).to_contain_text("check failed malformed_output, fails json, strength")
    await expect(tab.get("link", "extract")).to_have_attribute("href", re.compile("goal"))


async def test_a_refused_call_says_what_refused_it(served, tab, now_ns):
    receipt = pb.Receipt(
        policy="team-a/research", policy_version="ab", rule="chat", refused_by="BUDGET_EXCEEDED"
    )
    record = fleet.decided(now_ns, end_reason=pb.END_REASON_REFUSED, status_code=429)
    record.receipt.CopyFrom(receipt)
    del record.attempts[:]
    record.error.MergeFrom(pb.CallError(type="budget", message="The budget per-task is used up."))
    await served.put(record)
    await tab.open(f"#/calls/{CALL}")
    await expect(tab.page.locator(".decision > li").last).to_contain_text("BUDGET_EXCEEDED")
    await expect(tab.page.locator("h1")).to_contain_text("refused")


async def test_usage_is_drawn_over_time_and_told_as_a_table(served, tab, now_ns):
    await filled(served, now_ns)
    await tab.open("#/usage?since=7d")
    total = tab.page.locator(".tiles dd").first
    await expect(total).to_have_text("151")
    assert await tab.page.locator(".chart rect").count() > 20
    await tab.page.get_by_text("As a table").click()
    table = tab.get("table", "Cost by model")
    await expect(table.get_by_role("columnheader").last).to_have_text("others")
    slider = tab.get("slider", "Cost by model: time")
    await slider.focus()
    await slider.press("Home")
    first = await slider.get_attribute("aria-valuetext")
    await slider.press("End")
    assert await slider.get_attribute("aria-valuetext") != first
    await expect(tab.page.locator(".tip")).to_be_visible()
    await slider.press("Escape")
    await expect(tab.page.locator(".tip")).to_be_hidden()


async def test_what_is_not_among_the_largest_is_summed_up_as_others(served, tab, now_ns):
    calls = list(fleet.usual_calls(40, now_ns, 7200))
    for number, record in enumerate(calls):
        record.response_model = f"model-{number % 10}"
    await served.put(*calls)
    await tab.open("#/usage?since=6h&of=calls")
    await expect(tab.page.locator(".legend li")).to_have_count(8)
    await tab.page.get_by_text("As a table").click()
    rows = await tab.page.locator(".alternative tbody tr").all_inner_texts()
    told = [int(figure) for row in rows for figure in row.split("\t")[1:]]
    assert sum(told) == 40


async def test_latency_is_drawn_as_lines_with_its_error_said(served, tab, now_ns):
    await filled(served, now_ns)
    await tab.open("#/usage?of=p95&by=provider")
    assert await tab.page.locator(".chart path.line").count() == 7
    await tab.has("Quantiles are off by at most 1.5 % of themselves.")


async def test_a_group_leads_to_its_calls_and_back_leads_back(served, tab, now_ns):
    await filled(served, now_ns)
    await tab.open("#/usage?by=provider&since=7d")
    await tab.get("link", "groq").click()
    await tab.settled()
    assert "where=provider%3Dgroq" in tab.page.url
    await expect(tab.get("heading", "Live calls", level=1)).to_be_focused()
    await expect(tab.page.locator(".chip")).to_have_text("provider=groq\u00d7")
    await tab.page.go_back()
    await expect(tab.get("heading", "Usage", level=1)).to_be_visible()
    await expect(tab.get("combobox", "Group by")).to_have_value("provider")


async def test_a_link_shows_another_reader_the_same(served, open_tab, now_ns):
    await filled(served, now_ns)
    async with open_tab(served.url) as tab:
        await tab.open("#/calls")
        await tab.get("combobox", "Outcome").select_option("error")
        await tab.get("combobox", "Order").select_option("latency_s")
        await tab.get("combobox", "Add a condition").fill("provider=openai|anthropic")
        await tab.page.keyboard.press("Enter")
        await expect(tab.page.locator(".chip")).to_have_count(1)
        await tab.settled()
        address, shown = tab.page.url, await tab.page.locator("tbody tr").all_inner_texts()
    async with open_tab(served.url) as other:
        await other.page.goto(address)
        await other.settled()
        assert await other.page.locator("tbody tr").all_inner_texts() == shown
        await expect(other.get("combobox", "Order")).to_have_value("latency_s")


async def test_sessions_lead_to_what_each_came_to(served, tab, now_ns):
    await filled(served, now_ns)
    await tab.open("#/sessions?id=run-007")
    await tab.get("link", "run-007").click()
    await tab.settled()
    await expect(tab.get("heading", "run-007", level=1)).to_be_visible()
    await expect(tab.get("meter", "Tokens of run")).to_have_attribute(
        "aria-valuetext", "120K of 1M tokens, 12 %"
    )
    await expect(tab.get("link", "All its calls")).to_have_attribute(
        "href", "#/calls?where=session_id%3Drun-007&where=namespace%3Dlocal"
    )


async def test_health_says_who_reports_and_what_is_kept(serve, open_tab, now_ns):
    async with serve(keep_records="400d") as served, open_tab(served.url) as tab:
        await filled(served, now_ns)
        await tab.open("#/health")
        await tab.has("All is well")
        await expect(tab.get("table", re.compile("Sidecars")).get_by_role("row")).to_have_count(3)
        await tab.has("400 days, no bound")


async def test_health_says_what_waits_in_spools_and_who_has_fallen_silent(served, tab, now_ns):
    state = pb.SidecarState(
        waiting_records=1_234, waiting_bytes=200 * 2**20, limit_bytes=256 * 2**20
    )
    await served.greet(pb.ReportRequest.Hello(pod_uid="a", pod_name="web-1"), state)
    await served.put(*fleet.usual_calls(1, now_ns, 60), pod="b", received_ns=now_ns - 600 * 10**9)
    await tab.open("#/health")
    await tab.has("1,234 records")
    await tab.has("200 MiB of 256 MiB")
    await tab.has("unknown")
    silent = tab.page.locator("[title='It is gone, or cut off.']")
    await expect(silent).to_have_text("10 min ago")


async def test_shared_budgets_are_drawn_with_what_is_leased_and_when_they_begin_anew(
    served, tab, now_ns
):
    day_ns = 86_400 * 10**9
    today = now_ns // day_ns * day_ns
    daily = AccountKey("local", "daily", "namespace", "", today, day_ns)
    await served.lease(daily, Limit(50 * 10**12, 1_000), spent=Amount(45 * 10**12, 10))
    await served.lease(AccountKey("local", "per-task", "task", "t/1"), Limit(10**12, None))
    await tab.open("#/budgets")
    meter = tab.page.get_by_role("meter", name="Money of daily")
    await expect(meter).to_have_attribute("aria-valuetext", "$45.00 of $50.00, 90 %")
    await tab.has("10 of 1K tokens")
    await tab.has("never")
    row = tab.get("row", re.compile("per-task"))
    await expect(row.get_by_role("link", name="t/1")).to_have_attribute(
        "href", "#/tasks/local/t%2F1"
    )
    await tab.page.get_by_label("Counted for").select_option("task")
    await expect(tab.get("table", "Shared budgets").get_by_role("row")).to_have_count(2)


async def test_a_goal_is_shown_with_its_arms_their_intervals_and_what_to_know(served, tab, now_ns):
    await judged(served, now_ns)
    await tab.open("#/scores")
    row = tab.get("row", re.compile("summarization"))
    await expect(row).to_contain_text("openai/gpt-4o")
    await row.get_by_role("link", name="summarization").click()
    await tab.settled()
    await expect(tab.get("heading", "summarization", level=1)).to_be_visible()
    arm = tab.get("table", "Arms").get_by_role("row", name=re.compile("^openai.gpt-4o "))
    await expect(arm).to_contain_text("100 % (89 % to 100 %)")
    await tab.has("path underperforming")
    await tab.page.get_by_text("As a table").click()
    chart = tab.page.locator("details.alternative tbody tr")
    await expect(chart.first).to_contain_text("100 % (")


async def test_another_time_is_asked_for_and_stands_in_the_address(served, tab, now_ns):
    await judged(served, now_ns)
    await tab.open("#/scores/summarization")
    await tab.page.get_by_label("Time", exact=True).select_option("1h")
    await tab.settled()
    assert await tab.page.evaluate("() => location.hash") == "#/scores/summarization?window=1h"
    await expect(tab.get("table", "Arms").get_by_role("row")).to_have_count(3)


async def test_benchmarks_say_what_models_did(served, tab, now_ns):
    await judged(served, now_ns)
    await tab.open("#/benchmarks?goal=summarization")
    mini = tab.get("table", "Models").get_by_role("row", name=re.compile("^gpt-4o-mini"))
    await expect(mini).to_contain_text("20 % (9.5 % to 37 %)")
    await expect(mini).to_contain_text("30")


NOTHING = [
    ("#/scores", "No scores yet."),
    ("#/scores/none", "Nothing was said of answers in this time."),
    ("#/benchmarks", "No model was called in this time."),
    ("#/benchmarks?goal=none", "No model was called in this time."),
    ("#/calls", "No calls yet."),
    ("#/calls?where=provider%3Dx", "No call matches."),
    (f"#/calls/{9:032x}", "There is no such call."),
    ("#/usage", "No calls in this time."),
    ("#/usage?since=", "No calls in this time."),
    ("#/sessions", "No sessions yet."),
    ("#/sessions/none", "No such session."),
    ("#/tasks", "No tasks yet."),
    ("#/tasks?state=paused", "No task matches."),
    ("#/tasks/local/none", "namespace 'local' has no task 'none'"),
    ("#/budgets", "No shared budgets yet."),
    ("#/budgets?name=x*", "No budget matches."),
    ("#/health", "No sidecar was heard of within a day."),
    ("#/nowhere", "No calls yet."),
    ("#/calls?where=nonsense", "can't be read"),
    ("#/usage?where=nonsense", "can't be read"),
    ("#/calls/%E0%A4%A", "There is no such call."),
    ("#/tasks?cursor=x", "is none of this aggregator's"),
]


async def test_where_there_is_nothing_it_is_said(tab):
    for address, said in NOTHING:
        await tab.open(address)
        await tab.has(said)


async def test_a_condition_that_can_not_be_read_is_marked_and_can_be_removed(served, tab, now_ns):
    await served.put(fleet.decided(now_ns))
    await tab.open("#/calls")
    await tab.get("combobox", "Add a condition").fill("latency_s=>2")
    await tab.get("button", "Add").click()
    await expect(tab.page.locator(".chip.wrong")).to_have_text("latency_s=>2\u00d7")
    await tab.has("at character 11")
    await tab.get("button", "Remove latency_s=>2").click()
    await expect(tab.page.locator("tbody tr")).to_have_count(1)
    await expect(tab.page.locator(".problem")).to_have_count(0)
