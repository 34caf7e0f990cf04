"""Calls of an imagined fleet, for the page to show: all that a record can hold, and what is odd."""

import json
import random
from collections.abc import Iterator

from remora_proto.v1 import records_pb2 as pb

MODELS = (
    ("openai", "gpt-4o", 9),
    ("openai", "gpt-4o-mini", 14),
    ("anthropic", "claude-sonnet-4-5", 11),
    ("anthropic", "claude-haiku-4-5", 7),
    ("google", "gemini-2.5-pro", 5),
    ("groq", "llama-3.3-70b-versatile", 4),
    ("mistral", "mistral-large-latest", 3),
    ("internal-vllm", "qwen3-235b-a22b", 3),
    ("cohere", "command-a-03-2025", 1),
)
VERSION = "3f9a1c77d20be4518ce6a90b7d54f2e1aa60c3b98e7d1f25"
ASKED = {
    "model": "gpt-4o",
    "temperature": 0.2,
    "max_tokens": 12345678901234567890,
    "messages": [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
    "stream": False,
}
ANSWERED = {
    "id": "chatcmpl-9f2",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Air scatters blue light most."}}
    ],
    "usage": {"prompt_tokens": 24, "completion_tokens": 7},
}


def usual(number: int, started_unix_ns: int, seed: random.Random) -> pb.CallRecord:
    """Make one of many calls."""
    provider, model, _ = seed.choices(MODELS, [weight for *_, weight in MODELS])[0]
    tokens_in, tokens_out = seed.randint(200, 9_000), seed.randint(20, 1_200)
    cost = f"{tokens_in * 15e-8 + tokens_out * 60e-8:.8f}"
    latency = seed.lognormvariate(0.4, 0.7)
    record = pb.CallRecord(
        call_id=f"{number + 1:032x}",
        started_unix_nano=started_unix_ns,
        provider=provider,
        dialect="openai-chat",
        operation="chat",
        requested_model=model,
        sent_model=model,
        response_model=model,
        status_code=200,
        end_reason=pb.END_REASON_COMPLETED,
        latency_s=latency,
        ttft_s=latency * seed.uniform(0.2, 0.7),
        overhead_s=seed.uniform(0.0004, 0.002),
        request_bytes=tokens_in * 4,
        response_bytes=tokens_out * 5,
        usage=pb.Usage(input_tokens=tokens_in, output_tokens=tokens_out),
        cost=pb.Cost(
            total_usd=cost,
            input_usd=cost,
            output_usd="0",
            price_source="genai-prices 0.2.3",
            price_date="2026-11-01",
        ),
        attribution=pb.Attribution(
            session_id=f"run-{seed.randint(1, 60):03}",
            agent_id=seed.choice(["planner", "coder", "critic"]),
            task_id=f"nightly-{seed.randint(1, 12):02}",
        ),
        origin=pb.Origin(
            pod_name=f"research-7c9-{seed.randint(1, 4)}",
            workload="research",
            node="node-a",
            sidecar_version="0.1.0",
        ),
        receipt=pb.Receipt(
            policy="team-a/research", policy_version=VERSION, rule="chat", credential="policy"
        ),
        capture="metadata",
    )
    if seed.random() < 0.12:
        record.cached = True
        record.cache.MergeFrom(
            pb.CacheVerdict(result="hit", age_s=311.0, original_latency_s=2.1, saved_usd=cost)
        )
    elif seed.random() < 0.05:
        record.status_code = 429
        record.error.MergeFrom(
            pb.CallError(type="rate_limit_exceeded", message="Rate limit reached for gpt-4o.")
        )
        record.ClearField("usage")
        record.ClearField("cost")
    return record


def usual_calls(
    count: int, now_unix_ns: int, over_s: float, *, seed: int = 7
) -> Iterator[pb.CallRecord]:
    """Make calls over a span of time until now."""
    dice = random.Random(seed)  # noqa: S311 - figures for a picture
    for number in range(count):
        ago = over_s * (1 - number / count) ** 1.3
        yield usual(number, now_unix_ns - round(ago * 1e9) - 10**9, dice)


