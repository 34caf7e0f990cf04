"""The tables of signals, trials and sums, alike in both databases; released, so never changed."""

from collections.abc import Mapping, Sequence
from typing import Final

KEPT_SIGNAL: Final = (
    "namespace", "signal_id", "call_id", "source", "strength", "confidence", "at_ms", "kind",
    "reporter", "received_unix_ns", "dimension", "failure_category", "goal", "session_id", "text",
    "is_waiting", "arm",
)  # fmt: skip
"""Columns of a signal: who sent it and what it says; then what became of it.

``arm`` is the key of the arm that its call's answer came from; empty while that is not known.
"""

KEPT_TRIAL: Final = (
    "namespace", "call_id", "arm", "pod_uid", "place", "goal", "goal_by", "at_ms", "is_answer",
    "inferred_source", "inferred_strength", "inferred_confidence", "inferred_at_ms",
    "inferred_kind", "inferred_category",
    "source", "strength", "confidence", "evidence_at_ms", "signal_id", "kind", "reporter",
    "failure_category", "cost_usd", "latency_ms", "propensity", "arms", "rule", "requested_model",
    "session_id", "task_id",
)  # fmt: skip
"""Columns of a trial: ``inferred_*`` is what its record says, ``source`` … what counts.

``goal_by`` says which signal the goal comes from; it is empty where the record names one.
"""


KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "source", "at_ms", "received_unix_ns", "is_waiting", "signals", "place", "is_answer",
            "inferred_source", "inferred_at_ms", "evidence_at_ms", "level", "number", "good", "bad",
            "day", "calls", "priced", "change", "last_ms",
        ),
        "bigint",
    ),
    **dict.fromkeys(
        (
            "strength", "confidence", "inferred_strength", "inferred_confidence", "latency_ms",
            "propensity",
        ),
        "double precision",
    ),
}  # fmt: skip
"""The types of columns, wherever they stand, that are no texts."""


def learning_tables(text: str, blob: str, number: str) -> Sequence[str]:
    """Write the statements that make them.

    No index of signals and trials begins with the namespace: a database without statistics, or
    with few namespaces, would look for one call among all of its namespace's.

    Args:
        text: The type of texts, which compare by their code points.
        blob: The type of bytes.
        number: The type of a primary key that numbers rows by itself.
    """
    return (*_kept(text), *_sums(text, number), *_known(text, blob))


def _kept(text: str) -> Sequence[str]:
    return (
        f"""
        create table signals (
            namespace {text} not null, signal_id {text} not null, call_id {text} not null,
            source bigint not null, strength double precision not null,
            confidence double precision not null, at_ms bigint not null, kind {text} not null,
            reporter {text} not null, received_unix_ns bigint not null, dimension {text} not null,
            failure_category {text} not null, goal {text} not null, session_id {text} not null,
            text {text} not null,
            is_waiting bigint not null, arm {text} not null,
            primary key (signal_id, namespace)
        )
        """,
        "create index signals_call on signals (call_id, namespace)",
        "create index signals_received on signals (received_unix_ns, namespace, signal_id)",
        "create index signals_waiting on signals (received_unix_ns, namespace) "
        "where is_waiting = 1",
        "create index signals_session on signals (session_id, namespace) where session_id <> ''",
        "create index signals_text on signals (received_unix_ns) where text <> ''",
        f"create table waiting_signals (namespace {text} primary key, signals bigint not null)",
        f"""
        create table trials (
            namespace {text} not null, call_id {text} not null, arm {text} not null,
            pod_uid {text} not null, place bigint not null,
            goal {text} not null, goal_by {text} not null, at_ms bigint not null,
            is_answer bigint not null,
            inferred_source bigint, inferred_strength double precision,
            inferred_confidence double precision, inferred_at_ms bigint, inferred_kind {text},
            inferred_category {text} not null,
            source bigint, strength double precision, confidence double precision,
            evidence_at_ms bigint, signal_id {text}, kind {text}, reporter {text},
            failure_category {text} not null,
            cost_usd {text}, latency_ms double precision, propensity double precision,
            arms {text} not null, rule {text} not null, requested_model {text} not null,
            session_id {text} not null, task_id {text} not null,
            primary key (call_id, namespace, arm)
        )
        """,
        "create index trials_began on trials (at_ms, namespace, call_id, arm)",
        "create index trials_goal on trials (goal, namespace, at_ms)",
        "create index trials_session on trials (session_id, namespace) where session_id <> ''",
        "create index trials_task on trials (task_id, namespace) where task_id <> ''",
    )


def _sums(text: str, number: str) -> Sequence[str]:
    return (
        f"""
        create table score_places (
            place {number}, namespace {text} not null, workload {text} not null,
            goal {text} not null, arm {text} not null, provider {text} not null,
            model {text} not null, parameters {text} not null
        )
        """,
        "create unique index score_places_key on score_places (goal, namespace, workload, arm)",
        f"""
        create table score_sums (
            place bigint not null, reporter {text} not null, level bigint not null,
            number bigint not null, good bigint not null, bad bigint not null,
            primary key (place, reporter, level, number)
        )
        """,
        "create index score_sums_level on score_sums (level, number)",
        f"""
        create table score_spendings (
            place bigint not null, day bigint not null, calls bigint not null,
            priced bigint not null, cost_usd {text} not null, timed {text} not null,
            primary key (place, day)
        )
        """,
    )


def _known(text: str, blob: str) -> Sequence[str]:
    return (
        f"""
        create table goal_changes (
            namespace {text} not null, goal {text} not null, change bigint not null,
            last_ms bigint not null,
            primary key (namespace, goal)
        )
        """,
        "create index goal_changes_change on goal_changes (change)",
        f"""
        create table goal_settings (
            namespace {text} not null, goal {text} not null, settings {text} not null,
            primary key (namespace, goal)
        )
        """,
        f"""
        create table router_versions (
            namespace {text} not null, number bigint not null, version {text} not null,
            verdict {text}, primary key (namespace, number)
        )
        """,
        f"create table router_histories (namespace {text} primary key, history {text} not null)",
        f"create table sharing_namespaces (namespace {text} primary key)",
        f"create table learning_keys (name {text} primary key, secret {blob} not null)",
        # The last number of a change; and before when calls began whose trials are forgotten.
        "create table learning_state (last_change bigint not null, forgotten_ms bigint not null)",
        "insert into learning_state values (0, 0)",
    )
