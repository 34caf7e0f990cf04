"""The page lists every metric there is, and no other."""

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

from remora.records import CacheVerdict, CallError, CallRecord, EndReason, Usage
from remora.telemetry.metric_names import metric_name
from remora_sidecar.cache.levels import CacheLevels
from remora_sidecar.cache.memory import MemoryFront
from remora_sidecar.control.metrics import (
    watch_cache,
    watch_certificate,
    watch_export,
    watch_journal,
    watch_policy,
    watch_spool,
)
from remora_sidecar.control.signal_metrics import watch_signals
from remora_sidecar.engine.chunk_times import ChunkTimes
from remora_sidecar.engine.metrics import EngineMetrics
from remora_sidecar.execution_metrics import watch_execution_reports
from remora_sidecar.learned_opening import watch_scores
from remora_sidecar.signals.own_metrics import watch_own_signals
from remora_sidecar.workflow_runs.metrics import watch_workflows

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


class Spool:
    """Figures of a spool."""

    depth = unwritten_total = lost_total = 1
    refused_total = shed_bodies_total = shed_records_total = 1


class Journal:
    """Figures of a journal."""

    missed_total = shed_bodies_total = shed_records_total = 1


class Signals:
    """Figures of signals that wait and were delivered."""

    waiting = taken_total = shed_total = delivered_total = refused_total = 1


class OwnSignals:
    """Figures of what the sidecar tells of answers and asks of models."""

    unchecked = judged = 1
    told = dropped = asked = {"x": 1}  # noqa: RUF012 - never changed
    unanswered = {("x", "y"): 1}  # noqa: RUF012 - never changed
    cost_usd = {"x": Decimal(1)}  # noqa: RUF012 - never changed


class Workflows:
    running_count = 1
    ended = {"completed": 1}  # noqa: RUF012 - read only


class ExecutionReports:
    """Figures of executions that wait and were delivered."""

    outbox = delivery = Signals()


class Policy:
    """Figures of a policy in force."""

    name = version = origin = "p"
    changes_total = refused_total = 1


class Certificate:
    """Figures of the operator's certificates."""

    not_after_unix_s = 1.0
    renewals_total = failures_total = 1


class Scores:
    """What learned routing knows and has decided."""

    book = ("one goal",)
    decisions = {"thompson": 1}  # noqa: RUF012 - never changed


def _families():
    """Every family, each with a sample, so that its labels show."""
    metrics = EngineMetrics()
    watch_spool(metrics.registry, Spool())
    watch_journal(metrics.registry, Journal())
    watch_signals(metrics.registry, Signals(), Signals())
    watch_own_signals(metrics.registry, OwnSignals(), OwnSignals(), OwnSignals())
    watch_cache(metrics.registry, CacheLevels(MemoryFront()))
    watch_policy(metrics.registry, Policy())
    watch_scores(metrics.registry, Scores())
    watch_workflows(metrics.registry, Workflows())
    watch_execution_reports(metrics.registry, ExecutionReports())
    watch_certificate(metrics.registry, Certificate())
    watch_export(metrics.registry, Counter(queue_full=1))
    record = CallRecord(
        call_id="0" * 32, started_unix_ns=1, provider="openai", dialect="openai-chat",
        operation="chat", stream=True, ttft_s=0.1, usage=Usage(1, 1), status_code=200,
        end_reason=EndReason.COMPLETED,
    )  # fmt: skip
    times = ChunkTimes()
    times.chunk(1.0)
    times.chunk(2.0)
    metrics.count(record)
    metrics.count_chunks(record, times)
    unread = CallError("usage_unreadable", "")
    metrics.count(CallRecord(call_id="1" * 32, started_unix_ns=1, error=unread))
    metrics.refused["X"] += 1
    verdict = CacheVerdict("hit")
    metrics.count(CallRecord(call_id="2" * 32, started_unix_ns=1, cached=True, cache=verdict))
    return list(metrics.registry.collect())


def _row(family):
    labels = [name for name in family.samples[0].labels if name != "le"]
    scraped = f"{family.name}_total" if family.type == "counter" else family.name
    told = ", ".join(f"`{label}`" for label in labels) or "-"
    name, _ = metric_name(family.name)
    return f"| `{scraped}` | `{name}` | {family.type} | {told} | {family.documentation} |"


def test_the_page_lists_every_metric_and_no_other():
    rows = re.findall(
        r"^\| `(?:gen_ai|remora)_(?!aggregator_|operator_).*$",
        PAGE.read_text("utf-8"),
        re.MULTILINE,
    )
    assert sorted(rows) == sorted(map(_row, _families()))
