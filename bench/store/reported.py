"""Records of the size and kind that sidecars report, many of them quickly. Pure."""

import json
import random
import struct
from collections.abc import Iterator
from itertools import accumulate

from remora_proto.v1 import records_pb2 as pb

BEGIN_NS = 1_780_000_000 * 1_000_000_000
MODELS = ("gpt-4o-2024-08-06", "gpt-4o-mini", "claude-sonnet-5", "gemini-3-pro", "llama-3.3-70b")
_PROVIDERS = ("openai", "openai", "anthropic", "google", "groq")
_WORKLOADS = ("research", "triage", "review")
_KINDS = 400
_KINDS_WITH_BODIES = 100
"""Words are drawn one by one, which takes longer than all else here."""
_CALL_ID = b"c" * 32
_STARTED = struct.pack("<Q", 0x6161616161616161)


def kinds(seed: int, *, bodies_bytes: int = 0, count: int = _KINDS) -> list[bytes]:
    """Write records whose id and start are still to be set.

    Args:
        seed: Another one gives others.
        bodies_bytes: How large both bodies are together; 0: none.
        count: How many.
    """
    chance = random.Random(seed)  # noqa: S311 - load, no secret
    return [_kind(chance, seed, bodies_bytes).SerializeToString() for _ in range(count)]


def numbered(kind: bytes, number: int, started_unix_ns: int) -> bytes:
    """Set the id and start of a record."""
    call_id = f"{number:032x}".encode()
    return kind.replace(_CALL_ID, call_id, 1).replace(
        _STARTED, struct.pack("<Q", started_unix_ns), 1
    )


def _kind(chance: random.Random, seed: int, bodies_bytes: int) -> pb.CallRecord:
    at = chance.randrange(len(MODELS))
    latency_s = chance.lognormvariate(0.3, 0.8)
    tokens = chance.randrange(50, 20_000)
    cost = f"{tokens * 25 / 10**7:.10f}"
    record = pb.CallRecord(
        call_id=_CALL_ID.decode(),
        provider=_PROVIDERS[at],
        dialect="openai-chat",
        operation="chat",
        method="POST",
        url="https://api.openai.com/v1/chat/completions",
        requested_model=MODELS[at].removesuffix("-2024-08-06"),
        sent_model=MODELS[at].removesuffix("-2024-08-06"),
        response_model=MODELS[at],
        stream=chance.random() < 0.7,
        status_code=429 if chance.random() < 0.02 else 200,
        end_reason=pb.END_REASON_COMPLETED,
        finish_reason="stop",
        response_id=f"chatcmpl-{chance.getrandbits(96):x}",
        latency_s=latency_s,
        ttft_s=latency_s * chance.uniform(0.1, 0.5),
        overhead_s=chance.uniform(0.0004, 0.003),
        request_bytes=1_600,
        response_bytes=1_000,
        usage=pb.Usage(input_tokens=tokens, output_tokens=chance.randrange(1, 900)),
        cost=pb.Cost(
            total_usd=cost, input_usd=cost, price_source="genai-prices", price_date="2026-11-01"
        ),
        capture="full" if bodies_bytes else "metadata",
        receipt=pb.Receipt(policy="team-a/research", policy_version="a" * 64, rule="chat"),
    )
    record.started_unix_nano = struct.unpack("<Q", _STARTED)[0]
    record.origin.pod_name = f"research-{chance.randrange(20)}"
    record.origin.workload = chance.choice(_WORKLOADS)
    record.attribution.session_id = f"session-{seed}-{chance.randrange(3)}"
    record.attribution.task_id = f"task-{seed}"
    record.attempts.add(
        provider=record.provider, model=record.sent_model, status_code=200, duration_s=latency_s
    )
    if bodies_bytes:
        record.request_body.content = _body(chance, bodies_bytes // 2)
        record.response_body.content = _body(chance, bodies_bytes - bodies_bytes // 2)
    return record


def _vocabulary() -> tuple[list[str], list[float]]:
    """Words as a language has them: few are frequent, many are rare (Zipf's law)."""
    chance = random.Random(0)  # noqa: S311 - as above
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = {"".join(chance.choices(letters, k=chance.randrange(2, 11))) for _ in range(20_000)}
    ordered = sorted(words, key=lambda word: (len(word), word))
    return ordered, [1 / (rank + 2) for rank in range(len(ordered))]


_WORDS, _WEIGHTS = _vocabulary()
_CUMULATED = list(accumulate(_WEIGHTS))


def _body(chance: random.Random, size: int) -> bytes:
    words = " ".join(chance.choices(_WORDS, cum_weights=_CUMULATED, k=size // 5))
    shown = json.dumps({"messages": [{"role": "user", "content": words}]}).encode()
    return shown[:size]


def batches(reporter: int, count: int, batch: int, *, bodies_bytes: int = 0) -> Iterator[bytes]:
    """Write a reporter's messages, each of some records of its own, a second apart in time.

    Args:
        reporter: Number of the reporter.
        count: How many records in all.
        batch: How many records a message has.
        bodies_bytes: As `kinds` takes it.
    """
    count_of_kinds = _KINDS_WITH_BODIES if bodies_bytes else _KINDS
    made = kinds(reporter, bodies_bytes=bodies_bytes, count=count_of_kinds)
    for begin in range(0, count, batch):
        report = pb.WrittenReport()
        for sequence in range(begin, min(begin + batch, count)):
            started = BEGIN_NS + sequence * 1_000_000_000
            record = numbered(made[sequence % len(made)], (reporter << 64) + sequence, started)
            report.entries.add(sequence=sequence, record=record)
        yield report.SerializeToString()
