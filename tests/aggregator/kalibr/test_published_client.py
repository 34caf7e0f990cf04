"""The published packages, unmodified, pointed at an aggregator by their environment variables."""

import asyncio
import json

import pytest

pytestmark = pytest.mark.timeout(900)

KEY = "member-token-0123456789"
HEX = set("0123456789abcdef")


def openai_url(provider):
    return "http://{}:{}/v1".format(*provider.address)


async def test_its_own_check_passes(any_api, published):
    done = await asyncio.to_thread(
        published.run, "-m", "kalibr", "verify", env=published.environment(any_api)
    )
    assert "register → decide → report → OK" in done.stdout
    assert "Kalibr is configured correctly" in done.stdout.replace("\n", " ")


async def test_its_own_check_fails_with_a_key_of_another_tenant(api, published):
    api.headers["X-Tenant-ID"] = "team-b"
    env = published.environment(api)
    with pytest.raises(AssertionError, match="403"):
        await asyncio.to_thread(published.run, "-m", "kalibr", "verify", env=env)


@pytest.fixture
async def told(any_api, published, provider):
    """What a program told that drove everything once, and the aggregator after it."""
    env = published.environment(any_api, OPENAI_BASE_URL=openai_url(provider))
    said = await asyncio.to_thread(published.told, "round_trip.py", env=env)
    return said, any_api


async def judged(api, goal, model):
    """Give the figures of one model of a goal."""
    stats = await api.get(f"/api/v1/routing/stats?goal={goal}")
    (found,) = [path for path in stats["paths"] if path["model_id"] == model]
    return found


async def test_a_run_goes_round(told):
    said, api = told
    assert len(said["trace_id"]) == 32
    assert set(said["trace_id"]) <= HEX
    assert said["text"]

    # A model that failed counts against itself, and not against the one that answered.
    failed = await judged(api, "falling", "error-400")
    answered = await judged(api, "falling", "gpt-4o")
    assert said["fallen"]["model"] == "gpt-4o"
    assert (answered["success_rate"], answered["sample_count"]) == (1.0, said["fallen"]["tries"])
    assert (failed["success_rate"], failed["sample_count"]) == (0.0, 1)

    # Explicit, then by sessions.
    assert said["rejected"] is said["accepted"] is said["emitted"] is True
    signals = {one.signal.call_id: one async for one in kept_signals(api)}
    sessions = {name: signals[trace.replace("-", "")] for name, trace in said["sessions"].items()}
    assert {name: one.state for name, one in sessions.items()} == dict.fromkeys(
        ("s1", "s2", "s3"), "counted"
    )
    assert {name: one.arm for name, one in sessions.items()} == {
        "s1": "openai/gpt-4o", "s2": "openai/gpt-4o", "s3": "openai/gpt-4o-mini",
    }  # fmt: skip
    assert sessions["s1"].signal.evidence.kind == "output_edited"
    assert sessions["s2"].signal.evidence.kind == "turn_accepted"
    closing = sessions["s3"].signal.evidence
    assert (closing.kind, closing.strength, closing.confidence) == ("session_closing", 0.65, 0.4)
    assert signals[said["trace_id"]].signal.evidence.kind == "output_used_verbatim"

    # The rest of what it asks.
    decision = said["decision"]
    assert decision["exploration"] == decision["is_exploration"]
    assert decision["alternatives_considered"] == 2
    assert said["forced"] == {**said["forced"], "status": "accepted", "goal": "birds"}
    assert said["updated"]["fields_updated"] == ["success", "metadata"]
    assert said["policy"]["recommended_model"] in ("gpt-4o", "gpt-4o-mini")
    assert said["policy"]["outcome_sample_count"] >= 1
    assert said["recommendation"]["recommendation"]["model_id"]
    assert said["config"] == said["config_again"]
    assert said["config"]["exploration_rate"] == 0.2
    assert said["disabled"] == {**said["disabled"], "status": "disabled"}
    assert said["path"]["path_id"] in [path["path_id"] for path in said["paths"]]
    assert said["path"]["path_id"] not in [path["path_id"] for path in said["enabled_paths"]]

    goals = {goal["goal"]: goal for goal in said["insights"]["goals"]}
    assert said["insights"]["tenant_id"] == "team-a"
    assert {"birds", "birds#p1", "falling"} <= goals.keys()
    assert "timeout" in [mode["category"] for mode in goals["birds"]["top_failure_modes"]]


