"""Every path that Kalibr's clients ask, as they ask it: with nulls, with keys left out."""

import asyncio
import json

import pytest

ROUTING, INTEL = "/api/v1/routing", "/api/v1/intelligence"
UUID = "89c4e458-0b8b-4b42-b39d-3d9c142de1fe"


async def registered(api, *models, goal="birds", **more):
    return [
        await api.post(f"{ROUTING}/paths", {"goal": goal, "model_id": model, **more})
        for model in models
    ]


async def decided(api, goal="birds", **more):
    return await api.post(f"{ROUTING}/decide", {"goal": goal, **more})


async def reported(api, trace_id, success, goal="birds", **more):
    body = {"trace_id": trace_id, "goal": goal, "success": success, **more}
    return await api.post(f"{INTEL}/report-outcome", body)


async def figures(api, goal="birds"):
    """Give (share of good answers, answers) of each model, or of each path with parameters."""
    stats = await api.get(f"{ROUTING}/stats?goal={goal}")
    return {
        path["model_id"] + (json.dumps(path["params"]) if path["params"] else ""): (
            path["success_rate"], path["sample_count"]
        )
        for path in stats["paths"]
    }  # fmt: skip


NULLS = {
    f"{ROUTING}/paths": {
        "goal": "g",
        "model_id": "gpt-4o",
        "tool_id": None,
        "params": None,
        "risk_level": None,
    },
    f"{ROUTING}/decide": {
        "goal": "g",
        "task_risk_level": None,
        "pipeline_id": None,
        "candidate_model_ids": None,
    },
    f"{ROUTING}/config": {
        "goal": None,
        "exploration_rate": None,
        "min_samples_before_exploit": None,
        "rollback_threshold": None,
        "staleness_days": None,
        "exploration_on_high_risk": None,
    },
    f"{INTEL}/policy": {"goal": "g", "task_type": None, "constraints": None, "window_hours": None},
    f"{INTEL}/recommend": {
        "task_type": "qa",
        "goal": None,
        "optimize_for": None,
        "constraints": None,
        "window_hours": None,
    },
    f"{INTEL}/report-outcome": {
        "trace_id": UUID,
        "goal": "g",
        "success": True,
        "score": None,
        "failure_reason": None,
        "failure_category": None,
        "metadata": None,
        "tool_id": None,
        "execution_params": None,
        "model_id": None,
        "pipeline_id": None,
    },
    f"{INTEL}/update-outcome": {
        "trace_id": UUID,
        "goal": "g",
        "success": None,
        "score": None,
        "failure_reason": None,
        "failure_category": None,
        "metadata": None,
    },
    f"{INTEL}/get-alternative": {"goal": "g", "exclude_models": None},
    f"{INTEL}/signals": {
        "trace_id": UUID,
        "signal_type": "user_accepted",
        "signal_source": None,
        "strength": None,
        "confidence": None,
        "goal": None,
        "session_id": None,
        "momentum": None,
        "dimensions": None,
    },
    "/api/v1/signals": {
        "trace_id": UUID,
        "signal_type": "retry",
        "signal_source": None,
        "strength": None,
        "dimension": None,
        "raw_evidence": None,
        "pipeline_step": None,
    },
    "/api/v1/traces": {"events": [{"trace_id": "t", "span_id": None, "cost_usd": None}]},
    "/api/ingest": {"events": [{"trace_id": "t", "parent_id": None, "metadata": None}]},
    "/api/ingest/capsule": {"trace_id": "t", "last_n_hops": None, "aggregate_cost_usd": None},
}


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("leave_out", [False, True], ids=["nulls", "left-out"])
@pytest.mark.parametrize("path", NULLS)
async def test_null_is_as_good_as_left_out(any_api, path, leave_out):
    await registered(any_api, "gpt-4o", goal="g")
    body = without_nulls(NULLS[path]) if leave_out else NULLS[path]
    answer = await any_api.ask("POST", path, {**body, "nobody_knows": {"this": [1]}})
    assert answer.status == 200, answer.json


