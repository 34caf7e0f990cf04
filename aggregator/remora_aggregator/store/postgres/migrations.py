"""The schema, as numbered steps: a database of any older version is brought up to date.

A step that was released is never changed; what it did wrong is mended by a later one. Aggregators
that start together take turns.
"""

from collections.abc import Callable
from typing import Final

from remora.errors import ConfigError, Problem
from remora_aggregator.store.execution_schema import tables as execution_tables
from remora_aggregator.store.kalibr_schema import tables as kalibr_tables
from remora_aggregator.store.learning_schema import learning_tables
from remora_aggregator.store.postgres import audit_table, sidecar_table
from remora_aggregator.store.postgres.connections import Connection
from remora_aggregator.store.postgres.turns import begin_migrating
from remora_aggregator.store.task_schema import BUDGETS_SAID, tables

SETTING: Final = "REMORA_AGGREGATOR_DATABASE"
"""The variable that problems with the database are named by."""

_OLDEST_SERVER: Final = 140_000

_INDEXED: Final = (
    "session_id", "task_id", "data_id", "combo_id", "agent_id", "provider", "workload",
    "requested_model", "sent_model", "response_model",
)  # fmt: skip

_SUMS: Final = """
    calls bigint not null, errors bigint not null, unread_usage_calls bigint not null,
    unpriced_calls bigint not null, cached_calls bigint not null, estimated_calls bigint not null,
    priced_calls bigint not null,
    input_tokens bigint not null, output_tokens bigint not null, cache_read_tokens bigint not null,
    cache_write_tokens bigint not null, reasoning_tokens bigint not null,
    cost_usd numeric not null, saved_usd numeric not null,
    latency_sum_s double precision not null, saved_s double precision not null,
    first_unix_ns bigint not null, last_unix_ns bigint not null
"""

_SUM_NAMES: Final = """
    calls, errors, unread_usage_calls, unpriced_calls, cached_calls, estimated_calls, priced_calls,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    cost_usd, saved_usd, latency_sum_s, saved_s
"""

# Text is compared byte by byte: nothing here is sorted for people, and no update of the system's
# locales can spoil an index.
_TEXT: Final = 'text collate "C"'

_RECORDS_AND_TOTALS: Final = (
    # Never given out twice, also after the newest record went; pushed along by the clock.
    "create sequence positions as bigint minvalue 0 start 0",
    f"""
    create table calls (
        namespace {_TEXT} not null, call_id {_TEXT} not null, pod_uid {_TEXT} not null,
        position bigint not null, revision bigint not null, started_unix_ns bigint not null,
        primary key (namespace, call_id, pod_uid)
    )
    """,
    f"""
    create table records (
        position bigint primary key,
        namespace {_TEXT} not null, pod_uid {_TEXT} not null, call_id {_TEXT} not null,
        revision bigint not null, received_unix_ns bigint not null, clock_skew_s double precision,
        started_unix_ns bigint not null,
        session_id {_TEXT}, data_id {_TEXT}, combo_id {_TEXT}, agent_id {_TEXT}, task_id {_TEXT},
        workload {_TEXT}, pod_name {_TEXT},
        provider {_TEXT}, dialect {_TEXT}, operation {_TEXT},
        requested_model {_TEXT}, sent_model {_TEXT}, response_model {_TEXT}, model {_TEXT},
        status_code bigint, error_type {_TEXT}, rule {_TEXT}, cache_result {_TEXT},
        is_error boolean not null, is_usage_unread boolean not null,
        is_unpriced boolean not null, is_cached boolean not null, is_estimated boolean not null,
        input_tokens bigint not null, output_tokens bigint not null,
        cache_read_tokens bigint not null, cache_write_tokens bigint not null,
        reasoning_tokens bigint not null,
        cost_usd numeric, saved_usd numeric, saved_s double precision,
        latency_s double precision, ttft_s double precision, overhead_s double precision,
        message bytea not null
    ) partition by range (position)
    """,
    """
    create table bodies (
        position bigint primary key, packed bytea not null, lexemes tsvector
    ) partition by range (position)
    """,
    # What is kept, in bytes: rows that were deleted take room until it is used again, and say
    # nothing about how much there is.
    "create table stock (name text primary key, bytes bigint not null)",
    "insert into stock values ('facts', 0), ('bodies', 0)",
    # Packed already; and words hardly shrink, for what it costs to try.
    "alter table bodies alter column packed set storage external",
    "alter table bodies alter column lexemes set storage external",
    *(
        f"create index records_{column} on records (namespace, {column}, position) "
        f"where {column} is not null"
        for column in _INDEXED
    ),
    "create index records_call on records (namespace, call_id)",
    "create index records_namespace on records (namespace, position)",
    "create index records_started on records (namespace, started_unix_ns)",
    "create index records_received on records (received_unix_ns)",
    "create index records_errors on records (namespace, position) where is_error",
    "create index bodies_lexemes on bodies using gin (lexemes)",
    f"""
    create table period_totals (
        level_ns bigint not null, start_unix_ns bigint not null, namespace {_TEXT} not null,
        provider {_TEXT} not null, model {_TEXT} not null, operation {_TEXT} not null,
        workload {_TEXT} not null, {_SUMS}, spreads bytea not null,
        primary key (level_ns, start_unix_ns, namespace, provider, model, operation, workload)
    ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)
    """,
    f"""
    create table span_totals (
        namespace {_TEXT} not null, kind {_TEXT} not null, span_id {_TEXT} not null,
        provider {_TEXT} not null, model {_TEXT} not null, {_SUMS},
        primary key (kind, span_id, namespace, provider, model)
    ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
    """,
    f"""
    create view periods as select level_ns, start_unix_ns, namespace,
        nullif(provider, '') as provider, nullif(model, '') as model,
        nullif(operation, '') as operation, nullif(workload, '') as workload,
        {_SUM_NAMES}, spreads
    from period_totals
    """,  # noqa: S608 - our own words
    f"""
    create view spans as select namespace, kind, span_id,
        nullif(provider, '') as provider, nullif(model, '') as model,
        {_SUM_NAMES}, first_unix_ns, last_unix_ns
    from span_totals
    """,  # noqa: S608 - our own words
)


