"""What is odd or hostile is shown as the text that it is, and what is huge stays usable."""

import json
import re

import pytest
from playwright.async_api import expect
from tests.aggregator.web.page import fleet

from remora_proto.v1 import records_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALL = f"{0xDEC1DED:032x}"
EVIL = "<script>window.caught=1</script><img src=x onerror='window.caught=1'>\"'`&amp;${1}"


async def test_markup_in_records_is_text_wherever_it_is_shown(served, tab, now_ns):
    body = pb.Body(
        content=json.dumps({"messages": [EVIL]}).encode(), original_bytes=9, content_type=EVIL
    )
    record = fleet.decided(
        now_ns,
        response_model=EVIL,
        requested_model=EVIL,
        provider=EVIL,
        notes=[EVIL],
        tool_names=[EVIL],
        error=pb.CallError(type=EVIL, message=EVIL),
        request_body=body,
        response_body=pb.Body(content=EVIL.encode()),
        attribution=pb.Attribution(session_id=EVIL, task_id=EVIL[:200], agent_id=EVIL, goal=EVIL),
        outcome=pb.Outcome(kind=EVIL, failure_category=EVIL, failed_checks=[EVIL]),
        origin=pb.Origin(pod_name=EVIL, workload=EVIL, node=EVIL, labels={"app": EVIL}),
    )
    for candidate in record.receipt.candidates:
        candidate.filtered_out_by = EVIL
        candidate.note, candidate.parameters = EVIL, json.dumps({EVIL: EVIL})
    record.receipt.risk = record.receipt.reason = record.receipt.scores = EVIL
    record.request_body.content = body.content
    await served.put(record)
    await served.bound_task(EVIL[:200], 10**9, EVIL[:200])
    for address in (
        "#/calls",
        f"#/calls/{CALL}",
        "#/usage",
        "#/usage?by=session",
        "#/sessions",
        "#/tasks",
        "#/health",
    ):
        await tab.open(address)
        await tab.page.get_by_text("<script>window.caught=1</script>").first.wait_for(
            state="attached"
        )
        assert await tab.page.evaluate(
            "() => [window.caught ?? 0, document.querySelectorAll('main script, main img').length]"
        ) == [0, 0]
    await tab.open("#/sessions")
    await tab.page.locator("tbody a").first.click()
    await tab.settled()
    await expect(tab.page.locator("h1")).to_have_text(EVIL)
    await tab.open("#/tasks")
    await tab.page.locator("tbody a").first.click()
    await tab.settled()
    await expect(tab.page.locator("h1")).to_have_text(EVIL[:200])


async def test_a_captured_body_is_shown_byte_for_byte_as_text(served, tab, now_ns):
    answer = b'data: {"a":1}\n\ndata: <b>\xe2\x80\xae\xd7\xa9</b>\n\n'
    record = fleet.decided(
        now_ns, request_body=pb.Body(content=b"\xff\xfe\x00"), response_body=pb.Body(content=answer)
    )
    record.request_body.content, record.response_body.content = b"\xff\xfe\x00", answer
    await served.put(record)
    await tab.open(f"#/calls/{CALL}")
    shown = await tab.get("region", "Answer").evaluate("(one) => one.textContent")
    assert shown == answer.decode()
    await expect(tab.get("region", "Request")).to_have_text("//4A")
    await tab.has("shown as base64")


async def test_long_bodies_are_folded_and_can_be_opened(served, tab, now_ns):
    long = json.dumps({"text": "x" * 1_000_000, "end": "the very end"})
    record = fleet.decided(now_ns)
    record.request_body.content, record.request_body.original_bytes = long.encode(), len(long)
    await served.put(record)
    await tab.open(f"#/calls/{CALL}")
    request = tab.get("region", "Request")
    assert len(await request.evaluate("(one) => one.textContent")) == 6_000
    unfold = tab.get("button", re.compile("Show all of 97"))
    await expect(unfold).to_have_attribute("aria-expanded", "false")
    await unfold.click()
    await expect(request).to_contain_text("the very end")
    await tab.get("button", "Fold").click()
    assert len(await request.evaluate("(one) => one.textContent")) == 6_000


async def test_long_names_and_text_that_runs_the_other_way_keep_the_page_in_shape(
    served, open_tab, now_ns
):
    calls = list(fleet.usual_calls(3, now_ns, 600))
    names = ["m" * 300, "\u202eevil\u202c" + "ש" * 60, "a b " * 75]
    for record, name in zip(calls, names, strict=True):
        record.response_model = record.requested_model = record.sent_model = name
        record.attribution.session_id = record.attribution.task_id = name[:250]
    await served.put(*calls)
    first = f"#/calls/{1:032x}"
    async with open_tab(served.url, width=400) as tab:
        for address in ("#/calls", first, "#/usage", "#/usage?by=session", "#/sessions", "#/tasks"):
            await tab.open(address)
            wide = await tab.page.evaluate(
                "() => document.documentElement.scrollWidth - innerWidth"
            )
            assert wide <= 0, address
        await tab.open("#/usage")
        await expect(tab.page.locator(".legend bdi").first).to_be_visible()
        assert await tab.page.locator(".chart rect").count() >= 3


SPANS = """
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
insert into span_totals
select 'local', 'session_id', 'run-' || i, 'openai', 'gpt-4o', 1 + i % 7, 0, 0, 0, 0, 0, 1,
       10, 5, 0, 0, 0, '0.0001', '0', 0.5, 0, 1, 2 from n
"""


async def test_a_hundred_thousand_sessions_are_no_hundred_thousand_rows(served, tab):
    store = served.aggregator.store

    def fill():
        with store.backend.transaction():
            store.backend.writer.execute(SPANS)

    await store.write_with(fill)
    await tab.open("#/sessions")
    await expect(tab.page.locator("tbody tr")).to_have_count(200)
    await tab.has("The 200 sessions with the most calls.")
    await tab.get("searchbox").fill("run-99999")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("tbody tr")).to_have_count(1)


async def test_a_hundred_thousand_groups_over_time_are_drawn_as_the_largest_and_others(
    served, tab, now_ns
):
    calls = list(fleet.usual_calls(1500, now_ns, 3000))
    for number, record in enumerate(calls):
        record.attribution.session_id = f"run-{number}"
    await served.put(*calls)
    await tab.open("#/usage?by=session&since=1h&of=calls")
    await expect(tab.page.locator(".legend li")).to_have_count(8)
    await tab.has("the 100 with the most calls")