GETS = [
    f"{ROUTING}/paths",
    f"{ROUTING}/paths?goal=g&include_disabled=true",
    f"{ROUTING}/config",
    f"{ROUTING}/config?goal=g",
    f"{ROUTING}/stats?goal=g",
    f"{INTEL}/insights",
    f"{INTEL}/insights?window_hours=24&goal=g",
    f"{INTEL}/health",
    "/api/traces?workflow_id=w&status=error&hours=1&limit=5",
    "/api/analytics/summary",
    "/api/analytics/cost?group_by=workflow",
    "/api/analytics/cost?group_by=tenant",
    "/api/analytics/cost?group_by=provider",
    "/api/analytics/workflows",
    "/api/analytics/tenants",
    "/health",
]


@pytest.mark.parametrize("path", GETS)
async def test_what_is_asked_of_nothing_is_answered(any_api, path):
    assert isinstance(await any_api.get(path), dict)


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (f"{ROUTING}/paths", {"goal": "g"}, "model_id"),
        (f"{ROUTING}/paths", {"model_id": "gpt-4o"}, "goal"),
        (f"{ROUTING}/decide", {"goal": "x" * 129}, "goal"),
        (f"{ROUTING}/decide", {"goal": "x" * 100, "pipeline_id": "y" * 30}, "goal"),
        (f"{INTEL}/report-outcome", {"goal": "g", "success": True}, "trace_id"),
        (f"{INTEL}/report-outcome", {"goal": "g", "trace_id": "t"}, "success"),
        (f"{INTEL}/signals", {"trace_id": "t"}, "signal_type"),
        ("/api/ingest/capsule", {}, "trace_id"),
        (f"{ROUTING}/config", {"goal": "g", "staleness_days": -1}, None),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_name(api, path, body, where):
    answer = await api.ask("POST", path, body)
    assert (answer.status, answer.json["where"]) == (400, where)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nothing", b'{"goal": ' + b"[" * 10_000])
async def test_what_is_no_json_object_is_refused(api, body):
    answer = await api.ask("POST", f"{ROUTING}/decide", data=body)
    assert (answer.status, answer.json["code"]) == (400, "bad-body")


async def test_a_body_may_be_large_and_no_larger(api):
    event = {"trace_id": "t", "note": "x" * 1_000}
    events = [{**event, "span_id": f"{number}"} for number in range(900)]
    assert (await api.post("/api/ingest", {"events": events}))["accepted"] == 900
    answer = await api.ask("POST", f"{ROUTING}/decide", {"goal": "g", "note": "x" * 300_000})
    assert answer.status == 413


# Who asks.


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({}, 401, "token"),
        ({"X-API-Key": "nobody-knows-this-one-0123"}, 401, "not one of"),
        ({"X-API-Key": "two words"}, 401, "X-API-Key"),
        ({"X-API-Key": "member-token-0123456789", "X-Tenant-ID": "team-b"}, 403, "team-a"),
        ({"X-API-Key": "reader-token-0123456789", "X-Tenant-ID": "team-a"}, 403, "reader"),
        ({"X-API-Key": "member-token-0123456789"}, 200, ""),
        ({"Authorization": "Bearer member-token-0123456789", "X-Tenant-ID": "team-a"}, 200, ""),
        ({"X-API-Key": "admin-token-01234567890", "X-Tenant-ID": "team-z"}, 200, ""),
    ],
)
async def test_the_key_is_a_token_and_the_tenant_its_namespace(api, headers, status, says):
    body = {"goal": "g", "model_id": "gpt-4o"}
    answer = await api.ask("POST", f"{ROUTING}/paths", body, headers=headers)
    assert answer.status == status, answer.json
    assert says in json.dumps(answer.json)


async def test_tenants_see_nothing_of_each_other(any_api):
    await registered(any_api, "gpt-4o")
    run = await decided(any_api)
    await reported(any_api, run["trace_id"], True)
    await any_api.post("/api/ingest", {"events": [{"trace_id": "t", "span_id": "s"}]})
    others = {"X-API-Key": "other-token-01234567890", "X-Tenant-ID": "team-b"}
    assert (await any_api.get(f"{ROUTING}/paths", headers=others))["paths"] == []
    assert (await any_api.get(f"{INTEL}/insights", headers=others))["goals"] == []
    assert (await any_api.get("/api/traces", headers=others))["traces"] == []
    assert (await any_api.ask("GET", "/api/traces/t", headers=others)).status == 404
    answer = await any_api.ask("POST", f"{ROUTING}/decide", {"goal": "birds"}, headers=others)
    assert answer.status == 404


