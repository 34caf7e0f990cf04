"""Aggregators take turns: one transaction writes at a time, so that positions grow with commits."""

from typing import Final

import psycopg

from remora_aggregator.store.postgres.connections import Connection, Limits, milliseconds

COMMITTED: Final = "remora_committed"
"""The channel on which each commit is told."""

_LOCKS: Final = 0x52454D4F
"""The first half of the advisory locks' numbers: 'REMO'."""
_WRITING: Final = 1
_MIGRATING: Final = 2

# Statements behind the one that locks see what was committed before it; that one itself does not.
_BEGIN: Final = (
    f"begin isolation level read committed; select pg_advisory_xact_lock({_LOCKS}, {_WRITING})"
)
_END: Final = f"select pg_notify('{COMMITTED}', ''); commit"
_MIGRATE: Final = f"select pg_advisory_xact_lock({_LOCKS}, {_MIGRATING})"

# A server that waits for a client can't be stopped by its own timeouts in the middle of a COPY or
# of an answer: whoever waits for the turn ends it then.
_END_HUNG: Final = f"""
    select pg_terminate_backend(activity.pid)
    from pg_locks join pg_stat_activity as activity using (pid)
    where locktype = 'advisory' and classid = {_LOCKS} and objid = {_WRITING} and objsubid = 2
        and pg_locks.database = (select oid from pg_database where datname = current_database())
        and granted and wait_event_type = 'Client'
        and state_change < clock_timestamp() - make_interval(secs => %s)
"""  # noqa: S608 - our own words


def writing_settings(limits: Limits) -> dict[str, str]:
    """Say what a session that writes is limited to, by PostgreSQL's names."""
    return {
        "statement_timeout": milliseconds(limits.write_s),
        "lock_timeout": milliseconds(limits.turn_s),
        "idle_in_transaction_session_timeout": milliseconds(limits.idle_s),
        # It looks things up by their keys only, also while statistics say that tables are empty.
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
    }


def begin(connection: Connection, limits: Limits) -> None:
    """Begin a transaction once it is its turn.

    Raises:
        psycopg.errors.LockNotAvailable: Another's lasts too long; it was ended if it hangs.
        psycopg.Error: The connection is of no use.
    """
    try:
        connection.execute(_BEGIN, prepare=False)
    except psycopg.errors.LockNotAvailable:
        connection.execute("rollback", prepare=False)
        connection.execute(_END_HUNG, (limits.hung_s,))
        raise psycopg.errors.LockNotAvailable(
            f"another aggregator's transaction took longer than {limits.turn_s:g} s"
        ) from None


def end(connection: Connection) -> None:
    """Commit, and tell the others."""
    connection.execute(_END, prepare=False)


def begin_migrating(connection: Connection) -> None:
    """Begin a transaction that may change the schema."""
    connection.execute("begin", prepare=False)
    connection.execute(_MIGRATE)


def make_durable(connection: Connection) -> None:
    """Have commits wait for the disk, where the server was told that they need not.

    What an aggregator acknowledged must outlive a power cut.
    """
    connection.execute(
        "select set_config('synchronous_commit', 'on', false) "
        "where current_setting('synchronous_commit') = 'off'"
    )
