"""Calls as they come, and an aggregator that goes away and comes back."""

import re

import pytest
from playwright.async_api import expect
from tests.aggregator.web.page import fleet

pytestmark = pytest.mark.asyncio(loop_scope="session")


def numbered(now_ns, numbers, **fields):
    calls = list(fleet.usual_calls(max(numbers) + 1, now_ns, 600))
    found = [calls[number] for number in numbers]
    for record in found:
        for name, value in fields.items():
            setattr(record, name, value)
    return found


async def test_calls_are_shown_as_they_are_committed_and_not_while_paused(served, tab, now_ns):
    await served.put(*numbered(now_ns, range(3)))
    await tab.open("#/calls")
    state = tab.page.locator("#live-state")
    await expect(state).to_have_text("Live")
    rows = tab.page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await served.put(*numbered(now_ns, [3], response_model="fresh-model"))
    await expect(rows).to_have_count(4)
    await expect(rows.first).to_contain_text("fresh-model")
    await tab.get("button", "Pause").click()
    await served.put(*numbered(now_ns, [4, 5]))
    await expect(state).to_have_text("Paused, 2 new")
    await expect(rows).to_have_count(4)
    await tab.get("button", "Go on").click()
    await expect(rows).to_have_count(6)


async def test_only_what_matches_is_shown_live(served, tab, now_ns):
    await tab.open("#/calls?where=response_model%3Dwanted")
    await expect(tab.page.locator("#live-state")).to_have_text("Live")
    await served.put(*numbered(now_ns, [1], response_model="other"))
    await served.put(*numbered(now_ns, [2], response_model="wanted"))
    await expect(tab.page.locator("tbody tr")).to_have_count(1)


async def test_a_call_that_is_revised_is_one_row(served, tab, now_ns):
    await tab.open("#/calls")
    await expect(tab.page.locator("#live-state")).to_have_text("Live")
    (record,) = numbered(now_ns, [1], response_model="first")
    await served.put(record)
    await tab.has("first")
    record.revision, record.response_model = 1, "second"
    await served.put(record)
    await tab.has("second")
    await expect(tab.page.locator("tbody tr")).to_have_count(1)


async def test_the_list_is_bounded_and_older_calls_can_be_had(served, tab, now_ns):
    await served.put(*fleet.usual_calls(1200, now_ns, 3600))
    await tab.open("#/calls")
    rows = tab.page.locator("tbody tr")
    await expect(rows).to_have_count(100)
    for count in (200, 300, 400, 500, 500):
        before = await rows.last.get_attribute("data-key")
        await tab.get("button", "Older").click()
        await expect(rows.last).not_to_have_attribute("data-key", before)
        await expect(rows).to_have_count(count)
    await expect(tab.page.locator("#live-state")).to_have_text("Paused")
    keys = await rows.evaluate_all("(all) => all.map((one) => one.dataset.key)")
    assert len(set(keys)) == 500


async def test_many_calls_at_once_leave_a_bounded_list(served, tab, now_ns):
    await tab.open("#/calls")
    await expect(tab.page.locator("#live-state")).to_have_text("Live")
    await served.put(*fleet.usual_calls(1500, now_ns, 3600))
    rows = tab.page.locator("tbody tr")
    newest = f"local/p/{1500:032x}"
    await expect(rows.first).to_have_attribute("data-key", newest)
    await expect(rows).to_have_count(500)


async def test_an_aggregator_that_goes_away_is_said_and_the_page_goes_on_when_it_is_back(
    serve, open_tab, now_ns, tmp_path
):
    folder = tmp_path / "kept"
    async with serve(data_dir=folder) as first:
        await first.put(*numbered(now_ns, [1]))
        address = first.aggregator.http_address
        tab_of = open_tab(first.url)
        tab = await tab_of.__aenter__()
        await tab.open("#/calls")
        await expect(tab.page.locator("tbody tr")).to_have_count(1)
    try:
        banner = tab.get("alert").filter(has_text="The aggregator does not answer")
        await expect(banner).to_be_visible()
        async with serve(data_dir=folder, http_listen=address) as second:
            await expect(banner).to_be_hidden()
            await second.put(*numbered(now_ns, [2]))
            await expect(tab.page.locator("tbody tr")).to_have_count(2)
            await expect(tab.page.locator("#live-state")).to_have_text("Live")
    finally:
        await tab_of.__aexit__(None, None, None)


async def test_an_answer_that_fails_is_said_and_asked_for_again(served, tab, now_ns):
    await served.put(*numbered(now_ns, [1]))
    problem = '{"detail": "The store is busy.", "remedy": "Ask again in a moment."}'
    failing = {"status": 503, "content_type": "application/problem+json", "body": problem}
    left = [1]

    async def answer(route):
        if left:
            left.pop()
            await route.fulfill(**failing)
        else:
            await route.continue_()

    await tab.page.route(re.compile(r"/v1/usage\?.*quantiles"), answer)
    await tab.page.goto(f"{tab.url}/#/usage?since=1d")
    await tab.has("The store is busy.")
    await expect(tab.page.locator(".tiles dd").first).to_have_text("1")
    await expect(tab.page.locator(".problem")).to_have_count(0)