def _records_and_totals(connection: Connection) -> None:
    for statement in _RECORDS_AND_TOTALS:
        connection.execute(statement, prepare=False)


def _tasks(connection: Connection) -> None:
    for statement in tables(_TEXT, "bytea"):
        connection.execute(statement, prepare=False)


def _budgets_said(connection: Connection) -> None:
    for statement in BUDGETS_SAID:
        connection.execute(statement.format(text=_TEXT), prepare=False)


def _audit(connection: Connection) -> None:
    for statement in audit_table.STATEMENTS:
        connection.execute(statement.format(text=_TEXT), prepare=False)


def _sidecars(connection: Connection) -> None:
    for statement in sidecar_table.STATEMENTS:
        connection.execute(statement.format(text=_TEXT), prepare=False)


_INDEXING: Final = (
    # Whose positions are up to this one are found by their words; so many are not yet.
    "create table indexing (position bigint not null, bodies bigint not null)",
    "insert into indexing select coalesce(max(position), 0), 0 from bodies",
    """
    create table words (
        position bigint primary key, lexemes tsvector not null
    ) partition by range (position)
    """,
    "alter table words alter column lexemes set storage external",
    "create index words_lexemes on words using gin (lexemes)",
    # Beside the bodies lie the words of before this step, and of older aggregators that still run.
    "drop index bodies_lexemes",
    "create index bodies_lexemes on bodies using gin (lexemes) where lexemes is not null",
)


def _indexing(connection: Connection) -> None:
    for statement in _INDEXING:
        connection.execute(statement, prepare=False)


def _learning(connection: Connection) -> None:
    number = "bigint generated by default as identity primary key"
    for statement in learning_tables(_TEXT, "bytea", number):
        connection.execute(statement, prepare=False)


def _kalibr(connection: Connection) -> None:
    for statement in kalibr_tables(_TEXT):
        connection.execute(statement, prepare=False)


def _executions(connection: Connection) -> None:
    for statement in execution_tables(_TEXT, "bytea"):
        connection.execute(statement, prepare=False)


STEPS: Final[dict[str, Callable[[Connection], None]]] = {
    "0001_records_and_totals": _records_and_totals,
    "0002_tasks": _tasks,
    "0003_budgets_said": _budgets_said,
    "0004_audit": _audit,
    "0005_sidecars": _sidecars,
    "0006_indexing": _indexing,
    "0007_learning": _learning,
    "0008_kalibr": _kalibr,
    "0009_executions": _executions,
}
"""All steps in their order, by their names."""

_TABLE: Final = (
    "create table if not exists remora_migrations "
    "(name text primary key, applied_at timestamptz not null default clock_timestamp())"
)


def migrate(connection: Connection) -> None:
    """Bring a database up to date, each step in a transaction of its own.

    Raises:
        ConfigError: It was written by a newer Remora, or the server is not fit for it.
        psycopg.Error: It can't be done; the steps before stay done.
    """
    _check_server(connection)
    while _step(connection):
        pass


def _check_server(connection: Connection) -> None:
    if connection.info.server_version < _OLDEST_SERVER:
        oldest = _OLDEST_SERVER // 10_000
        raise _unfit(f"PostgreSQL {oldest} or newer is needed, this is {_version(connection)}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise _unfit(f"the database has to be encoded in UTF8, not {encoding}")


def _version(connection: Connection) -> str:
    return connection.info.parameter_status("server_version") or "older"


def _unfit(what: str) -> ConfigError:
    return ConfigError([Problem(SETTING, what)])


def _step(connection: Connection) -> bool:
    """Take the next step, if there is one."""
    begin_migrating(connection)
    try:
        name = _next_step(connection)
        if name is not None:
            STEPS[name](connection)
            connection.execute("insert into remora_migrations (name) values (%s)", (name,))
        connection.execute("commit")
    except BaseException:
        connection.close()
        raise
    return name is not None


def _next_step(connection: Connection) -> str | None:
    connection.execute(_TABLE)
    rows = connection.execute("select name from remora_migrations").fetchall()
    applied = {str(name) for (name,) in rows}
    if unknown := applied - STEPS.keys():
        names = ", ".join(sorted(unknown))
        raise _unfit(f"the store has steps that this version does not know: {names}")
    return next((name for name in STEPS if name not in applied), None)
