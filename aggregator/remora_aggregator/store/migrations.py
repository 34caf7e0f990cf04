"""The store's schema, as numbered steps: a file of any older version is brought up to date.

A step that was released is never changed; what it did wrong is mended by a later one.
"""

import sqlite3
from contextlib import closing

from sqlite_utils import Database, Migrations

from remora.errors import ConfigError, Problem

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


def _known() -> set[str]:
    """The names of all steps: those that an empty store would still have to take."""
    with closing(sqlite3.connect(":memory:")) as empty:
        return {step.name for step in steps.pending(Database(empty))}
