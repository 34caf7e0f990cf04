"""The tables of what Kalibr's clients send, alike in both databases. Released: never changed."""

from collections.abc import Sequence


def tables(text: str) -> Sequence[str]:
    """Write the statements that make them.

    Args:
        text: The type of texts, which compare by their code points.
    """
    return (
        f"""
        create table kalibr_paths (
            namespace {text} not null, path_id {text} not null, goal {text} not null,
            created_unix_ns bigint not null, document {text} not null,
            primary key (namespace, path_id)
        )
        """,
        "create index kalibr_paths_goal on kalibr_paths (namespace, goal, created_unix_ns)",
        f"""
        create table kalibr_settings (
            namespace {text} not null, goal {text} not null,
            explores_at_high_risk integer not null,
            primary key (namespace, goal)
        )
        """,
        f"""
        create table kalibr_runs (
            namespace {text} not null, call_id {text} not null, at_ms bigint not null,
            session_id {text}, document {text} not null,
            primary key (namespace, call_id)
        )
        """,
        "create index kalibr_runs_session on kalibr_runs (namespace, session_id, at_ms) "
        "where session_id is not null",
        "create index kalibr_runs_at on kalibr_runs (at_ms)",
        f"""
        create table kalibr_spans (
            namespace {text} not null, trace_id {text} not null, span_id {text} not null,
            started_unix_ns bigint not null, received_unix_ns bigint not null,
            workflow_id {text} not null, provider {text} not null, model_id {text} not null,
            status {text} not null, duration_ms double precision,
            input_tokens bigint, output_tokens bigint, cost_nanousd bigint,
            document {text} not null,
            primary key (namespace, trace_id, span_id)
        )
        """,
        "create index kalibr_spans_started on kalibr_spans (namespace, started_unix_ns)",
        "create index kalibr_spans_received on kalibr_spans (received_unix_ns)",
        f"""
        create table kalibr_capsules (
            namespace {text} not null, trace_id {text} not null, token {text} not null,
            received_unix_ns bigint not null, document {text} not null,
            primary key (namespace, trace_id, token)
        )
        """,
        "create index kalibr_capsules_received on kalibr_capsules (received_unix_ns)",
    )