async def test_without_tokens_the_tenant_is_local(open_api):
    async with open_api() as api:
        api.headers = {"X-API-Key": "anything", "X-Tenant-ID": "local"}
        await registered(api, "gpt-4o")
        answer = await api.ask(
            "POST", f"{ROUTING}/decide", {"goal": "birds"}, headers={"X-Tenant-ID": "acme"}
        )
        assert answer.status == 403
        assert "KALIBR_TENANT_ID=local" in answer.json["detail"]

        page = {"Origin": "https://example.com"}
        answer = await api.ask("POST", f"{ROUTING}/decide", {"goal": "birds"}, headers=page)
        assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/cli-auth/device-code"),
        ("POST", "/api/cli-auth/token"),
        ("POST", "/api/cli-auth/signup-and-provision"),
        ("POST", "/api/runtimes/register"),
        ("PATCH", "/api/runtimes/r1/stop"),
    ],
)
async def test_what_only_a_hosted_service_does_is_not_here_and_says_why(api, method, path):
    answer = await api.ask(method, path, {}, headers={})
    assert (answer.status, answer.json["code"]) == (404, "not-served")
    assert answer.json["detail"].startswith("This aggregator")


# Paths and decisions.


async def test_registering_again_changes_nothing(any_api):
    (first,) = await registered(any_api, "gpt-4o", params={"b": 1, "a": 2})
    (again,) = await registered(any_api, "gpt-4o", params={"a": 2, "b": 1})
    assert again == first
    assert (await any_api.get(f"{ROUTING}/paths?goal=birds"))["total"] == 1


async def test_many_who_register_at_once_register_one(any_api):
    found = await asyncio.gather(*(registered(any_api, "gpt-4o") for _ in range(8)))
    assert len({path["path_id"] for (path,) in found}) == 1
    assert (await any_api.get(f"{ROUTING}/paths"))["total"] == 1


async def test_a_disabled_path_stays_so_until_somebody_enables_it(any_api):
    one, other = await registered(any_api, "gpt-4o", "gpt-4o-mini")
    answer = await any_api.ask("DELETE", f"{ROUTING}/paths/{one['path_id']}")
    assert answer.json == {"success": True, "status": "disabled", "path_id": one["path_id"]}
    await registered(any_api, "gpt-4o")  # as every program does at its start
    for _ in range(8):
        assert (await decided(any_api))["path_id"] == other["path_id"]
    listed = await any_api.get(f"{ROUTING}/paths?goal=birds&include_disabled=true")
    assert [path["enabled"] for path in listed["paths"]] == [False, True]
    (enabled,) = await registered(any_api, "gpt-4o", enabled=True)
    assert enabled["enabled"]
    assert (await any_api.ask("DELETE", f"{ROUTING}/paths/path_unknown")).status == 404


async def test_a_decision_has_all_that_clients_read(any_api):
    (path,) = await registered(any_api, "gpt-4o", tool_id="search", params={"temperature": 0.1})
    found = await decided(any_api, task_risk_level="low")
    assert len(found["trace_id"]) == 32
    int(found["trace_id"], 16)
    assert {name: found[name] for name in ("path_id", "model_id", "tool_id", "params", "goal")} == {
        "path_id": path["path_id"], "model_id": "gpt-4o", "tool_id": "search",
        "params": {"temperature": 0.1}, "goal": "birds",
    }  # fmt: skip
    assert (found["confidence"], found["success_rate"], found["sample_count"]) == (0.0, 0.5, 0)
    assert found["propensity"] == 1.0


async def test_candidates_limit_the_choice(any_api):
    await registered(any_api, "gpt-4o", "gpt-4o-mini", "claude-haiku")
    for _ in range(6):
        found = await decided(any_api, candidate_model_ids=["claude-haiku"])
        assert (found["model_id"], found["alternatives_considered"]) == ("claude-haiku", 1)
    # Nobody registered this one; the client can call it all the same.
    found = await decided(any_api, goal="other", candidate_model_ids=["gpt-4.1"])
    assert found["model_id"] == "gpt-4.1"
    answer = await any_api.ask("POST", f"{ROUTING}/decide", {"goal": "none"})
    assert (answer.status, answer.json["code"]) == (404, "no-path")


