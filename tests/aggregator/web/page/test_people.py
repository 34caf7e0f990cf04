"""Who looks at the page: signing in and out, steering tasks, and with the keyboard alone."""

import pytest
from playwright.async_api import expect
from tests.aggregator.web.page import fleet

from remora_proto.v1 import records_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = """
reader-token-0123456789  team-a  reader  anna
admin-token-0123456789   *       admin   carla
"""
HOW = "{method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}"
PAUSE_ONE = f"async () => (await fetch('/v1/tasks/local/one/pause', {HOW})).status"
"""What somebody else does, from a page of theirs."""


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(TOKENS)
    return path


async def sign_in(tab, token):
    await tab.page.get_by_label("Token").fill(token)
    await tab.page.keyboard.press("Enter")


async def test_a_stranger_signs_in_sees_what_they_may_and_signs_out(
    serve, open_tab, tokens, now_ns
):
    async with serve(token_file=tokens) as served, open_tab(served.url) as tab:
        await served.put(*fleet.usual_calls(2, now_ns, 60), namespace="team-a")
        await served.put(*fleet.usual_calls(5, now_ns, 60), namespace="team-b")
        await tab.page.goto(f"{served.url}/#/calls?outcome=")
        await expect(tab.page.get_by_label("Token")).to_be_focused()
        await sign_in(tab, "wrong-token-0123456789")
        await expect(tab.get("alert").filter(has_text="That did not work")).to_be_visible()
        await expect(tab.page.get_by_label("Token")).to_be_focused()
        await sign_in(tab, "reader-token-0123456789")
        await expect(tab.page.locator("tbody tr")).to_have_count(2)
        await expect(tab.page.locator("#who")).to_contain_text("anna")
        assert "reader-token" not in await tab.page.content()
        (cookie,) = await tab.page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert (
            await tab.page.evaluate("() => document.cookie + JSON.stringify(localStorage)") == "{}"
        )
        await tab.page.reload()
        await expect(tab.page.locator("tbody tr")).to_have_count(2)
        await tab.get("button", "Sign out").click()
        await expect(tab.page.get_by_label("Token")).to_be_visible()
        await expect(tab.page.locator("tbody")).to_have_count(0)
        assert await tab.page.context.cookies() == []


async def test_a_token_that_is_taken_back_leads_to_signing_in_and_then_to_the_same_view(
    serve, open_tab, tokens, now_ns
):
    async with serve(token_file=tokens) as served, open_tab(served.url) as tab:
        await served.put(*fleet.usual_calls(2, now_ns, 60), namespace="team-a")
        await tab.page.goto(f"{served.url}/#/usage?since=1d")
        await sign_in(tab, "reader-token-0123456789")
        await expect(tab.page.locator(".tiles dd").first).to_have_text("2")
        tokens.write_text("other-token-0123456789 team-a reader otto\n")
        await tab.get("combobox", "Time").select_option("6h")
        await expect(tab.page.get_by_label("Token")).to_be_visible()
        await sign_in(tab, "other-token-0123456789")
        await expect(tab.page.locator(".tiles dd").first).to_have_text("2")
        assert tab.page.url.endswith("#/usage?since=6h")


async def test_a_reader_is_offered_nothing_that_they_may_not_do(serve, open_tab, tokens):
    async with serve(token_file=tokens) as served, open_tab(served.url) as tab:
        await served.put(*of_task("one"), namespace="team-a")
        await tab.page.goto(f"{served.url}/#/tasks/team-a/one")
        await sign_in(tab, "reader-token-0123456789")
        await tab.has("running")
        await expect(tab.get("button", "Pause")).to_have_count(0)
        await expect(tab.get("button", "Cancel")).to_have_count(0)


def of_task(task_id):
    return [
        pb.CallRecord(
            call_id=f"{7:032x}", started_unix_nano=1, attribution=pb.Attribution(task_id=task_id)
        )
    ]


