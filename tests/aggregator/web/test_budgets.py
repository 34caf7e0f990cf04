"""Shared budgets over HTTP."""

import pytest

from remora.testing.clock import ManualClock
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.leases import AccountKey, Ask, LeaseSettings, Request, answered

READER = {"Authorization": "Bearer reader-token-0123456789"}
WIDE = {"Authorization": "Bearer wide-token-01234567890"}
ADMIN = {"Authorization": "Bearer admin-token-0123456789"}
DAY_NS = 86_400 * 10**9


async def lease(api, key, limit, *, spent=NOTHING, wanted=NOTHING):
    request = Request("pod", [Ask("a", key, limit, spent, wanted, wanted)])

    def decide(books, now_unix_ns):
        return answered(books, request, now_unix_ns, LeaseSettings())

    await api.http.front.tasks.change_books(request.wanted, decide)


async def test_a_budget_is_told_with_its_window_its_limit_and_what_is_leased(open_api):
    clock = ManualClock()
    async with open_api(clock=clock) as api:
        start = clock.now_unix_ns() // DAY_NS * DAY_NS
        daily = AccountKey("local", "daily", "namespace", "", start, DAY_NS)
        await lease(
            api, daily, Limit(50 * 10**12, 1_000), spent=Amount(31 * 10**11, 7),
            wanted=Amount(10**11, 3),
        )  # fmt: skip
        answer = await api.get("/v1/budgets")
        health = await api.get("/v1/health")
    assert answer.json == {
        "budgets": [
            {
                "namespace": "local", "budget": "daily", "per": "namespace", "key": None,
                "window_s": 86_400.0, "began_at": answer.json["budgets"][0]["began_at"],
                "resets_at": answer.json["budgets"][0]["resets_at"],
                "limit": {"cost_usd": "50", "tokens": 1_000},
                "spent": {"cost_usd": "3.1", "tokens": 7},
                "leased": {"cost_usd": "0.1", "tokens": 3},
                "asked_at": health.json["now"],
            }
        ],
        "next": None,
    }  # fmt: skip
    (budget,) = answer.json["budgets"]
    assert budget["began_at"] <= health.json["now"] < budget["resets_at"]


async def test_a_budget_whose_limit_nobody_said_since_the_upgrade_is_told_all_the_same(api):
    account = AccountKey("local", "old", "task", "t")
    await lease(api, account, Limit(10**12, None), spent=Amount(5, 0))
    writer = api.store.backend.writer
    forget = "update accounts set limit_picousd = null, limit_tokens = null, asked_unix_ns = 0"
    await api.store.write_with(lambda: writer.execute(forget))
    (budget,) = (await api.get("/v1/budgets")).json["budgets"]
    assert (budget["limit"], budget["asked_at"]) == (None, None)
    assert budget["spent"] == {"cost_usd": "0.000000000005", "tokens": 0}
    assert (budget["window_s"], budget["resets_at"]) == (None, None)


@pytest.mark.parametrize(
    ("who", "query", "seen"),
    [
        (READER, "", ["team-a"]),
        (WIDE, "", ["team-a", "team-b"]),
        (WIDE, "?namespace=team-b", ["team-b"]),
        (ADMIN, "", ["team-a", "team-b", "team-c"]),
        (READER, "?namespace=team-b", 403),
        ({}, "", 401),
    ],
    ids=["one", "two", "one of two", "all", "another's", "nobody"],
)
async def test_readers_see_the_budgets_of_their_namespaces(open_api, token_file, who, query, seen):
    async with open_api(token_file=token_file) as api:
        for namespace in ("team-a", "team-b", "team-c"):
            await lease(api, AccountKey(namespace, "b", "task", "t"), Limit(10, None))
        answer = await api.get(f"/v1/budgets{query}", headers=who)
    if isinstance(seen, int):
        assert answer.status == seen
    else:
        assert [one["namespace"] for one in answer.json["budgets"]] == seen


async def test_budgets_are_filtered_and_pages_follow_each_other_even_of_the_longest_names(api):
    for number in range(3):
        key = AccountKey("local", "\U0001f988" * 200, "session", "\U0001f988" * 255 + str(number))
        await lease(api, key, Limit(10, None))
    await lease(api, AccountKey("local", "x", "task", "t"), Limit(10, None))
    found, cursor = [], ""
    while cursor is not None:
        page = await api.get(f"/v1/budgets?per=session,agent&limit=1&cursor={cursor}")
        assert page.status == 200
        found += [one["key"][-1] for one in page.json["budgets"]]
        cursor = page.json["next"]
    assert found == ["0", "1", "2"]
    assert (await api.get("/v1/budgets?budget=x&key=*")).json["budgets"][0]["key"] == "t"


@pytest.mark.parametrize("query", ["cursor=x", "per=pod", "key=" + "x" * 300, "limit=0"])
async def test_what_makes_no_sense_is_named(api, query):
    answer = await api.get(f"/v1/budgets?{query}")
    assert (answer.status, answer.json["where"].partition(".")[0]) == (400, query.partition("=")[0])