async def test_an_alternative_leaves_out_what_failed(any_api):
    await registered(any_api, "gpt-4o", "openai/gpt-4o-mini")
    body = {"goal": "birds", "exclude_models": ["openai/gpt-4o"]}
    assert (await any_api.post(f"{INTEL}/get-alternative", body))[
        "model_id"
    ] == "openai/gpt-4o-mini"
    body["exclude_models"].append("gpt-4o-mini")
    answer = await any_api.ask("POST", f"{INTEL}/get-alternative", body)
    assert answer.status == 404


async def test_a_task_of_high_risk_takes_the_best_known_path_of_low_risk(any_api):
    await any_api.post(f"{ROUTING}/config", {"goal": "birds", "min_samples_before_exploit": 2})
    await registered(any_api, "gpt-4o", "gpt-4o-mini")
    await registered(any_api, "claude-haiku", risk_level="high")
    for model, success in (("gpt-4o", False), ("gpt-4o-mini", True), ("claude-haiku", True)) * 3:
        run = await decided(any_api, candidate_model_ids=[model])
        await reported(any_api, run["trace_id"], success)
    for _ in range(8):
        found = await decided(any_api, task_risk_level="high")
        assert (found["model_id"], found["exploration"]) == ("gpt-4o-mini", False)
        assert found["alternatives_considered"] == 2

    await any_api.post(f"{ROUTING}/config", {"goal": "birds", "exploration_on_high_risk": True,
                                       "exploration_rate": 1.0})  # fmt: skip
    taken = {(await decided(any_api, task_risk_level="high"))["model_id"] for _ in range(40)}
    assert taken == {"gpt-4o", "gpt-4o-mini"}


async def test_settings_are_kept_and_one_for_all_goals_holds_where_there_is_none(any_api):
    given = {
        "goal": "birds", "exploration_rate": 0.25, "min_samples_before_exploit": 7,
        "rollback_threshold": 0.4, "staleness_days": 3, "exploration_on_high_risk": True,
    }  # fmt: skip
    assert await any_api.post(f"{ROUTING}/config", given) == given
    assert await any_api.get(f"{ROUTING}/config?goal=birds") == given
    default = await any_api.get(f"{ROUTING}/config")
    assert (default["goal"], default["exploration_rate"]) == ("*", 0.1)
    await any_api.post(f"{ROUTING}/config", {"exploration_rate": 0.5})
    assert (await any_api.get(f"{ROUTING}/config?goal=other"))["exploration_rate"] == 0.5
    assert (await any_api.get(f"{ROUTING}/config?goal=birds"))["exploration_rate"] == 0.25


async def test_what_is_settable_takes_effect(any_api):
    await registered(any_api, "gpt-4o")
    await any_api.post(f"{ROUTING}/config", {"goal": "birds", "exploration_rate": 1.0})
    assert (await decided(any_api))["reason"] == "exploration_random"
    await any_api.post(f"{ROUTING}/config", {"goal": "birds", "exploration_rate": 0.0})
    assert (await decided(any_api))["reason"] != "exploration_random"


# Outcomes.


async def test_an_outcome_counts_for_the_path_that_was_decided(any_api):
    """Also where several paths have one model and no outcome says which."""
    await registered(any_api, "gpt-4o", params={"temperature": 0})
    await registered(any_api, "gpt-4o", params={"temperature": 1})
    counted = {}
    for _ in range(6):
        run = await decided(any_api)
        name = "gpt-4o" + json.dumps(run["params"])
        counted[name] = counted.get(name, 0) + 1
        await reported(any_api, run["trace_id"], True, model_id="gpt-4o")
    assert {name: n for name, (_, n) in (await figures(any_api)).items()} == counted