def decided(now_unix_ns: int, **fields: object) -> pb.CallRecord:
    """Make a call that was routed, tried twice, and captured whole."""
    record = pb.CallRecord(
        call_id=f"{0xDEC1DED:032x}",
        started_unix_nano=now_unix_ns - 5 * 10**9,
        provider="openai",
        dialect="openai-chat",
        operation="chat",
        method="POST",
        url="https://api.openai.com/v1/chat/completions",
        requested_model="gpt-4o",
        sent_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        status_code=200,
        end_reason=pb.END_REASON_COMPLETED,
        finish_reason="stop",
        latency_s=2.84,
        ttft_s=1.9,
        overhead_s=0.0011,
        request_bytes=412,
        response_bytes=633,
        capture="full",
        response_id="chatcmpl-9f2",
        provider_request_id="req_71ab",
        tool_names=["search", "read_file"],
        usage=pb.Usage(input_tokens=24, output_tokens=7, cache_read_tokens=0, reasoning_tokens=0),
        cost=pb.Cost(
            total_usd="0.0000078",
            input_usd="0.0000036",
            output_usd="0.0000042",
            price_source="genai-prices 0.2.3",
            price_date="2026-11-01",
        ),
        attribution=pb.Attribution(
            session_id="run-007", task_id="nightly-03", agent_id="planner", trace_id="ab" * 16
        ),
        origin=pb.Origin(
            pod_name="research-7c9-1",
            workload="research",
            node="node-a",
            sidecar_version="0.1.0",
            mode="transparent",
            original_destination="162.159.140.245:443",
            labels={"app": "research", "tier": "batch"},
        ),
        cache=pb.CacheVerdict(result="miss", reason="first of its kind"),
        attempts=[
            pb.Attempt(
                provider="openai",
                model="gpt-4o",
                status_code=429,
                duration_s=0.62,
                failure="rate_limited",
                error=pb.CallError(type="rate_limit_exceeded", message="Rate limit reached."),
            ),
            pb.Attempt(
                provider="openai",
                model="gpt-4o-mini",
                status_code=200,
                duration_s=2.1,
                reused_connection=True,
                cost=pb.Cost(total_usd="0.0000078"),
            ),
        ],
        receipt=pb.Receipt(
            policy="team-a/research",
            policy_version=VERSION,
            rule="chat",
            router="weighted",
            propensity=0.9,
            credential="policy",
            fallback=["openai/gpt-4o-mini"],
            candidates=[
                pb.CandidateReceipt(
                    provider="openai", model="gpt-4o", score=0.91, est_cost_usd="0.00013"
                ),
                pb.CandidateReceipt(
                    provider="openai", model="gpt-4o-mini", score=0.74, est_cost_usd="0.0000081"
                ),
                pb.CandidateReceipt(
                    provider="anthropic", model="claude-opus-4-5", filtered_out_by="model_denied"
                ),
                pb.CandidateReceipt(
                    provider="groq",
                    model="llama-3.3-70b-versatile",
                    score=0.5,
                    filtered_out_by="context_too_small",
                ),
            ],
            budgets=[
                pb.BudgetReceipt(
                    name="per-task", per="task", result="ok", spent_usd="0.11", limit_usd="0.25"
                ),
                pb.BudgetReceipt(
                    name="daily",
                    per="namespace",
                    result="warn",
                    spent_usd="43.20",
                    limit_usd="50",
                    resets_unix_nano=now_unix_ns + 6 * 3600 * 10**9,
                ),
                pb.BudgetReceipt(
                    name="run",
                    per="session",
                    result="ok",
                    spent_tokens=120_000,
                    limit_tokens=1_000_000,
                ),
            ],
        ),
        notes=["The provider named no model in its first chunk."],
        request_body=pb.Body(
            content=json.dumps(ASKED).encode(), original_bytes=412, content_type="application/json"
        ),
        response_body=pb.Body(
            content=json.dumps(ANSWERED).encode(),
            original_bytes=633,
            content_type="application/json",
        ),
    )
    record.MergeFrom(pb.CallRecord(**fields))  # type: ignore[arg-type]  # as a test names them
    return record
