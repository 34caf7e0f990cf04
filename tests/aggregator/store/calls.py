"""Calls made up at random, and what a plain reading of them gives: the oracle of the tests."""

import random
from decimal import Decimal

from remora_aggregator.store.facts import AT, Stamp, facts_of
from remora_aggregator.store.totals import DAY_NS, HOUR_NS, Totals, changes_of
from remora_proto.v1 import records_pb2 as pb

BEGIN_NS = 1_760_000_000 * 1_000_000_000 // DAY_NS * DAY_NS
STAMP = Stamp("local", "pod-1", BEGIN_NS + 10 * DAY_NS, 0.25)

_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-5", "")


def call(chance: random.Random, number: int, **fields: object) -> pb.CallRecord:
    """Make up one call; numbers make different calls."""
    asked = chance.choice(_MODELS)
    cached = chance.random() < 0.2
    record = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=BEGIN_NS + chance.randrange(4 * DAY_NS),
        provider=chance.choice(("openai", "anthropic", "")),
        operation=chance.choice(("chat", "embeddings")),
        requested_model=asked,
        sent_model=chance.choice((asked, "gpt-4o-mini")),
        status_code=chance.choice((200, 200, 200, 429, 0)),
        latency_s=chance.expovariate(1),
        cached=cached,
        attribution=pb.Attribution(
            session_id=chance.choice(("s1", "s2", "")), task_id=chance.choice(("t1", ""))
        ),
        origin=pb.Origin(
            workload=chance.choice(("w1", "")), labels={"app": chance.choice(("a", "b"))}
        ),
    )
    if chance.random() < 0.5:
        record.ttft_s = chance.random()
    if chance.random() < 0.8:
        record.usage.input_tokens = chance.randrange(1000)
        record.usage.estimated = chance.random() < 0.1
        if chance.random() < 0.8:
            record.cost.total_usd = str(Decimal(chance.randrange(10**9)).scaleb(-12))
    if cached:
        record.cache.result = "hit"
        record.cache.saved_usd = "0.001"
        record.cache.original_latency_s = 5.0
    record.MergeFrom(pb.CallRecord(**fields))
    return record


def calls(seed: int, count: int) -> list[pb.CallRecord]:
    """Make up so many calls."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    return [call(chance, number) for number in range(count)]


def sums(records: list[pb.CallRecord], columns: tuple[str, ...], interval_ns: int = 0):
    """Sum up calls by columns, one by one."""
    groups: dict[tuple, Totals] = {}
    for record in records:
        facts = facts_of(record, STAMP)
        began = record.started_unix_nano
        start = began - began % interval_ns if interval_ns else 0
        keys = (*(facts[AT[column]] for column in columns), start)
        groups.setdefault(keys, Totals()).count(changes_of(facts), began)
    return {keys: rounded(totals.sums) for keys, totals in groups.items()}


def rounded(figures):
    """Forgive what adding floats in another order does."""
    return [round(value, 6) if isinstance(value, float) else value for value in figures]


__all__ = ["BEGIN_NS", "DAY_NS", "HOUR_NS", "STAMP", "call", "calls", "rounded", "sums"]