async def test_each_model_of_a_trace_has_its_own_outcome(any_api):
    await registered(any_api, "gpt-4o", "gpt-4o-mini", "claude-haiku")
    run = await decided(any_api, candidate_model_ids=["gpt-4o"])
    for model, success, reason in (
        ("gpt-4o", False, "provider_error: RateLimitError"),
        ("gpt-4o-mini", False, "quality_fail"),
        ("claude-haiku", True, None),
    ):
        more = {"model_id": model, "failure_reason": reason}
        await reported(any_api, run["trace_id"], success, **more)
    wanted = {"gpt-4o": (0.0, 1), "gpt-4o-mini": (0.0, 1), "claude-haiku": (1.0, 1)}
    assert await figures(any_api) == wanted
    # What is said later is about the answer that was used.
    await any_api.post(
        f"{INTEL}/update-outcome", {"trace_id": run["trace_id"], "goal": "birds", "success": False}
    )
    assert await figures(any_api) == {**wanted, "claude-haiku": (0.0, 1)}
    (goal,) = (await any_api.get(f"{INTEL}/insights"))["goals"]
    modes = {mode["category"]: mode["count"] for mode in goal["top_failure_modes"]}
    assert modes == {"rate_limited": 1, "validation_failed": 1, "unknown": 1}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1), (1, 1, 0)])
async def test_a_correction_stands_whenever_it_comes(any_api, order):
    await registered(any_api, "gpt-4o")
    run = await decided(any_api)
    told = {"trace_id": run["trace_id"], "goal": "birds"}
    for step in order:
        if step == 0:
            await any_api.post(
                f"{INTEL}/report-outcome",
                {**told, "success": True, "score": 0.9, "model_id": "gpt-4o"},
            )
        else:
            fields = {"success": False, "failure_category": "user_unsatisfied"}
            await any_api.post(f"{INTEL}/update-outcome", {**told, **fields})
    assert await figures(any_api) == {"gpt-4o": (0.0, 1)}


async def test_null_keeps_and_the_last_correction_wins(any_api):
    await registered(any_api, "gpt-4o")
    run = await decided(any_api)
    await reported(any_api, run["trace_id"], True, score=0.6)
    told = {"trace_id": run["trace_id"], "goal": "birds"}
    answer = await any_api.post(f"{INTEL}/update-outcome", {**told, "metadata": {"rows": 3}})
    assert answer["fields_updated"] == ["metadata"]
    assert await figures(any_api) == {"gpt-4o": (pytest.approx(0.6), 1)}
    await any_api.post(f"{INTEL}/update-outcome", {**told, "score": 0.7})
    assert await figures(any_api) == {"gpt-4o": (pytest.approx(0.7), 1)}
    await any_api.post(f"{INTEL}/update-outcome", {**told, "success": False})
    assert await figures(any_api) == {"gpt-4o": (0.0, 1)}
    await any_api.post(f"{INTEL}/update-outcome", {**told, "success": True, "score": 1.0})
    assert await figures(any_api) == {"gpt-4o": (1.0, 1)}


async def test_outcomes_of_traces_that_nobody_knows_count_by_model(any_api):
    """A client that remembers its last decision makes up trace ids of its own."""
    await registered(any_api, "gpt-4o", params={"temperature": 0})
    await reported(any_api, "ab" * 16, True, model_id="openai/gpt-4o")
    await reported(any_api, UUID, False, model_id="gpt-4o")
    await reported(any_api, "my own trace / 7", True, model_id="gpt-4o-mini")
    name = 'gpt-4o{"temperature": 0}'
    assert await figures(any_api) == {name: (0.5, 2), "gpt-4o-mini": (1.0, 1)}


async def test_pipelines_learn_apart(any_api):
    await registered(any_api, "gpt-4o")
    for pipeline, success in (("one", True), ("two", False)):
        run = await decided(any_api, pipeline_id=pipeline)
        await reported(any_api, run["trace_id"], success, pipeline_id=pipeline)
    found = {p: (await decided(any_api, pipeline_id=p)) for p in ("one", "two", None)}
    counts = {name: (one["success_rate"], one["sample_count"]) for name, one in found.items()}
    assert counts == {
        "one": (pytest.approx(2 / 3, abs=1e-5), 1),
        "two": (pytest.approx(1 / 3, abs=1e-5), 1),
        None: (0.5, 0),
    }


