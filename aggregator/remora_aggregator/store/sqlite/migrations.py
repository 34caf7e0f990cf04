"""The store's schema, as numbered steps: a file of any older version is brought up to date.

A step that was released is never changed; what it did wrong is mended by a later one.
"""

import sqlite3
from contextlib import closing

from sqlite_utils import Database, Migrations

from remora.errors import ConfigError, Problem
from remora_aggregator.store.execution_schema import tables as execution_tables
from remora_aggregator.store.kalibr_schema import tables as kalibr_tables
from remora_aggregator.store.learning_schema import learning_tables
from remora_aggregator.store.sqlite.carrying_over import carry_over
from remora_aggregator.store.task_schema import BUDGETS_SAID, tables

steps = Migrations("remora-aggregator")

_FILTERED = ("session_id", "task_id", "data_id", "combo_id", "agent_id", "provider")


@steps(name="0001_records")
def _records(database: Database) -> None:
    database.execute(
        """
        create table records (
            position integer primary key autoincrement,
            namespace text not null, pod_uid text not null, call_id text not null,
            revision integer not null, received_unix_ns integer not null,
            started_unix_ns integer not null,
            session_id text, data_id text, combo_id text, agent_id text, task_id text,
            provider text, dialect text, operation text,
            requested_model text, sent_model text, response_model text, model text,
            is_error integer, is_usage_unread integer, is_unpriced integer, is_cached integer,
            input_tokens integer, output_tokens integer, cache_read_tokens integer,
            cache_write_tokens integer, reasoning_tokens integer,
            cost_usd text, latency_s real, message blob not null, bodies blob
        )
        """
    )
    table = database.table("records")
    table.create_index(["namespace", "call_id", "pod_uid"], unique=True)
    # Each filter that people use leads an index of its own; `position` makes pages of it.
    table.create_index(["namespace", "position"])
    for column in _FILTERED:
        table.create_index(["namespace", column, "position"])
    table.create_index(["namespace", "started_unix_ns"])
    table.create_index(["namespace", "is_error", "position"])


_INDEXED = (
    "session_id", "task_id", "data_id", "combo_id", "agent_id", "provider", "workload",
    "requested_model", "sent_model", "response_model",
)  # fmt: skip


@steps(name="0002_facts_and_totals")
def _facts_and_totals(database: Database) -> None:
    """Give bodies a table of their own, and keep totals; `carry_over` fills them."""
    database.execute("alter table records rename to records_0001")
    for index in database.table("records_0001").indexes:
        database.execute(f'drop index if exists "{index.name}"')
    for statement in _FACTS_AND_TOTALS:
        database.execute(statement)
    table = database.table("records")
    for column in _INDEXED:
        database.execute(
            f"create index records_{column} on records (namespace, {column}, position) "
            f"where {column} is not null"
        )
    table.create_index(["namespace", "call_id", "pod_uid"], unique=True)
    table.create_index(["namespace", "position"])
    table.create_index(["namespace", "started_unix_ns"])
    table.create_index(["received_unix_ns"])
    database.execute("create index records_errors on records (namespace, position) where is_error")


@steps(name="0003_tasks")
def _tasks(database: Database) -> None:
    """Keep tasks, accounts and leases."""
    for statement in tables("text", "blob"):
        database.execute(statement)


@steps(name="0004_budgets_said")
def _budgets_said(database: Database) -> None:
    """Keep of accounts what people are told of them."""
    for statement in BUDGETS_SAID:
        database.execute(statement.format(text="text"))


@steps(name="0005_indexing")
def _indexing(database: Database) -> None:
    """Say up to which position the words of bodies are in their index, and how many are not."""
    database.execute("create table indexing (position integer not null, bodies integer not null)")
    database.execute("insert into indexing select coalesce(max(position), 0), 0 from bodies")


@steps(name="0006_learning")
def _learning(database: Database) -> None:
    """Keep signals, trials and what is learned of them."""
    for statement in learning_tables("text", "blob", "integer primary key autoincrement"):
        database.execute(statement)


@steps(name="0007_kalibr")
def _kalibr(database: Database) -> None:
    """Keep what Kalibr's clients send."""
    for statement in kalibr_tables("text"):
        database.execute(statement)


@steps(name="0008_executions")
def _executions(database: Database) -> None:
    """Keep executions of workflows."""
    for statement in execution_tables("text", "blob"):
        database.execute(statement)


_SUM_COLUMNS = """
    calls integer not null, errors integer not null, unread_usage_calls integer not null,
    unpriced_calls integer not null, cached_calls integer not null,
    estimated_calls integer not null, priced_calls integer not null,
    input_tokens integer not null, output_tokens integer not null,
    cache_read_tokens integer not null, cache_write_tokens integer not null,
    reasoning_tokens integer not null,
    cost_usd text not null, saved_usd text not null, latency_sum_s real not null,
    saved_s real not null, first_unix_ns integer not null, last_unix_ns integer not null
"""

_SUM_NAMES = """
    calls, errors, unread_usage_calls, unpriced_calls, cached_calls, estimated_calls, priced_calls,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    cost_usd, saved_usd, latency_sum_s, saved_s
"""

_FACTS_AND_TOTALS = (
    """
    create table records (
        position integer primary key autoincrement,
        namespace text not null, pod_uid text not null, call_id text not null,
        revision integer not null, received_unix_ns integer not null, clock_skew_s real,
        started_unix_ns integer not null,
        session_id text, data_id text, combo_id text, agent_id text, task_id text,
        workload text, pod_name text,
        provider text, dialect text, operation text,
        requested_model text, sent_model text, response_model text, model text,
        status_code integer, error_type text, rule text, cache_result text,
        is_error integer not null, is_usage_unread integer not null,
        is_unpriced integer not null, is_cached integer not null, is_estimated integer not null,
        input_tokens integer not null, output_tokens integer not null,
        cache_read_tokens integer not null, cache_write_tokens integer not null,
        reasoning_tokens integer not null,
        cost_usd text, saved_usd text, saved_s real, latency_s real, ttft_s real, overhead_s real,
        message blob not null
    )
    """,
    """
    create table bodies (
        position integer primary key, packed blob not null, text_version integer
    )
    """,
    "create table stock (name text primary key, bytes integer not null) without rowid",
    "insert into stock values ('bodies', 0)",
    "create virtual table words using fts5(text, content='', detail='none', columnsize=0)",
    f"""
    create table period_totals (
        level_ns integer not null, start_unix_ns integer not null, namespace text not null,
        provider text not null, model text not null, operation text not null,
        workload text not null, {_SUM_COLUMNS}, spreads blob not null,
        primary key (level_ns, start_unix_ns, namespace, provider, model, operation, workload)
    ) without rowid
    """,
    f"""
    create table span_totals (
        namespace text not null, kind text not null, span_id text not null,
        provider text not null, model text not null, {_SUM_COLUMNS},
        primary key (kind, span_id, namespace, provider, model)
    ) without rowid
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


def migrate(database: Database) -> None:
    """Bring a store up to date, each step in a transaction of its own.

    Raises:
        ConfigError: The file was written by a newer Remora.
    """
    unknown = {done.name for done in steps.applied(database)} - _known()
    if unknown:
        what = f"the store has steps that this version does not know: {', '.join(sorted(unknown))}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_DATA_DIR", what)])
    steps.apply(database)
    carry_over(database.conn)


def _known() -> set[str]:
    """The names of all steps: those that an empty store would still have to take."""
    with closing(sqlite3.connect(":memory:")) as empty:
        return {step.name for step in steps.pending(Database(empty))}