async def test_a_task_is_paused_resumed_and_cancelled_by_the_keyboard_alone(served, tab):
    await served.put(*of_task("one"))
    await tab.open("#/tasks/local/one")
    keyboard = tab.page.keyboard
    await tab.get("button", "Pause").focus()
    await keyboard.press("Enter")
    dialog = tab.get("dialog", "Pause this task?")
    await expect(dialog.get_by_role("textbox")).to_be_focused()
    await keyboard.type("look at <b>this</b>")
    await keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(tab.get("button", "Resume")).to_be_focused()
    await tab.has("look at <b>this</b>")
    await keyboard.press("Enter")
    await keyboard.press("Escape")
    await expect(tab.get("button", "Resume")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("Enter")
    await expect(tab.get("button", "Pause")).to_be_focused()
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    await keyboard.press("Tab")
    await keyboard.press("Space")
    await keyboard.press("Enter")
    await expect(tab.page.locator(".head .badge")).to_have_text("cancelled")
    await expect(tab.get("heading", "one", level=1)).to_be_focused()


async def test_who_leaves_a_dialog_stays_where_they_were_whatever_changed_behind_it(served, tab):
    await served.put(*of_task("one"))
    await tab.open("#/tasks/local/one")
    await tab.get("button", "Pause").focus()
    await tab.page.keyboard.press("Enter")
    dialog = tab.get("dialog", "Pause this task?")
    await expect(dialog.get_by_role("textbox")).to_be_focused()
    assert await tab.page.evaluate(PAUSE_ONE) == 200
    await expect(tab.page.locator(".head .badge")).to_have_text("paused")
    await tab.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(tab.get("button", "Resume")).to_be_focused()


async def test_what_somebody_else_does_to_a_task_is_shown(served, tab):
    await served.put(*of_task("one"))
    await tab.open("#/tasks")
    badge = tab.page.locator("tbody .badge").first
    await expect(badge).to_have_text("running")
    async with tab.page.context.expect_page() as opening:
        await tab.page.evaluate("() => window.open('/', '_blank', 'noopener')")
    other = await opening.value
    assert await other.evaluate(PAUSE_ONE) == 200
    await tab.page.bring_to_front()
    await expect(badge).to_have_text("paused")


async def test_the_keyboard_alone_leads_from_the_top_to_one_call_and_back(served, tab, now_ns):
    await served.put(fleet.decided(now_ns))
    await tab.open()
    await expect(tab.page.locator("tbody tr")).to_have_count(1)
    keyboard, focused = tab.page.keyboard, tab.page.locator(":focus")
    seen = []
    for _ in range(20):
        await keyboard.press("Tab")
        seen.append(
            await focused.evaluate("(one) => one.getAttribute('aria-label') ?? one.textContent")
        )
        outline = await focused.evaluate("(one) => getComputedStyle(one).outlineStyle")
        assert outline != "none", seen[-1]
        if await focused.evaluate("(one) => Boolean(one.closest('tbody'))"):
            break
    views = [
        "Live calls",
        "Usage",
        "Sessions",
        "Tasks",
        "Workflows",
        "Budgets",
        "Scores",
        "Benchmarks",
        "Health",
    ]
    assert seen[:10] == ["Skip to the content", *views]
    assert seen[10:-1] == [
        "Colours",
        "Pause",
        "Time",
        "Outcome",
        "Order",
        "Add a condition",
        "Add",
        "Words in captured text",
        "Calls",
    ]
    await keyboard.press("Enter")
    await tab.settled()
    await expect(tab.page.locator("h1")).to_be_focused()
    await tab.page.go_back()
    await expect(tab.get("heading", "Live calls", level=1)).to_be_focused()


async def test_skipping_leads_to_the_content_and_keeps_the_address(served, tab):
    await tab.open("#/health")
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("main")).to_be_focused()
    assert tab.page.url.endswith("#/health")