async def test_an_outcome_counts_for_the_next_decision(any_api):
    await registered(any_api, "gpt-4o")
    for number in range(5):
        run = await decided(any_api)
        assert run["sample_count"] == number
        await reported(any_api, run["trace_id"], True)


# Signals.


def signal(kind, source, strength, confidence, **more):
    return {
        "trace_id": UUID, "signal_type": kind, "signal_source": source, "strength": strength,
        "confidence": confidence, "goal": "birds", "session_id": "s", **more,
    }  # fmt: skip


ANCHOR = signal("pipeline_anchor", "pipeline", 0.5, 1, model="gpt-4o", meta_prompt_id="m")
END = {"raw_evidence": "session_end_inferred"}


@pytest.mark.parametrize("path", [f"{INTEL}/signals", "/api/v1/signals"])
@pytest.mark.parametrize(
    ("signals", "wanted"),
    [
        ([ANCHOR], None),
        ([ANCHOR, signal("user_rejected", "user_implicit", 0, 0.9)], (0.0, 0.9)),
        ([ANCHOR, signal("rejection", "user_implicit", 0, 0.9)], (0.0, 0.9)),
        ([ANCHOR, signal("acceptance", "user_implicit", 1, 0.9)], (1.0, 0.9)),
        ([signal("user_accepted", "user_implicit", 1, 0.7), ANCHOR], (1.0, 0.7)),
        ([ANCHOR, signal("output_edited", "downstream", 0.4, 1)], (0.4, 1.0)),
        ([ANCHOR, signal("action_copy", "downstream", 0.8, 1)], (0.8, 1.0)),
        # The end of a session calls itself explicit, and is a guess.
        ([ANCHOR, signal("user_accepted", "user_explicit", 0.65, 0.4, **END)], (0.65, 0.4)),
        ([ANCHOR, signal("user_accepted", "user_implicit", 1, 0.9),
          signal("user_rejected", "user_explicit", 0.25, 0.4, **END)], (1.0, 0.9)),
        # What was done overrules what was said, whichever comes first.
        ([ANCHOR, signal("user_rejected", "user_implicit", 0, 0.9),
          signal("output_copied", "downstream", 0.9, 1)], (0.9, 1.0)),
        ([ANCHOR, signal("output_copied", "downstream", 0.9, 1),
          signal("user_rejected", "user_explicit", 0, 1)], (0.9, 1.0)),
        # A strength that nobody gave says nothing.
        ([ANCHOR, signal("user_rejected", "user_explicit", 0.5, 1)], (0.0, 1.0)),
        ([ANCHOR, signal("something_new", "user_implicit", 0.3, 0.5)], (0.3, 0.5)),
        ([ANCHOR, signal("something_new", "user_implicit", None, 1)], None),
        ([ANCHOR, signal("user_rejected", "user_implicit", 0, 0.9)] * 3, (0.0, 0.9)),
        # A signal of its session alone is about its last run.
        ([ANCHOR, {**signal("user_rejected", "user_implicit", 0, 0.7), "trace_id": None,
                   "goal": None, "session_momentum": "widening"}], (0.0, 0.7)),
    ],
)  # fmt: skip
async def test_the_best_signal_of_a_run_counts(any_api, path, signals, wanted):
    for body in signals:
        assert (await any_api.post(path, body))["status"] == "accepted"
    run = UUID.replace("-", "")
    (trial,) = await trials(any_api, run)
    assert trial.trial.arm.key == "openai/gpt-4o"
    counted = trial.evidence
    said = None if counted is None or not counted.confidence else counted[1:3]
    assert said == (None if wanted is None else pytest.approx(wanted))


async def trials(api, call_id):
    from remora_aggregator.store.learning_signal_store import StoredSignals

    return await StoredSignals(api.aggregator.store).trials("team-a", call_id)


async def test_a_rejection_is_a_failure_mode_of_its_goal(any_api):
    for body in (ANCHOR, signal("user_rejected", "user_implicit", 0, 0.9)):
        await any_api.post(f"{INTEL}/signals", body)
    (goal,) = (await any_api.get(f"{INTEL}/insights"))["goals"]
    assert goal["top_failure_modes"] == [{"category": "user_unsatisfied", "count": 1}]