async def kept_signals(api):
    from remora_aggregator.signals.ports import SignalSelection
    from remora_aggregator.store.learning_signal_store import StoredSignals

    stored = StoredSignals(api.aggregator.store)
    page = await stored.signals(SignalSelection(frozenset({"team-a"})), after="", limit=100)
    # Of each call what counts, or else what came first.
    for one in sorted(page.signals, key=lambda one: one.state != "counted", reverse=True):
        yield one


async def test_nothing_that_a_person_wrote_is_kept(api, published, provider, tmp_path):
    env = published.environment(api, OPENAI_BASE_URL=openai_url(provider))
    await asyncio.to_thread(published.told, "round_trip.py", env=env)
    rows = await everything(api)
    assert "birds" in rows
    for words in ("too long for me", "my private words", "a prompt", "an output", "redo it"):
        assert words not in rows


async def everything(api):
    """Give all rows of all tables as one text."""
    from remora_aggregator.store.sql import Statement

    store = api.aggregator.store
    names = await store.ask(Statement("select name from sqlite_master where type = 'table'"), list)
    found = []
    for (name,) in names:
        if not name.startswith("words"):
            found += await store.ask(Statement(f'select * from "{name}"'), list)  # noqa: S608
    return repr(found)


@pytest.mark.parametrize("key", ["", "a secret"])
async def test_spans_come_by_every_way(open_api, published, provider, tmp_path, token_file, key):
    settings = {"token_file": token_file}
    if key:
        settings["span_signature_key_file"] = tmp_path / "signature-key"
        settings["span_signature_key_file"].write_text(f"{key}\n")
    async with open_api(**settings) as api:
        env = published.environment(
            api, OPENAI_BASE_URL=openai_url(provider), KALIBR_AUTO_INSTRUMENT="true",
            OTEL_BSP_SCHEDULE_DELAY="100",
        )  # fmt: skip
        said = await asyncio.to_thread(published.told, "tracing.py", key, env=env)
        traces = (await api.get("/api/traces"))["traces"]
        models = (await api.get("/api/analytics/cost?group_by=model"))["groups"]
        flows = (await api.get("/api/analytics/workflows"))["workflows"]
        summary = await api.get("/api/analytics/summary")
        routed = await api.get(f"/api/traces/{said['trace_id']}")
        shown = await asyncio.to_thread(
            published.run, "-m", "kalibr", "capsule", said["capsule"], "--output", "chain.json",
            env={**env, "KALIBR_API_URL": api.url.replace("//", f"//me:{KEY}@")},
        )  # fmt: skip

    assert len(traces) == summary["total_traces"] == 3, traces
    by_model = {group["model"]: group["span_count"] for group in models}
    assert by_model["gpt-4o"] == 1
    assert by_model["gpt-4o-mini"] == 2
    assert "flow" in [flow["workflow_id"] for flow in flows]
    names = {span.get("operation") for span in routed["spans"]}
    assert "kalibr.router.completion" in names
    assert len(names) == 2
    assert "Capsule reconstructed successfully" in shown.stdout
    chain = json.loads((published.home / "chain.json").read_text())
    assert chain["hop_count"] == 5
    assert chain["total_cost_usd"] == pytest.approx(0.07)
    assert chain["total_latency_ms"] == 700
    assert chain["providers"] == ["openai"]


async def test_unsigned_spans_are_refused_where_a_key_is_set(open_api, tmp_path):
    key = tmp_path / "signature-key"
    key.write_text("a secret")
    async with open_api(span_signature_key_file=key) as api:
        api.headers["X-Tenant-ID"] = "local"
        answer = await api.ask("POST", "/api/v1/traces", {"events": [{"trace_id": "t"}]})
        assert (answer.status, answer.json["code"]) == (401, "bad-signature")
        assert (await api.get("/api/traces"))["traces"] == []


async def test_a_chain_of_langchain_is_routed(api, published, provider):
    env = published.environment(api, OPENAI_BASE_URL=openai_url(provider))
    said = await asyncio.to_thread(published.told, "langchain_chat.py", env=env)
    assert said["text"]
    stats = await api.get("/api/v1/routing/stats?goal=chained")
    assert sum(path["sample_count"] for path in stats["paths"]) == 1