async def test_a_signal_about_nothing_is_not_kept(any_api):
    answer = await any_api.post(
        f"{INTEL}/signals", {"signal_type": "retry", "session_id": "unknown"}
    )
    assert answer["status"] == "ignored"


async def test_a_decision_is_what_its_signals_are_about(any_api):
    await registered(any_api, "gpt-4o")
    run = await decided(any_api)
    body = signal("output_discarded", "downstream", 0, 1, trace_id=run["trace_id"])
    await any_api.post(f"{INTEL}/signals", body)
    assert await figures(any_api) == {"gpt-4o": (0.0, 1)}
    (trial,) = await trials(any_api, run["trace_id"])
    assert trial.trial.goal == "birds"


async def test_a_decisions_chance_is_logged_with_its_outcome(any_api):
    paths = await registered(any_api, "gpt-4o", "gpt-4o-mini")
    run = await decided(any_api)
    await reported(any_api, run["trace_id"], True)
    (trial,) = await trials(any_api, run["trace_id"])
    assert trial.trial.propensity == run["propensity"]
    assert set(trial.trial.arms) == {"openai/gpt-4o", "openai/gpt-4o-mini"}
    assert {one["path_id"] for one in run["candidates"]} == {path["path_id"] for path in paths}
    assert sum(one["propensity"] for one in run["candidates"]) == pytest.approx(1)


# Advice.


async def test_advice_follows_its_aim_and_its_constraints(any_api):
    models = {"gpt-4o": (0.9, 0.02, 900), "gpt-4o-mini": (0.6, 0.001, 300)}
    await registered(any_api, *models)
    for model, (quality, cost, latency_ms) in models.items():
        for number in range(10):
            run = await decided(any_api, candidate_model_ids=[model])
            await reported(any_api, run["trace_id"], number < 10 * quality)
            span = {"trace_id": run["trace_id"], "span_id": "s", "model_id": model,
                    "cost_usd": cost, "duration_ms": latency_ms}  # fmt: skip
            await any_api.post("/api/ingest", {"events": [span]})

    async def best(**asked):
        body = {"task_type": "qa", "goal": "birds", **asked}
        found = await any_api.post(f"{INTEL}/recommend", body)
        return found["recommendation"] and found["recommendation"]["model_id"]

    assert await best(optimize_for="quality") == "gpt-4o"
    assert await best(optimize_for="balanced") == "gpt-4o"
    assert await best(optimize_for="cost") == "gpt-4o-mini"
    assert await best(optimize_for="latency") == "gpt-4o-mini"
    assert await best(optimize_for="cost_efficiency") == "gpt-4o-mini"
    assert await best(optimize_for="quality", constraints={"max_cost_usd": 0.01}) == "gpt-4o-mini"
    assert await best(constraints={"min_quality": 0.99}) is None

    policy = await any_api.post(f"{INTEL}/policy", {"goal": "birds"})
    assert policy["recommended_model"] == policy["model_id"] == "gpt-4o"
    assert policy["recommended_provider"] == "openai"
    assert policy["outcome_success_rate"] == pytest.approx(0.9)
    assert policy["outcome_sample_count"] == 10
    assert policy["avg_cost_usd"] == pytest.approx(0.02)
    assert [one["model_id"] for one in policy["alternatives"]] == ["gpt-4o-mini"]
    # What came of following it counts for the path.
    await reported(any_api, policy["trace_id"], True)
    assert (await figures(any_api))["gpt-4o"] == (pytest.approx(10 / 11), 11)
    answer = await any_api.ask("POST", f"{INTEL}/policy", {"goal": "unknown"})
    assert (answer.status, answer.json["code"]) == (404, "no-policy")


async def test_without_a_goal_the_best_model_of_all_goals_is_recommended(any_api):
    for goal, model, success in (("a", "gpt-4o", True), ("b", "gpt-4o", True),
                                 ("a", "gpt-4o-mini", False)):  # fmt: skip
        await reported(any_api, f"{goal}-{model}", success, goal=goal, model_id=model)
    found = await any_api.post(
        f"{INTEL}/recommend", {"task_type": "code", "optimize_for": "outcome"}
    )
    assert found["recommendation"]["model_id"] == "gpt-4o"
    assert found["stats"]["outcomes"] == 3
